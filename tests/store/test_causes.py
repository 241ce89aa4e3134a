import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.data_settings import DataSettings
from tasks.core.files import digest
from tasks.core.settings import TrainingSettings
from tasks.pad import pad
from tasks.store import step as module
from tasks.store.artifact import Artifact, Resume
from tasks.store.fingerprint import causes_of, describe_causes, find_causes
from tasks.store.step import planning, step
from tasks.store.store import Store
from tasks.train import train

CHANGES = {
    "training.epochs": 6,
    "training.batch_size": 7,
    "training.learning_rate": 0.5,
    "training.early_stopping_patience": 3,
    "training.keep_best": True,
}


def artifact(key: str, content: str) -> Artifact:
    return Artifact(key=key, files={"a": {"size": 1, "sha256": content}})


def made_of(change: str = "") -> dict:
    fields = {name.partition(".")[2]: value for name, value in CHANGES.items() if name == change}
    inputs = {
        "built": artifact("build/1", "other" if change == "built" else "aa"),
        "padded": artifact("pad/1", "other" if change == "padded" else "bb"),
        "learned": artifact("phrases/1", "cc") if change == "learned" else None,
        "settings": TrainingSettings(**fields),
    }
    return train.made_of(inputs)


MODULES = sorted(name for name in made_of() if name.startswith(("module ", "library ")))


@settings(max_examples=40)
@given(st.sampled_from([*CHANGES, "built", "padded", "learned", *MODULES]))
def test_the_cause_is_what_was_changed(changed):
    before, after = made_of(), made_of(changed)
    if changed in MODULES:
        after[changed] = "9.9.9"
    (cause,) = find_causes(before, after)
    assert cause.name == changed.rpartition(" ")[2]
    assert cause.name in str(cause)
    if changed in CHANGES:
        assert str(cause) == f"{changed} {cause.before if cause.before is not None else 'none'} → {CHANGES[changed]}"


def test_settings_come_first_and_the_nearest_artifact_counts(tmp_path):
    store = Store(tmp_path)
    old = {"setting data.maxlen": 9, "setting data.padding": "pre", "input encoded": "aa", "library numpy": "1"}
    for number, parts in enumerate([old, old | {"setting data.maxlen": 8, "library numpy": "0"}]):
        store.get_or_make(f"pad/{number}", lambda folder: {}, made_of=parts)
    causes = causes_of("pad", old | {"input encoded": "bb", "setting data.maxlen": 7}, store)
    assert [str(cause) for cause in causes] == ["data.maxlen 9 → 7", "input encoded changed"]
    assert describe_causes(causes) == "data.maxlen 9 → 7, and 1 more"
    assert causes_of("train", old, store) is None


def test_an_artifact_of_an_earlier_version_stays_whole(tmp_path):
    """Its manifest does not say what its key was made of."""
    made, _ = Store(tmp_path).get_or_make("pad/1", lambda folder: {})
    content = made.model_dump(mode="json", exclude={"made_of"})
    (tmp_path / "pad/1/artifact.json").write_text(json.dumps({"content": content, "sha256": digest(content)}))
    assert Store(tmp_path).find("pad/1") == made
    assert causes_of("pad", {"library numpy": "1"}, Store(tmp_path)) is None


@step(resumes_on=lambda settings: settings.model_copy(update={"epochs": 1}))
def build(*, settings: TrainingSettings, resume: Resume, folder: Path) -> None:
    (folder / "made.txt").write_text(str(settings.epochs))


def test_a_plan_says_what_would_run_and_why_and_writes_nothing(store):
    five = {"settings": TrainingSettings()}
    made, plan = build.run(five)
    assert (plan.status, plan.cause) == ("runs", "first run")
    files = sorted(store.rglob("*"))
    with planning() as plans:
        assert build(**five) == made
        absent = build(settings=TrainingSettings(epochs=6))
        padded = pad(encoded=Artifact(key="encode/unknown", files={}), settings=DataSettings())
    assert [(plan.step, plan.status, plan.cause) for plan in plans] == [
        ("build", "cached", ""),
        ("build", "runs", "training.epochs 5 → 6"),
        ("pad", "unknown", "encode has not run"),
    ]
    assert not absent.files
    assert not padded.files
    assert sorted(store.rglob("*")) == files


def test_a_plan_knows_after_which_epoch_a_training_resumes(store):
    build.run({"settings": TrainingSettings()})
    more = {"settings": TrainingSettings(epochs=6)}
    kept = store / module.CHECKPOINTS / build.resume_key(more)
    kept.mkdir(parents=True)
    for epoch in (4, 5):
        (kept / f"epoch-{epoch:05d}.json").touch()
    with planning() as plans:
        build(**more)
    assert (plans[0].status, plans[0].cause) == ("resumes", "training.epochs 5 → 6, resumed after epoch 5")
