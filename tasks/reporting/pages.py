"""Pages: the results of runs and comparisons, rendered from the templates of this folder."""

from pathlib import Path
from typing import Any

from tasks.evaluation import findings
from tasks.evaluation.metrics import HEADLINES, NUMBERS

TEMPLATES = Path(__file__).resolve().parent


def number(value: float, digits: int = 4) -> str:
    """Return a number with a fixed number of decimals."""
    return f"{value:.{digits}f}"


def render(template: str, **values: Any) -> str:
    """Render a template of this folder; a missing value is an error, and HTML is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
    )
    # Templates call the functions of `findings`.
    environment.globals |= vars(findings) | {"numbers": NUMBERS, "headlines": HEADLINES}
    environment.globals |= {"count": "{:,}".format, "number": number}
    return environment.get_template(template).render(**values)


def read_figures(folder: Path) -> dict[str, str]:
    """Return the <svg> elements of the figures in a folder, without their files' XML headers, by name."""
    texts = {path.stem.replace("_", " "): path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.svg"))}
    return {name: text[text.index("<svg") :] for name, text in texts.items()}
