import pytest

from tasks.core.errors import InputError
from tasks.core.flow_settings import CompareSettings
from tasks.core.settings import ModelSettings, RunSettings, TrainingSettings
from tasks.evaluation.members import found_member, members_of


def compare(files=None, **settings) -> list:
    return members_of(CompareSettings.model_validate(settings), files or {})


def names(members) -> list[str]:
    return [member.name for member in members]


def test_each_cell_is_compared_both_ways_with_all_else_alike():
    members = compare(training={"epochs": 3})
    assert names(members) == [
        "simple_rnn one-way",
        "simple_rnn two-way",
        "lstm one-way",
        "lstm two-way",
        "gru one-way",
        "gru two-way",
    ]
    for member in members:
        (run,) = member.runs
        assert run.model_copy(update={"model": ModelSettings()}) == RunSettings(training=TrainingSettings(epochs=3))


def test_the_case_studys_member_is_the_case_studys_run_so_that_it_comes_from_its_cache():
    by_name = {member.name: member for member in compare()}
    assert by_name["lstm two-way"].runs == (RunSettings(),)


def test_a_seed_changes_first_weights_and_batches_and_nothing_else():
    first, second = compare(cells=["gru"], seeds=2)[0].runs
    assert (second.model.seed, second.training.seed) == (first.model.seed + 1, first.training.seed + 1)
    same = {"model": first.model, "training": first.training}
    assert second.model_copy(update=same) == first


def test_a_cell_without_gates_takes_no_activation_of_gates():
    members = compare(model={"recurrent_activation": "hard_sigmoid"})
    said = {member.runs[0].model.cell: member.runs[0].model.recurrent_activation for member in members}
    assert said == {"simple_rnn": None, "lstm": "hard_sigmoid", "gru": "hard_sigmoid"}


def test_a_preset_brings_its_network_and_words_and_the_comparison_says_which_reviews():
    preset = {"data": {"maxlen": 40, "max_reviews": 10}, "model": {"units": 4}, "training": {"epochs": 1}}
    settings = {"data": {"max_reviews": 500, "maxlen": 99}, "training": {"epochs": 7}}
    lstm, own = compare({"mine": preset}, cells=["lstm"], ways=["one"], presets=["mine"], **settings)
    assert (lstm.name, own.name) == ("lstm one-way", "preset mine")
    its = own.runs[0]
    assert (its.data.max_reviews, its.data.maxlen, its.model.units, its.training.epochs) == (500, 40, 4, 1)


def test_of_equal_members_one_stays():
    assert names(compare({"case-study": {}}, cells=["lstm"], presets=["case-study"])) == [
        "lstm one-way",
        "lstm two-way",
    ]


def test_a_grid_multiplies_every_member():
    members = compare(cells=["gru"], ways=["two"], grid="model.units=32,64 training.learning-rate=0.01,0.001")
    assert names(members)[0] == "gru two-way, model.units=32, training.learning_rate=0.01"
    found = [(its.runs[0].model.units, its.runs[0].training.learning_rate) for its in members]
    assert found == [(32, 0.01), (32, 0.001), (64, 0.01), (64, 0.001)]
    switched = compare(cells=["gru"], ways=["one"], grid="training.bucketing=true,false training.clipnorm=none,1")
    assert {(its.runs[0].training.bucketing, its.runs[0].training.clipnorm) for its in switched} == {
        (True, None),
        (True, 1),
        (False, None),
        (False, 1),
    }


def test_a_member_that_cannot_be_had_is_named():
    with pytest.raises(InputError, match=r"gru one-way, model.units=0: model.units: input should be greater than"):
        compare(cells=["gru"], grid="model.units=0,4")


def test_one_network_is_no_comparison():
    with pytest.raises(InputError, match="only gru two-way is asked for"):
        compare(cells=["gru"], ways=["two"])
    with pytest.raises(InputError, match="no network"):
        compare(cells=None)


def test_a_search_may_add_the_second_network():
    settings = CompareSettings(cells=("gru",), ways=("two",), trials=3, seeds=2)
    assert names(members_of(settings, {})) == ["gru two-way"]
    found = found_member("trial 2", settings, {"model.units": "48", "training.learning_rate": "0.00123"})
    assert [its.model.units for its in found.runs] == [48, 48]
    assert found.runs[0].training == TrainingSettings(learning_rate=0.00123)
