"""The model card: README.md of a bundle, with the metadata that model hubs read (Hugging Face's model card format)."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.core.layout import CARD
from tasks.texts.vocabulary import scripts_of


def script_shares(words: Iterable[str]) -> dict[str, float]:
    """Return the scripts of words and the share of each, the most frequent first; only words with letters count."""
    scripts = Counter(filter(None, scripts_of(words)))
    return {name: count / scripts.total() for name, count in scripts.most_common()}


def slug(name: str) -> str:
    """Return a name as an identifier: lower case, with dashes in place of blanks and punctuation."""
    return re.sub(r"[^\w.]+", "-", name.lower()).strip("-.") or "unnamed"


def quote(text: str) -> str:
    """Return a text as a YAML string in double quotes."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text) + '"'


def escape_markdown(text: str) -> str:
    """Return a text as one line that Markdown shows as it is, in a table too."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))


def write_card(folder: Path, words: list[str], **values: Any) -> None:
    """Write the model card: no paths, no times and no texts of the data, so that equal bundles have equal cards.

    Args:
        folder: of the bundle.
        words: those that the model knows; [] if they are not known.
        **values: "language" ("en" or None), "sizes" (texts of each split), "metrics" (metrics.json of the step
            `evaluate`), "facts" (`BundleFacts`) and "licence" (an SPDX id, words, or None).
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"slug": slug, "quote": quote, "escape": escape_markdown}
    card = environment.get_template("model_card.jinja").render(words=words, scripts=script_shares(words), **values)
    (folder / CARD).write_text(card, encoding="utf-8")
