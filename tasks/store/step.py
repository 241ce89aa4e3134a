"""A step: a function of paths and settings that fills one folder, run as a Prefect task and cached by the store."""

import functools
import inspect
import logging
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger
from prefect.settings import get_current_settings
from prefect.states import Completed
from prefect.tasks import Task
from pydantic import BaseModel, TypeAdapter

from tasks.store.artifact import MADE_BY, Artifact, Resume, digest
from tasks.store.fingerprint import describe_code
from tasks.store.in_use import announce_use
from tasks.store.shared_store import open_store
from tasks.store.step_log import log_step

Function = Callable[..., dict[str, Any] | None]


@dataclass(frozen=True)
class Step:
    """A cached step. Calling it with artifacts and settings, by name, runs it as a Prefect task.

    Attributes:
        function: fills a folder; keyword-only. It takes the path of each input, its settings, `folder`, and `resume` if
            it can go on from what an interrupted run finished. It returns facts for people, which are not part of the
            content.
        task: runs the function, or takes its artifact from the store.
        resumes_on: reduces the settings to those that determine what is kept for `resume`.
    """

    function: Function
    task: Task[..., Any]
    resumes_on: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """The step's name: its task, and its folder in the store."""
        return self.function.__name__

    def __call__(self, **inputs: Any) -> Artifact:
        """Run the step and return its artifact.

        Raises:
            TypeError: an input is missing, unknown, of the wrong type, or made by another step.
        """
        self._check(inputs)
        artifact: Artifact = self.task(**inputs, return_state=True).result()
        return artifact

    def with_options(self, **options: Any) -> "Step":
        """Return the step with other options of its Prefect task, as `retries=0`."""
        return replace(self, task=self.task.with_options(**options))

    def is_cached(self, **inputs: Any) -> bool:
        """Return whether the store has an artifact for these inputs, damaged or not."""
        return open_store().exists(self.key(inputs))

    def key(self, inputs: dict[str, Any]) -> str:
        """Return `<step>/<sha256>` of the inputs, the code and the library versions that determine the result."""
        hints = typing.get_type_hints(self.function)
        reduced = {name: reduce_input(value, hints.get(name)) for name, value in inputs.items()}
        return f"{self.name}/{digest({'inputs': reduced, **describe_code(self.function.__module__)})}"

    def run(self, inputs: dict[str, Any], *, refresh: bool = False, is_retry: bool = False) -> tuple[Artifact, bool]:
        """Return the step's artifact, and whether it came from the store."""
        store = open_store()
        announce_use(store.root)
        arguments = dict(inputs)
        if self.resumes_on:
            # Marked, because its lock must differ from that of the artifact, which is held at the same time.
            shared = inputs | {"settings": self.resumes_on(inputs["settings"]), "of": "resume"}
            arguments["resume"] = Resume(self.key(shared), ignored=refresh and not is_retry)

        def fill(folder: Path) -> dict[str, Any]:
            paths = {
                name: store.path(value) if isinstance(value, Artifact) else value for name, value in arguments.items()
            }
            return self.function(**paths, folder=folder) or {}

        return store.get_or_make(self.key(inputs), fill, refresh=refresh)

    def _check(self, inputs: dict[str, Any]) -> None:
        task_signature(self.function).bind(**inputs)
        hints = typing.get_type_hints(self.function)
        for name, value in inputs.items():
            if isinstance(value, Artifact) and value.step != MADE_BY.get(name):
                raise TypeError(f"{self.name}: {name} is made by {MADE_BY.get(name)}, not by {value.step}")
            kind = hints[name]
            if isinstance(kind, type) and issubclass(kind, BaseModel) and not isinstance(value, kind):
                raise TypeError(f"{self.name}: {name} is {type(value).__name__}, expected {kind.__name__}")


def step(
    *, run_name: str | None = None, resumes_on: Callable[[Any], Any] | None = None, **options: Any
) -> Callable[[Function], Step]:
    """Make a function a cached step.

    Args:
        run_name: of the task run in Prefect, with the inputs in braces; the step's name if it is None.
        resumes_on: as in `Step`.
        **options: of the Prefect task, as retries.
    """

    def decorate(function: Function) -> Step:
        @functools.wraps(function)
        def run(**inputs: Any) -> Artifact | State[Artifact]:
            context = TaskRunContext.get()
            if context is None:
                raise RuntimeError(f"{made.name} runs as a Prefect task")
            refresh = bool(get_current_settings().tasks.refresh_cache)
            with log_step(str(context.task_run.flow_run_id), made.name) as entry:
                artifact, entry["cached"] = made.run(inputs, refresh=refresh, is_retry=context.task_run.run_count > 1)
            pa.default_memory_pool().release_unused()  # the next step may need it
            return Completed(name="Cached", data=artifact) if entry["cached"] else artifact

        run.__signature__ = task_signature(function)  # type: ignore[attr-defined]
        made = Step(
            function,
            Task(
                run,
                name=function.__name__,
                task_run_name=run_name or function.__name__,
                cache_policy=NO_CACHE,
                persist_result=False,
                **options,
            ),
            resumes_on,
        )
        return made

    return decorate


def step_logger() -> "logging.Logger | logging.LoggerAdapter[logging.Logger]":
    """Return the logger of the task that runs, or Prefect's own if a step's function is called by itself."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("steps")


def task_signature(function: Function) -> inspect.Signature:
    """Return the signature of a step's task: the function's, without what the step adds."""
    signature = inspect.signature(function)
    inputs = [value for name, value in signature.parameters.items() if name not in ("folder", "resume")]
    return signature.replace(parameters=inputs)


def reduce_input(value: Any, annotation: Any) -> Any:
    """Return the part of an input that counts for the key: an artifact's hash, or the settings that the step reads.

    A parameter annotated with a settings model counts with that model's fields only: `settings: PadSettings` may be
    passed all of `DataSettings`.
    """
    if isinstance(value, Artifact):
        return value.sha256
    if isinstance(value, BaseModel):
        known = getattr(annotation, "model_fields", None)
        return value.model_dump(mode="json", include=None if known is None else set(known))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [reduce_input(part, None) for part in value]
    return TypeAdapter(Any).dump_python(value, mode="json")
