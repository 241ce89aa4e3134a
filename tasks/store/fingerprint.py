"""Fingerprint: what a key is made of besides inputs: code and library versions; and how two keys differ."""

import ast
import functools
import importlib.util
import platform
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.core.files import digest
from tasks.core.provenance import library_version
from tasks.store.store import MANIFEST, Store, last_used

if TYPE_CHECKING:
    import grimp

PROJECT = ("tasks", "flows")
PARSING = threading.Lock()  # CPython up to 3.12 may raise SystemError when two threads parse at the same time

# Packages that cannot change what a step writes: paths, locks, storage, tracking, terminal output. The settings that a
# step reads are in its key by value. tests/store/test_fingerprint.py lists the names that steps import from them.
EXCLUDED = ("tasks.core", "tasks.store", "tasks.registry", "tasks.reporting")

# The libraries that determine what a step writes: import name and distribution.
LIBRARIES = {
    name: name for name in ("cleanlab", "keras", "matplotlib", "numpy", "onnx", "onnxruntime", "pyarrow", "scipy")
} | {"sklearn": "scikit-learn", "tensorflow": "tensorflow"}
NEWEST = 200  # artifacts of a step to compare with
SHOWN = 24  # characters of a value
# The first word of each name in `made_of`, in the order of interest; runs differ in their machines, too.
KINDS = ("setting", "input", "module", "library", "machine")


def describe_code(module: str) -> dict[str, str]:
    """Return the fingerprints of a module and its imports, and the versions of the libraries that they import."""
    modules = project_modules(module)
    versions = library_versions(imported_names(module, EXCLUDED))
    return {f"module {name}": fingerprint(path) for name, path in modules.items()} | {
        f"library {name}": version for name, version in versions.items()
    }


@functools.cache
def project_modules(module: str, excluded: tuple[str, ...] = EXCLUDED) -> dict[str, Path]:
    """Return the files of `module` and of the project modules that it imports, except those of excluded packages."""
    own = sorted(name for name in imported_names(module, excluded) if is_in(name, PROJECT))
    specs = {name: importlib.util.find_spec(name) for name in own}
    return {name: Path(spec.origin) for name, spec in specs.items() if spec and spec.origin}


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    """Return whether a module belongs to one of the packages."""
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def imported_names(module: str, excluded: tuple[str, ...]) -> frozenset[str]:
    """Return `module`, the project modules that it imports, in functions too, and the libraries that these import."""
    graph = import_graph(excluded)
    return frozenset({module} | graph.find_upstream_modules(module)) if module in graph.modules else frozenset()


@functools.cache
def import_graph(excluded: tuple[str, ...]) -> "grimp.ImportGraph":
    """Return which of the project's modules imports which module or library, without the excluded packages."""
    import grimp  # a model in MLflow needs this module, but no graph

    graph = grimp.build_graph(*PROJECT, include_external_packages=True, cache_dir=None)
    for module in graph.modules:
        if is_in(module, excluded):
            graph.remove_module(module)
    return graph


@functools.cache
def parse(path: Path) -> ast.Module:
    """Parse a source file without its docstrings, which change no result."""
    with PARSING:
        tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [part for part in body if not is_bare_string(part)]
    return tree


def is_bare_string(node: ast.AST) -> bool:
    """Return whether a statement is only a string, as docstrings are."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@functools.cache
def fingerprint(path: Path) -> str:
    """Return a hash of what a source file does, the same for any comments, docstrings and layout."""
    return digest(ast.dump(parse(path)))


@functools.cache
def library_versions(names: frozenset[str]) -> dict[str, str]:
    """Return the versions of Python and of those `LIBRARIES` that are named."""
    versions = {name: library_version(LIBRARIES[name]) for name in sorted(names & LIBRARIES.keys())}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **versions}


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
