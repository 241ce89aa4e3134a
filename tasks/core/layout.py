"""The names of the files and folders in the store."""

# Folders of the store. The other folders are named after the steps whose artifacts they hold.
RUNS = "runs"
COMPARISONS = "comparisons"
LOCKS = "locks"
CHECKPOINTS = "checkpoints"
STUDIES = "studies"
MLFLOW = "mlflow"
PREFECT = "prefect"
KERAS = "keras"
MATPLOTLIB = "matplotlib"
INBOX = "inbox"  # of the texts that deployment.yaml has scored every hour
# "scored" has their scores; the others are of earlier versions.
NO_STEPS = {RUNS, COMPARISONS, LOCKS, CHECKPOINTS, STUDIES, MLFLOW, PREFECT, KERAS, MATPLOTLIB}
NO_STEPS |= {INBOX, "scored", "checks", "failures", "results"}

# A run folder, and a comparison's.
LATEST = "latest"  # the link to the newest one
CONFIG = "config.json"
METRICS = "metrics.json"  # also the evaluate step's file, with the metrics alone
REPORT = "report.html"
COMPARISON = "comparison.json"
COMPARISON_PAGE = "comparison.html"
FIGURES = "figures"

# The figures step: mistakes, confused labels and counts of words.
FINDINGS = "findings.json"

# The label_check step.
LABEL_ISSUES, LABEL_EXAMPLES = "label_issues.csv", "examples.json"
