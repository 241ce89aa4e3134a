"""The command `imdb-pipeline`: its first word names a flow, which reads the other words."""

import difflib
import sys
from importlib import import_module

PROGRAM = "imdb-pipeline"

# Each command, the module with its `main` (imported on demand), and its line in `--help`.
COMMANDS = {
    "train": ("flows.imdb_flow", "train and evaluate a classifier, and decide whether it serves"),
    "why": ("flows.imdb_flow", "show which steps of `train` would run, and why"),
    "compare": ("flows.compare_flow", "train several networks, and choose by validation"),
    "predict": ("flows.predict_flow", "score texts, a file, a folder, or lines from standard input"),
    "serve": ("serving.__main__", "serve the champion over HTTP, with a page for people"),
    "export": ("flows.export_flow", "write a model for others to run"),
    "promote": ("flows.promote_flow", "make a version the champion by hand, or roll back"),
    "housekeeping": ("flows.housekeeping_flow", "list, verify and prune the artifacts of runs"),
}


def usage() -> str:
    """Return the text of `--help`."""
    lines = [f"  {word:<14}{about}" for word, (_module, about) in COMMANDS.items()]
    return "\n".join([f"usage: {PROGRAM} COMMAND [--help] [...]", "", *lines])


def main() -> int:
    """Run the flow that the first word of the command line names; exit status 2 if there is no such flow."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in ("-h", "--help"):
        print(usage())
        return 0
    if word not in COMMANDS:
        near = difflib.get_close_matches(word, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(COMMANDS)}"
        print(f"{PROGRAM}: error: {word or 'no command'}: {hint}", file=sys.stderr)
        return 2
    module, _about = COMMANDS[word]
    sys.argv[:2] = [f"{PROGRAM} {word}", *(["--dry-run"] if word == "why" else [])]
    return int(import_module(module).main())
