import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tasks.core.errors import InputError
from tasks.core.flow_settings import CompareSettings
from tasks.evaluation.optuna_search import read_grid, read_search


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ("model.units", "expected one SECTION.SETTING=VALUE,VALUE"),
        ("model.units=32,,64", "expected one"),
        ("model.units=32 model.units=64", "expected one"),
        ("model.unit=32", "model.unit: no such setting"),
        ("tracking.enabled=no", "tracking.enabled: no such setting in data, model, phrases, training"),
        ("model.cell=gru", "is what --cells says"),
        ("training.seed=1,2", "is what --seeds says"),
        ("data.max-reviews=100,200", "compared on the same ones"),
    ],
)
def test_a_grid_that_cannot_be_read_is_refused_with_the_reason(grid, said):
    with pytest.raises(InputError, match=said):
        read_grid(grid)


def test_a_search_has_ranges_and_values_and_searches_orders_of_magnitude_by_their_logarithm():
    space = "model.units=16..128 model.dropout=0..0.5 training.learning-rate=1e-4..1e-2 model.cell=gru,lstm"
    assert read_search(space) == {
        "model.units": IntDistribution(16, 128),
        "model.dropout": FloatDistribution(0, 0.5),
        "training.learning_rate": FloatDistribution(0.0001, 0.01, log=True),
        "model.cell": CategoricalDistribution(["gru", "lstm"]),
    }


def test_the_search_by_default_can_be_read():
    assert set(read_search(CompareSettings().search)) >= {"model.units", "training.learning_rate"}


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("", "at least one setting"),
        ("model.units=128..16", "two numbers, the lower one first"),
        ("model.units=few..many", "two numbers"),
        ("training.learning_rate=1..inf", "two numbers"),
        ("model.seed=1..9", "is what --seeds says"),
        ("data.validation_split=0.1..0.3", "compared on the same ones"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused_with_the_reason(search, said):
    with pytest.raises(InputError, match=said):
        read_search(search)
