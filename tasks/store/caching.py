"""Caching: what a step's result depends on, as a Prefect cache policy, and the hit that is checked before it counts."""

import ast
import functools
import importlib.metadata
import importlib.util
import json
import platform
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import get_run_logger
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.logging import get_logger
from prefect.results import get_result_store
from prefect.serializers import JSONSerializer
from prefect.tasks import Task
from prefect.transactions import get_transaction
from pydantic import BaseModel, TypeAdapter, ValidationError

from tasks.core.environment import result_folder
from tasks.core.errors import StoreError
from tasks.store.artifact import Artifact, DamagedError, digest
from tasks.store.in_use import announce_use
from tasks.store.step_log import noting
from tasks.store.store import open_store

PROJECT = ("tasks", "flows")
PARSE_ATTEMPTS = 5

# Settings hold no logic, and those that a step reads are in its key by value: to hash the file too would
# retrain every model whenever any step gets a new setting.
NOT_FINGERPRINTED = {f"tasks.core.{name}settings" for name in ("", "base_", "data_", "flow_")}

# The libraries that shape what a step writes, by the name they are imported under.
SHAPING_LIBRARIES = {
    name: name for name in ("jinja2", "keras", "matplotlib", "numpy", "pyarrow", "scipy", "tensorflow")
} | {"sklearn": "scikit-learn"}


class ByContent(CachePolicy):
    """Keys a task by its settings, the hashes of its upstream artifacts, its code and its libraries.

    A parameter annotated with a settings model counts with that model's fields alone, so `pad(..., settings:
    PadSettings)` may be handed all of `DataSettings` and still does not depend on where the data came from.

    Whatever Prefect has on record under the key is checked first: a record that cannot be read, or whose
    artifact is not whole, is named in a warning and removed, and the step runs again.
    """

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str:
        """Return `<task name>/<sha256>`."""
        with noting(str(task_ctx.task_run.flow_run_id), task_ctx.task.name, cached=True) as step:
            key = cache_key(task_ctx.task.fn, task_ctx.task.name, inputs)
            if not has_whole_record(key):
                step["cached"] = False
        return key


BY_CONTENT = ByContent()


def cache_key(function: Callable[..., Any], step: str, inputs: dict[str, Any]) -> str:
    """Return `<step>/<sha256>` over inputs, source code and library versions."""
    hints = typing.get_type_hints(function)
    modules = project_modules(function.__module__)
    parts = {
        "inputs": {name: reduce_input(value, hints.get(name)) for name, value in inputs.items()},
        "source": {name: fingerprint(path) for name, path in modules.items() if name not in NOT_FINGERPRINTED},
        "versions": library_versions(frozenset(modules.values())),
    }
    return f"{step}/{digest(parts)}"


def is_kept(task: Task[..., Any], **inputs: Any) -> bool:
    """Tell whether the store has something under the key that `task` has for these inputs."""
    return open_store().exists(cache_key(task.fn, task.name, inputs))


def reduce_input(value: Any, annotation: Any) -> Any:
    """Return what of a task's input counts for its key: the read settings, or an artifact's hash."""
    if isinstance(value, Artifact):
        return value.sha256
    if isinstance(value, list):
        return [reduce_input(part, None) for part in value]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", include=set(annotation.model_fields))
    return TypeAdapter(Any).dump_python(value, mode="json")


@functools.cache
def project_modules(module: str) -> dict[str, Path]:
    """Return `module` and every project module that it imports, transitively, with their files."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name.partition(".")[0] not in PROJECT:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        found[name] = Path(spec.origin)
        waiting.extend(imported_names(found[name], name))
    return dict(sorted(found.items()))


def imported_names(path: Path, module: str) -> Iterator[str]:
    """Yield the dotted names that a module's file imports, in functions too; `from a import b` gives a and a.b."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.level:
                raise ValueError(f"{path}:{node.lineno}: relative import; {module} is fingerprinted by full names")
            yield node.module
            if node.module.partition(".")[0] in PROJECT:
                yield from (name for alias in node.names if is_module(name := f"{node.module}.{alias.name}"))


def is_module(name: str) -> bool:
    """Tell whether a dotted name is a module, rather than something that a module defines."""
    around = importlib.util.find_spec(name.rpartition(".")[0])
    # Only a package holds modules; to look inside anything else would import it, and TensorFlow with it.
    if around is None or around.submodule_search_locations is None:
        return False
    return importlib.util.find_spec(name) is not None


@functools.cache
def parse(path: Path) -> ast.Module:
    """Parse a source file, without its docstrings: words about the code change no result."""
    tree = parse_beside_threads(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not is_bare_string(part)]  # type: ignore[attr-defined]
    return tree


def parse_beside_threads(source: bytes) -> ast.Module:
    """Parse source code, again where another thread that parses just then has disturbed it.

    CPython up to 3.12 counts the depth of a syntax tree for all threads at once, and raises SystemError when two
    that count together come to another sum.
    """
    for _attempt in range(PARSE_ATTEMPTS - 1):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)


def is_bare_string(node: ast.AST) -> bool:
    """Tell whether a statement is a string and nothing else, as docstrings are."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@functools.cache
def fingerprint(path: Path) -> str:
    """Return a hash of what a source file does, the same for any comments, docstrings and layout."""
    return digest(ast.dump(parse(path)))


@functools.cache
def library_versions(paths: frozenset[Path]) -> dict[str, str]:
    """Return the versions of Python and of those libraries that the files import and that shape results."""
    imported = {name.partition(".")[0] for path in paths for name in imported_names(path, path.stem)}
    used = sorted(imported & SHAPING_LIBRARIES.keys())
    versions = {name: importlib.metadata.version(SHAPING_LIBRARIES[name]) for name in used}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **versions}


def has_whole_record(key: str) -> bool:
    """Tell whether Prefect has a record under `key` whose artifact is whole; a rotten record is removed."""
    storage = get_result_store().result_storage
    record = Path(getattr(storage, "basepath", None) or result_folder()) / key
    store = open_store()
    try:
        announce_use(store.root)
        if not record.exists() and not (store.shared and store.exists(key)):
            return False
        with store.locked(key):
            if not record.exists():  # another machine's, or pruned since
                found = store.use(key) if store.shared else None
                if found:
                    get_result_store().model_copy(update={"serializer": JSONSerializer()}).write(found, key=key)
                return found is not None
            # The artifact's own seal is checked beside the record: both hold the hashes, and they must agree.
            if store.use(key) != read_record(record, key):
                raise DamagedError(f"{store.root / key}: missing or not what {record} describes")
    except DamagedError as damage:
        get_logger("prefect.cache").warning("%s; making it again", damage)
        record.unlink(missing_ok=True)
        return False
    except StoreError as trouble:
        # Prefect would go on without a key. The step itself meets the trouble again, and raises it.
        get_logger("prefect.cache").warning("%s", trouble)
        return False
    return True


def read_record(path: Path, key: str) -> Artifact:
    """Return the artifact in one of Prefect's result records.

    Raises:
        RotError: it is not a record of an artifact under `key`, kept as JSON.
    """
    try:
        record = json.loads(path.read_bytes())
        kept_as, stored_key = record["metadata"]["serializer"]["type"], record["metadata"]["storage_key"]
        artifact = Artifact.model_validate(json.loads(record["result"])["data"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise DamagedError(f"{path}: cannot be read as a result record") from error
    # Prefect would unpickle a record that says it is a pickle.
    if kept_as != "json" or not str(stored_key).endswith(key) or artifact.key != key:
        raise DamagedError(f"{path}: altered")
    return artifact


def keep(fill: Callable[[Path], dict[str, Any]]) -> Artifact:
    """Make the running task's artifact by `fill`, or take the whole one that a run cut short left behind.

    Call it within a task that has the policy `BY_CONTENT`.

    Args:
        fill: writes the files into the empty folder that it is given and returns the artifact's meta.
    """
    context, transaction = TaskRunContext.get(), get_transaction()
    if context is None or transaction is None or transaction.key is None:
        raise RuntimeError("keep() needs a running task with cache_policy=BY_CONTENT")
    with noting(str(context.task_run.flow_run_id), context.task.name, cached=True) as step:

        def fill_and_note(folder: Path) -> dict[str, Any]:
            step["cached"] = False
            return fill(folder)

        made = open_store().make(
            transaction.key, fill_and_note, warn=get_run_logger().warning, refresh=bool(transaction.overwrite)
        )
    pa.default_memory_pool().release_unused()  # the next step may need it
    return made


def path_of(artifact: Artifact, name: str = "") -> Path:
    """Return where an artifact that a step was handed lies, or its file `name`."""
    return open_store().path(artifact, name)
