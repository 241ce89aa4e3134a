import ast
import json
import time
from concurrent.futures import ThreadPoolExecutor
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tasks.baseline import baseline
from tasks.build import build
from tasks.core.files import digest
from tasks.core.run_settings import RunSettings
from tasks.download import download
from tasks.encode import encode
from tasks.evaluate import evaluate
from tasks.figures import figures
from tasks.label_check import label_check
from tasks.package import package
from tasks.pad import pad
from tasks.phrases import phrases
from tasks.score import score
from tasks.store import fingerprint as module
from tasks.store.artifact import MADE_BY, Artifact
from tasks.store.fingerprint import (
    EXCLUDED,
    causes_of,
    describe_causes,
    find_causes,
    fingerprint,
    is_in,
    parse,
    project_modules,
)
from tasks.store.step import Step, section_of, task_signature
from tasks.store.store import Store
from tasks.train import train

STEPS = [
    baseline,
    build,
    download,
    encode,
    evaluate,
    figures,
    label_check,
    package,
    pad,
    phrases,
    score,
    train,
]

# Names that the modules of steps import from packages that are not fingerprinted. Add a name only if a change to it
# cannot change the output of a step: paths, errors, file hashes, locks, logging, file names, settings (which are in
# the key).
HARMLESS = {
    *("tasks.core.data_settings", "tasks.core.run_settings", "tasks.core.errors", "tasks.core.layout"),
    *(f"tasks.core.files.{name}" for name in ("digest", "flush", "hash_file", "remove_whole", "replace_file")),
    *("tasks.core.files.explain_os_errors", "tasks.core.files.list_files"),
    *(
        f"tasks.core.user_paths.{name}" for name in ("check_relative", "printable", "user_path")
    ),  # these return their argument
    "tasks.core.optional_imports.without_packages",
    *("tasks.reporting.prefect_ui.Advance", "tasks.reporting.prefect_ui.showing_progress"),
    *(f"tasks.store.artifact.{name}" for name in ("DamagedError", "RelativeName", "Resume", "seal")),
    *(
        "tasks.store.artifact.unseal",
        "tasks.store.bucket.Bucket",
        "tasks.store.bucket.code_of",
        "tasks.store.leases.LeaseLostError",
    ),
    *("tasks.store.shared_store.open_store", "tasks.store.shared_store.SharedStore"),
    *(f"tasks.store.step.{name}" for name in ("is_planning", "run_logger", "step")),
    "tasks.store.store.Store",
}


def keys() -> dict[str, str]:
    return {step.name: step.key({}) for step in STEPS}


def changed(monkeypatch, file: str) -> set[str]:
    """Return the steps whose keys change if a file changes."""
    before, real = keys(), fingerprint
    monkeypatch.setattr(module, "fingerprint", lambda path: "new" if path.as_posix().endswith(file) else real(path))
    return {name for name, key in keys().items() if key != before[name]}


@pytest.mark.parametrize(
    "file",
    [
        "core/user_paths.py",
        "core/errors.py",
        "store/bucket.py",
        "store/store.py",
        "registry/client.py",
        "reporting/terminal_output.py",
    ],
)
def test_changes_in_excluded_modules_do_not_change_any_key(monkeypatch, file):
    assert changed(monkeypatch, f"tasks/{file}") == set()


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("texts/tokenising.py", {"encode"}),
        ("linear/naive_bayes.py", {"baseline", "phrases"}),
        ("network/custom_layers.py", {"build", "train", "score"}),
        ("evaluation/metrics.py", {"evaluate", "figures"}),
    ],
)
def test_a_changed_module_changes_the_keys_of_the_steps_that_use_it(monkeypatch, file, steps):
    assert steps <= changed(monkeypatch, f"tasks/{file}")


def test_steps_import_only_harmless_names_from_excluded_packages():
    taken = set()
    for step in STEPS:
        for path in project_modules(step.function.__module__).values():
            for node in ast.walk(parse(path)):
                if isinstance(node, ast.ImportFrom) and is_in(node.module or "", EXCLUDED):
                    taken |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert {name for name in taken if not {name, name.rpartition(".")[0]} & HARMLESS} == set()


def test_imports_are_followed_transitively_and_into_functions():
    assert {"tasks.pad", "tasks.texts.encoded", "tasks.texts.padded"} <= set(project_modules("tasks.pad"))
    assert not {"tasks.train", "tasks.network.keras_files", "tasks.store.store"} & set(project_modules("tasks.pad"))
    assert "tasks.store.store" in project_modules("tasks.pad", excluded=())
    assert "tasks.network.checkpoint" in project_modules("tasks.train")


def test_comments_docstrings_and_layout_do_not_change_a_fingerprint(tmp_path):
    def of(source: str) -> str:
        path = tmp_path / f"{abs(hash(source))}.py"
        path.write_text(source)
        return fingerprint(path)

    plain = of("def f(x):\n    return x + 1\n")
    assert of('"""Words."""\n\ndef f(x):  # a comment\n    """More words."""\n    return (x + 1)\n') == plain
    assert of("def f(x):\n    return x + 2\n") != plain


def test_only_one_thread_parses_at_a_time(monkeypatch, tmp_path):
    real, at_once, most = module.ast.parse, [], []

    def parse_slowly(source):
        at_once.append(source)
        most.append(len(at_once))
        time.sleep(0.05)
        at_once.remove(source)
        return real(source)

    monkeypatch.setattr(module.ast, "parse", parse_slowly)
    paths = [tmp_path / f"{name}.py" for name in "abc"]
    for path in paths:
        path.write_text(f"{path.stem} = 1")
    with ThreadPoolExecutor(3) as pool:
        assert all(tree.body for tree in pool.map(parse, paths))
    assert most == [1, 1, 1]


def artifact(key: str, content: str) -> Artifact:
    return Artifact(key=key, files={"a": {"size": 1, "sha256": content}})


def inputs_of(step: Step) -> dict:
    """Return artifacts and settings to call a step with, by parameter."""
    parameters = task_signature(step.function).parameters
    hints = {name: hint for name, hint in get_type_hints(step.function).items() if name in parameters}
    return {
        name: artifact(f"{MADE_BY[name]}/1", "aa") if name in MADE_BY else hint() if is_model(hint) else None
        for name, hint in hints.items()
    }


def is_model(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def others(hint: Any, value: object) -> st.SearchStrategy:
    """Draw values of a type, except the given one and None."""
    kinds = [its for its in get_args(hint) if its not in (type(None), value)]
    if get_origin(hint) is Literal:
        return st.sampled_from(kinds)
    if get_origin(hint) in (Union, UnionType):
        return st.one_of(*(others(kind, value) for kind in kinds))
    if get_origin(hint) is Annotated:
        return others(kinds[0], value)
    values = st.floats(allow_nan=False, allow_infinity=False) if hint is float else st.from_type(hint)
    return st.just(not value) if hint is bool else values.filter(lambda other: other != value)


# Settings that no step reads: the first two decide which texts are downloaded, whose hash is in the key; the third
# decides whether label_check runs.
UNREAD = {"data.on_unreachable", "data.refresh", "evaluation.label_issues"}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@settings(max_examples=3)
@given(data=st.data())
def test_each_changed_setting_input_module_or_library_is_the_named_cause(step, data):
    inputs, hints = inputs_of(step), get_type_hints(step.function)
    before = step.made_of(inputs)
    changes = {}
    for name, value in inputs.items():
        if isinstance(value, Artifact):
            changes[name] = step.made_of(inputs | {name: artifact(value.key, "other")})
        elif value is None:
            changes[name] = step.made_of(inputs | {name: data.draw(others(hints[name], None))})
        else:
            for field, info in type(value).model_fields.items():
                other = data.draw(others(info.annotation, getattr(value, field)), label=field)
                changed = inputs | {name: value.model_copy(update={field: other})}
                changes[f"{section_of(type(value))}.{field}"] = step.made_of(changed)
    for part in before:
        if part.startswith(("module ", "library ")):
            changes[part.partition(" ")[2]] = before | {part: "9.9.9"}
    assert len(changes) == len(before)
    for name, after in changes.items():
        (cause,) = find_causes(before, after)
        assert cause.name == name
        assert name in str(cause)


def test_every_setting_is_read_by_a_step():
    read = {part.partition(" ")[2] for step in STEPS for part in step.made_of(inputs_of(step))}
    sections = RunSettings.model_fields.keys() - {"tracking", "promotion", "auto"}
    fields = {
        f"{name}.{field}" for name in sections for field in RunSettings.model_fields[name].annotation.model_fields
    }
    assert fields - read == UNREAD


def test_causes_list_settings_first_and_compare_with_the_closest_artifact(tmp_path):
    store = Store(tmp_path)
    old = {"setting data.maxlen": 9, "setting data.padding": "pre", "input encoded": "aa", "library numpy": "1"}
    for number, parts in enumerate([old, old | {"setting data.maxlen": 8, "library numpy": "0"}]):
        store.get_or_make(f"pad/{number}", lambda folder: {}, made_of=parts)
    causes = causes_of("pad", old | {"input encoded": "bb", "setting data.maxlen": 7}, store)
    assert [str(cause) for cause in causes] == ["data.maxlen 9 → 7", "input encoded changed"]
    assert describe_causes(causes) == "data.maxlen 9 → 7, and 1 more"
    assert causes_of("train", old, store) is None


def test_an_artifact_of_an_earlier_version_stays_valid(tmp_path):
    """Its manifest does not have the parts of its key."""
    made, _ = Store(tmp_path).get_or_make("pad/1", lambda folder: {})
    content = made.model_dump(mode="json", exclude={"made_of"})
    (tmp_path / "pad/1/artifact.json").write_text(json.dumps({"content": content, "sha256": digest(content)}))
    assert Store(tmp_path).find("pad/1") == made
    assert causes_of("pad", {"library numpy": "1"}, Store(tmp_path)) is None
