import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.command_settings import CompareSettings
from tasks.core.errors import InputError
from tasks.core.run_settings import ModelSettings, RunSettings, TrainingSettings
from tasks.evaluation.comparison_members import (
    chosen_run,
    compare_pairs,
    cost_of,
    found_member,
    holm,
    members_of,
    summarise_runs,
)
from tasks.evaluation.metrics import wilson_interval
from tasks.evaluation.significance import compare


def list_members(files=None, **settings) -> list:
    return members_of(CompareSettings.model_validate(settings), files or {})


def names(members) -> list[str]:
    return [member.name for member in members]


def test_each_cell_is_compared_unidirectional_and_bidirectional_with_equal_settings():
    members = list_members(training={"epochs": 3})
    assert names(members) == [
        "simple_rnn unidirectional",
        "simple_rnn bidirectional",
        "lstm unidirectional",
        "lstm bidirectional",
        "gru unidirectional",
        "gru bidirectional",
    ]
    for member in members:
        (run,) = member.runs
        assert run.model_copy(update={"model": ModelSettings()}) == RunSettings(training=TrainingSettings(epochs=3))


def test_the_bidirectional_lstm_has_the_settings_of_the_case_study():
    by_name = {member.name: member for member in list_members()}
    assert by_name["lstm bidirectional"].runs == (RunSettings(),)


def test_a_seed_changes_only_the_model_and_training_seeds():
    first, second = list_members(cells=["gru"], seeds=2)[0].runs
    assert (second.model.seed, second.training.seed) == (first.model.seed + 1, first.training.seed + 1)
    same = {"model": first.model, "training": first.training}
    assert second.model_copy(update=same) == first


def test_a_simple_rnn_ignores_the_recurrent_activation():
    members = list_members(model={"recurrent_activation": "hard_sigmoid"})
    said = {member.runs[0].model.cell: member.runs[0].model.recurrent_activation for member in members}
    assert said == {"simple_rnn": None, "lstm": "hard_sigmoid", "gru": "hard_sigmoid"}


def test_a_preset_overrides_the_comparison_except_for_max_reviews():
    preset = {"data": {"maxlen": 40, "max_reviews": 10}, "model": {"units": 4}, "training": {"epochs": 1}}
    settings = {"data": {"max_reviews": 500, "maxlen": 99}, "training": {"epochs": 7}}
    lstm, own = list_members({"mine": preset}, cells=["lstm"], ways=["one"], presets=["mine"], **settings)
    assert (lstm.name, own.name) == ("lstm unidirectional", "preset mine")
    its = own.runs[0]
    assert (its.data.max_reviews, its.data.maxlen, its.model.units, its.training.epochs) == (500, 40, 4, 1)


def test_duplicate_members_are_removed():
    assert names(list_members({"case-study": {}}, cells=["lstm"], presets=["case-study"])) == [
        "lstm unidirectional",
        "lstm bidirectional",
    ]


def test_an_invalid_member_is_named_with_the_reason():
    with pytest.raises(InputError, match=r"trial 1: model.units: input should be"):
        found_member("trial 1", CompareSettings(), {"model.units": "0"})


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ({"trainig": {"epochs": 20}}, "--presets mine: trainig: "),
        ({"model": 3}, "--presets mine: model: input should be"),
        ({"auto": {"minutes": 10}}, "--presets mine: it chooses one of several models"),
    ],
)
def test_a_preset_that_cannot_be_compared_is_refused(preset, said):
    with pytest.raises(InputError, match=said):
        list_members({"mine": preset}, presets=["mine"])


def test_a_comparison_needs_at_least_two_networks():
    with pytest.raises(InputError, match="only gru bidirectional is asked for"):
        list_members(cells=["gru"], ways=["two"])
    with pytest.raises(InputError, match="no network"):
        list_members(cells=None)


def test_a_search_may_add_the_second_network():
    settings = CompareSettings(cells=("gru",), ways=("two",), trials=3, seeds=2)
    assert names(members_of(settings, {})) == ["gru bidirectional"]
    found = found_member("trial 2", settings, {"model.units": "48", "training.learning_rate": "0.00123"})
    assert [its.model.units for its in found.runs] == [48, 48]
    assert found.runs[0].training == TrainingSettings(learning_rate=0.00123)


def ran(accuracy: float, loss: float, best: int = 2, seconds=(3.0, 1.0, 1.0)) -> dict:
    history = [{"epoch": number, "seconds": its} for number, its in enumerate(seconds, 1)]
    facts = {"accuracy": accuracy, "validation_loss": loss, "cost": loss, "parameters": 10}
    return facts | {"best_epoch": best, "history": history}


def test_seeds_are_summarised_as_mean_and_spread():
    its = summarise_runs([ran(0.8, 0.5), ran(0.9, 0.3, best=1)], tested=100)
    assert (its["accuracy"], its["validation_loss"]) == (pytest.approx(0.85), pytest.approx(0.4))
    assert its["accuracy_spread"] == pytest.approx(0.0707, abs=1e-4)
    assert its["ci95"] == wilson_interval(85, 100)
    assert its["seconds"] == 1.0, "the median, not the slow first epoch, which also traces the step"
    assert its["seconds_to_best"] == pytest.approx((4.0 + 3.0) / 2)
    assert its["best_epochs"] == [2, 1]


def test_one_seed_has_no_spread():
    its = summarise_runs([ran(0.8, 0.5)], tested=100)
    assert (its["accuracy_spread"], its["validation_spread"]) == (None, None)


def test_members_are_ranked_by_cost_rather_than_validation_loss():
    members = [
        {"name": name, "summary": summarise_runs([ran(0.8, loss) | {"cost": cost}], tested=100)}
        for name, loss, cost in (("a", 0.3, -0.7), ("b", 0.4, -0.8))
    ]
    assert [member["name"] for member in sorted(members, key=cost_of)] == ["b", "a"]


def test_ranking_ignores_test_accuracy_and_puts_failed_members_last():
    lucky, steady = (
        {"name": name, "summary": summarise_runs([run], 100)}
        for name, run in (("lucky", ran(0.95, 0.6)), ("steady", ran(0.85, 0.3)))
    )
    failed = {"name": "failed", "summary": None}
    assert [its["name"] for its in sorted([failed, lucky, steady], key=cost_of)] == ["steady", "lucky", "failed"]


def test_the_earliest_run_with_the_lowest_cost_is_chosen():
    costs = ((0.1, -0.5), (0.3, -0.8), (0.2, -0.8))  # the lowest loss has the highest cost
    assert chosen_run({"runs": [ran(0.9, loss) | {"cost": cost} for loss, cost in costs]}) == 1


P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_holm_adjustment_matches_a_hand_calculation():
    # In rising order 0.005 * 4, 0.01 * 3, then 0.03 * 2, and 0.04 * 1, which is below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(P_VALUES)
def test_holm_never_lowers_a_p_value_or_exceeds_bonferroni(p_values):
    adjusted = holm(p_values)
    for before, after in zip(p_values, adjusted, strict=True):
        assert before <= after <= min(1.0, len(p_values) * before)


@given(P_VALUES, st.floats(0.001, 0.5))
def test_holm_rejects_the_same_as_the_step_down_procedure(p_values, alpha):
    rejected, count = set(), len(p_values)
    for rank, place in enumerate(sorted(range(count), key=p_values.__getitem__)):
        if (count - rank) * p_values[place] > alpha:
            break
        rejected.add(place)
    assert {place for place, p_value in enumerate(holm(p_values)) if p_value <= alpha} == rejected


def test_each_pair_is_tested_once_on_the_same_texts(rng):
    labels = rng.integers(0, 2, 400)
    verdicts = {
        name: np.where(rng.random(400) < share, labels, 1 - labels)
        for name, share in zip("abc", (0.9, 0.85, 0.6), strict=True)
    }
    pairs = compare_pairs(labels, verdicts)
    assert [(pair["first"], pair["second"]) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in pairs:
        alone = compare(labels, verdicts[pair["first"]], verdicts[pair["second"]])
        assert {name: pair[name] for name in alone} == alone
        assert pair["adjusted"] >= pair["p_value"]
    assert compare_pairs(labels, {"a": labels}) == []
