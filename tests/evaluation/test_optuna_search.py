import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tasks.core.command_settings import CompareSettings
from tasks.core.errors import InputError, SourceUnreachable, StoreError, TrainingError
from tasks.evaluation.optuna_search import best_trial, finished_trials, open_study, read_search, run_trials

SPACE = read_search("model.units=1..64 model.cell=gru,lstm")
EPOCHS = 4


class Trainings:
    """Trainings that take no time: the closer the units are to 40, the lower the loss, from the first epoch on."""

    def __init__(self, file: Path) -> None:
        self.file, self.epochs, self.points = file, 0, []

    def losses(self, _trial: str, point: Mapping[str, str]) -> Iterator[list[float]]:
        self.points.append(dict(point))
        for epoch in range(EPOCHS):
            self.epochs += 1
            yield [abs(int(point["model.units"]) - 40) / 40 + 1 / (epoch + 1)]

    def search(self, count: int, losses=None, seed: int = 7) -> list[dict]:
        study = open_study(self.file, seed)
        said: list[str] = []
        run_trials(study, SPACE, count, losses or self.losses, keep_best=False, say=said.append)
        return finished_trials(study)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A study created by Optuna, without trials; creating one takes a second, so the tests copy it."""
    file = tmp_path_factory.mktemp("a folder") / "study.db"
    open_study(file, 7)
    return file


@pytest.fixture
def trainings(tmp_path, empty) -> Trainings:
    return Trainings(shutil.copy(empty, tmp_path / "study.db"))


def test_poor_trials_are_pruned_early_and_the_best_one_completes(trainings):
    trials = trainings.search(9)
    stopped = [trial for trial in trials if trial["state"] == "pruned"]
    assert [trial["number"] for trial in trials] == list(range(9))
    assert stopped
    assert any(len(trial["losses"]) < EPOCHS for trial in stopped)
    assert trainings.epochs == sum(len(trial["losses"]) for trial in trials) < 9 * EPOCHS
    best = best_trial(trials)
    assert best["loss"] == min(trial["losses"][-1] for trial in trials)
    assert len(best["losses"]) == EPOCHS


def test_a_trial_that_is_trained_at_once_is_not_pruned(trainings):
    def at_once(_trial, point):
        # The worst after the first epoch is the best after the last.
        units = int(point["model.units"])
        yield [float(units), *(1 / units for _ in range(EPOCHS - 1))]

    trials = trainings.search(9, at_once)
    assert [trial["state"] for trial in trials] == ["complete"] * 9
    assert best_trial(trials)["point"]["model.units"] == max((its["point"]["model.units"] for its in trials), key=int)


def test_a_search_continues_without_repeating_trials(trainings):
    first = trainings.search(3)
    trained = trainings.epochs
    assert trainings.search(3) == first
    assert trainings.epochs == trained
    more = trainings.search(5)
    assert more[:3] == first
    assert len({tuple(point.items()) for point in trainings.points}) == 5


def test_an_interrupted_trial_is_rerun_and_counted_once(trainings):
    def killed(_trial, point):
        trainings.points.append(dict(point))
        yield [0.5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainings.search(2, killed)
    trials = trainings.search(2)
    assert len(trials) == 2
    assert trials[0]["point"] == trainings.points[0]


def test_a_failed_trial_is_recorded_and_the_search_continues(trainings):
    def failing(trial, point):
        if trial == "trial 1":
            raise TrainingError("the loss is not a number")
        yield from trainings.losses(trial, point)

    trials = trainings.search(3, failing)
    assert [trial["failure"] for trial in trials] == [None, "the loss is not a number", None]
    assert best_trial(trials)["number"] in (0, 2)
    assert best_trial(trials[1:2]) is None


@pytest.mark.parametrize(
    "error",
    [StoreError("disk full"), MemoryError(), ConnectionError("no server"), SourceUnreachable("gone"), RuntimeError()],
    ids=lambda error: type(error).__name__,
)
def test_a_trial_is_rerun_if_its_settings_did_not_cause_the_failure(trainings, error):
    def failing(trial, point):
        yield from trainings.losses(trial, point)
        if trial == "trial 1":
            raise error

    with pytest.raises(type(error)):
        trainings.search(2, failing)
    trials = trainings.search(2)
    assert [trial["failure"] for trial in trials] == [None] * 2
    assert trials[1]["point"] == trainings.points[1] == trainings.points[2]


def test_the_same_seed_proposes_the_same_trials(trainings, tmp_path, empty):
    other = Trainings(shutil.copy(empty, tmp_path / "other.db"))
    assert trainings.search(3) == other.search(3)


def test_a_search_space_has_ranges_log_ranges_and_choices():
    space = "model.units=16..128 model.dropout=0..0.5 training.learning-rate=1e-4..1e-2 model.cell=gru,lstm"
    assert read_search(space) == {
        "model.units": IntDistribution(16, 128),
        "model.dropout": FloatDistribution(0, 0.5),
        "training.learning_rate": FloatDistribution(0.0001, 0.01, log=True),
        "model.cell": CategoricalDistribution(["gru", "lstm"]),
    }


def test_the_default_search_space_is_valid():
    assert set(read_search(CompareSettings().search)) >= {"model.units", "training.learning_rate"}


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("", "at least one setting"),
        ("model.units", "expected one SECTION.SETTING=VALUE,VALUE"),
        ("model.units=32,,64", "expected one"),
        ("model.units=32 model.units=64", "expected one"),
        ("model.unit=32", "model.unit: no such setting"),
        ("tracking.enabled=no", "tracking.enabled: no such setting in data, model, phrases, training"),
        ("training.seed=1,2", "is what --seeds says"),
        ("data.max-reviews=100,200", "compared on the same ones"),
        ("model.units=128..16", "two numbers, the lower one first"),
        ("model.units=few..many", "two numbers"),
        ("training.learning_rate=1..inf", "two numbers"),
        ("model.seed=1..9", "is what --seeds says"),
        ("training.keep_best=true,false", "is what --training.keep_best says"),
        ("data.validation_split=0.1..0.3", "compared on the same ones"),
    ],
)
def test_an_invalid_search_space_is_refused_with_the_reason(search, said):
    with pytest.raises(InputError, match=said):
        read_search(search)
