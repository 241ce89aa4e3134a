"""A step: a function of paths and settings that fills one folder, run as a Prefect task and cached by the store.

`encode(downloaded=..., settings=...)` goes through four layers, from the outside to the inside:

    Step.__call__   checks the inputs; in a dry run returns what `Step.plan` says instead of going on
    Step.task       Prefect's task: retries, and logs how long the step took and why it ran
    Step.run        takes the artifact with the key of these inputs from the store, or makes it in an empty folder
    Step.function   fills that folder, from the paths of the inputs; knows neither Prefect nor the store

Prefect is imported when the first flow or task runs, because that takes longer than a dry run.
"""

import functools
import inspect
import logging
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, ParamSpec, SupportsIndex, TypeVar

from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_jsonable_python

from tasks.core.files import digest
from tasks.core.run_settings import RunSettings
from tasks.store.artifact import MADE_BY, Artifact, Resume, RunArtifacts
from tasks.store.fingerprint import StepPlan, causes_of, describe_causes, describe_code
from tasks.store.inventory import announce_use
from tasks.store.shared_store import open_store
from tasks.store.step_log import log_step

Function = Callable[..., dict[str, Any] | None]
Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Step:
    """A cached step. Calling it with artifacts and settings, by name, returns the artifact that they make.

    Attributes:
        function: fills a folder; keyword-only. It takes the path of each input, its settings, `folder`, and `resume` if
            it can go on from what an interrupted run finished. It returns facts for people, which are not part of the
            content.
        resumes_on: reduces the settings to those that determine what is kept for `resume`; only `train` resumes.
        options: those of the Prefect task, such as retries.
    """

    function: Function
    resumes_on: Callable[[Any], Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The step's name: its task, and its folder in the store."""
        return self.function.__name__

    def __call__(self, **inputs: Any) -> Artifact:
        """Return the artifact, made or from the store; under `planning`, append to its list what would be done.

        Raises:
            TypeError: an input is missing, unknown, of the wrong type, or made by another step.
        """
        self._check(inputs)
        plans = _PLANS.get()
        if plans is None:
            result: Artifact = self.task(**inputs, return_state=True).result()
            return result
        artifact, plan = self.plan(inputs)
        plans.append(plan)
        return artifact

    def of(self, artifacts: RunArtifacts, **settings: BaseModel) -> Artifact:
        """Call the step with those of a run's artifacts that it takes."""
        taken = inspect.signature(self.function).parameters
        return self(**{name: value for name, value in vars(artifacts).items() if name in taken}, **settings)

    def with_options(self, **options: Any) -> "Step":
        """Return the step with other options of its Prefect task, as `retries=0`."""
        return replace(self, options={**self.options, **options})

    def is_cached(self, **inputs: Any) -> bool:
        """Return whether the store has an artifact for these inputs; its files are not verified."""
        return open_store().peek(self.key(inputs)) is not None

    @functools.cached_property
    def task(self) -> Any:
        """The Prefect task, which calls `run`."""
        import pyarrow as pa
        from prefect import Task
        from prefect.runtime import task_run
        from prefect.settings import get_current_settings
        from prefect.states import Completed

        @functools.wraps(self.function)
        def run(**inputs: Any) -> Any:
            refresh = bool(get_current_settings().tasks.refresh_cache)
            with log_step(flow_run_id(), self.name) as entry:
                artifact, plan = self.run(inputs, refresh=refresh, is_retry=task_run.run_count > 1)
                entry["cached"], entry["cause"] = plan.status == "cached", plan.cause
            pa.default_memory_pool().release_unused()  # the next step may need it
            return Completed(name="Cached", data=artifact) if entry["cached"] else artifact

        run.__signature__ = task_signature(self.function)  # type: ignore[attr-defined]
        return Task(run, persist_result=False, **self.options)

    def run(
        self, inputs: dict[str, Any], *, refresh: bool = False, is_retry: bool = False
    ) -> tuple[Artifact, StepPlan]:
        """Return the step's artifact, and whether it came from the store or why it was made."""
        store, plan = open_store(), StepPlan(self.name, "cached")
        announce_use(store.root)

        def fill(folder: Path) -> dict[str, Any]:
            nonlocal plan
            plan = self.explain(inputs)
            paths = {name: store.path(its) if isinstance(its, Artifact) else its for name, its in inputs.items()}
            if self.resumes_on:
                paths["resume"] = Resume(self.resume_key(inputs), ignored=refresh and not is_retry)
            return self.function(**paths, folder=folder) or {}

        artifact, _ = store.get_or_make(self.key(inputs), fill, made_of=self.made_of(inputs), refresh=refresh)
        return artifact, plan

    def plan(self, inputs: dict[str, Any]) -> tuple[Artifact, StepPlan]:
        """Return the step's artifact and what a call would do; writes nothing, and does not verify the files.

        The artifact of a step that would run has no files, and what the steps after it would do is unknown.
        """
        absent, refresh = Artifact(key=f"{self.name}/unknown", files={}), is_refreshing()
        for value in inputs.values():
            if isinstance(value, Artifact) and not value.files:
                return absent, StepPlan(self.name, "unknown", f"{value.step} has not run")
        if not refresh and (found := open_store().peek(self.key(inputs))):
            return found, StepPlan(self.name, "cached")
        return absent, self.explain(inputs)

    def explain(self, inputs: dict[str, Any]) -> StepPlan:
        """Return why the step must run."""
        causes = causes_of(self.name, self.made_of(inputs), open_store())
        return StepPlan(self.name, "runs", describe_causes(causes), causes or [])

    def key(self, inputs: dict[str, Any]) -> str:
        """Return `<step>/<sha256>` of all that determines the result."""
        return f"{self.name}/{digest(self.made_of(inputs))}"

    def resume_key(self, inputs: dict[str, Any]) -> str:
        """Return the key of what an interrupted run finished; it differs from the artifact's, as its lock must."""
        reduce = self.resumes_on or (lambda settings: settings)
        return self.key(inputs | {"settings": reduce(inputs["settings"]), "of": "resume"})

    def made_of(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return what the key is made of, by kind and name: settings, inputs, our modules and library versions.

        A parameter annotated with a settings model counts with that model's fields only: `settings: PadSettings` may be
        passed all of `DataSettings`.
        """
        hints = typing.get_type_hints(self.function)
        parts: dict[str, Any] = {}
        for name, value in inputs.items():
            if isinstance(value, BaseModel) and not isinstance(value, Artifact):
                model = hints.get(name, type(value))
                own = value.model_dump(mode="json", include=set(model.model_fields))
                parts |= {f"setting {section_of(model)}.{field}": setting for field, setting in own.items()}
            else:
                kind = "input" if name in MADE_BY else "setting"
                parts[f"{kind} {name}"] = value.sha256 if isinstance(value, Artifact) else to_jsonable_python(value)
        return parts | describe_code(self.function.__module__)

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
    *,
    run_name: str | None = None,
    resumes_on: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Callable[[Function], Step]:
    """Make a function a cached step; `options` are those of the Prefect task, such as retries.

    `run_name` is that of the task run, with the inputs in braces; None takes the step's name. `resumes_on` is
    as in `Step`.
    """
    return lambda function: Step(function, resumes_on, {**options, "task_run_name": run_name or function.__name__})


def task_signature(function: Function) -> inspect.Signature:
    """Return the signature of a step's task: the function's, without what the step adds."""
    signature = inspect.signature(function)
    inputs = [value for name, value in signature.parameters.items() if name not in ("folder", "resume")]
    return signature.replace(parameters=inputs)


def section_of(model: Any) -> str:
    """Return the section of a run's settings that a step's settings are part of, as "data" for `PadSettings`."""
    run = RunSettings()
    return next((name for name in RunSettings.model_fields if isinstance(getattr(run, name), model)), "settings")


_PLANS: ContextVar[list[StepPlan] | None] = ContextVar("plans", default=None)


@contextmanager
def planning() -> Iterator[list[StepPlan]]:
    """Make the calls of steps say what they would do, in the list, instead of running."""
    plans: list[StepPlan] = []
    token = _PLANS.set(plans)
    try:
        yield plans
    finally:
        _PLANS.reset(token)


def is_planning() -> bool:
    """Return whether steps say what they would do instead of running."""
    return _PLANS.get() is not None


def is_refreshing() -> bool:
    """Return whether the environment tells Prefect to run every step again."""
    return TypeAdapter(bool).validate_python(os.environ.get("PREFECT_TASKS_REFRESH_CACHE", False))


class Deferred(Generic[Inputs, Result]):
    """A Prefect flow or task that is made when it is first used."""

    def __init__(self, function: Callable[Inputs, Result], kind: str, **options: Any) -> None:
        functools.update_wrapper(self, function)
        self._made = functools.cache(lambda: getattr(import_module("prefect"), kind)(function, **options))

    def __call__(self, *arguments: Inputs.args, **named: Inputs.kwargs) -> Result:
        """Run the flow or task."""
        return self._made()(*arguments, **named)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made(), name)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._made())  # Prefect deploys instances of Flow only

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        return self._made().__reduce_ex__(protocol)  # type: ignore[no-any-return]


def flow(name: str) -> Callable[[Callable[Inputs, Result]], Deferred[Inputs, Result]]:
    """Make a function a Prefect flow."""
    return lambda function: Deferred(function, "flow", name=name, persist_result=False)


def task(run_name: str) -> Callable[[Callable[Inputs, Result]], Deferred[Inputs, Result]]:
    """Make a function a Prefect task that is not cached; `run_name` may have its inputs in braces."""
    return lambda function: Deferred(function, "task", task_run_name=run_name, persist_result=False)


def run_logger() -> "logging.Logger | logging.LoggerAdapter[logging.Logger]":
    """Return the logger of the flow or task that runs; of steps in general in a dry run, and where nothing runs."""
    if not is_planning():
        from prefect.exceptions import MissingContextError
        from prefect.logging import get_run_logger

        with suppress(MissingContextError):
            return get_run_logger()
    return logging.getLogger("prefect.steps")


def flow_run_id() -> str:
    """Return the id of the flow run, by which the records of its steps are found."""
    from prefect.runtime import flow_run

    return str(flow_run.id)
