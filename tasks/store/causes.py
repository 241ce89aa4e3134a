"""Causes: why a step runs: how its key differs from that of the nearest artifact in the store."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tasks.store.store import MANIFEST, Store, last_used

NEWEST = 200  # artifacts of a step to compare with
SHOWN = 24  # characters of a value
# The first word of each name in `made_of`, in the order of interest; runs differ in their machines, too.
KINDS = ("setting", "input", "module", "library", "machine")


class Cause(NamedTuple):
    """One difference between two keys: a part's kind and name, and its values; None where a key lacks it."""

    kind: str
    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.kind in ("input", "module"):
            return f"{self.kind} {self.name} changed"
        return f"{self.name} {shorten(self.before)} → {shorten(self.after)}"


class StepPlan(NamedTuple):
    """What a call of a step would do, or did: "cached", "runs", "resumes" or "unknown"; and why."""

    step: str
    status: str
    cause: str = ""
    causes: Sequence[Cause] = ()


def shorten(value: Any) -> str:
    """Return a value in a few characters."""
    text = "none" if value is None else str(value)
    return text if len(text) <= SHOWN else f"{text[:8]}…"


def find_causes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Cause]:
    """Return the differences between what two keys are made of, settings first and libraries last."""
    names = [name for name in {**after, **before} if before.get(name) != after.get(name)]
    kinds = [name.partition(" ") for name in names]
    found = [Cause(kind, name, before.get(f"{kind} {name}"), after.get(f"{kind} {name}")) for kind, _, name in kinds]
    return sorted(found, key=lambda cause: KINDS.index(cause.kind))


def causes_of(step: str, made_of: Mapping[str, Any], store: Store) -> list[Cause] | None:
    """Return how a key differs from the artifact with the fewest differences; of several, from the one used last.

    None if the store has no artifact of the step, or none that says what its key was made of.
    """
    folders = sorted((path.parent for path in store.root.glob(f"{step}/*/{MANIFEST}")), key=last_used, reverse=True)
    # This machine's copies, of a shared store too.
    artifacts = (Store.peek(store, f"{step}/{folder.name}") for folder in folders[:NEWEST])
    known = [artifact.made_of for artifact in artifacts if artifact and artifact.made_of]
    return min((find_causes(before, made_of) for before in known), key=len, default=None)


def describe_causes(causes: list[Cause] | None) -> str:
    """Return the first cause, and how many others there are."""
    if not causes:
        return "first run" if causes is None else "rebuilt"
    return str(causes[0]) + (f", and {len(causes) - 1} more" if causes[1:] else "")
