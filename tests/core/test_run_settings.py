import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.core.command_settings import ExportSettings, PredictSettings
from tasks.core.data_settings import DataSettings, EncodeSettings, PadSettings, SourceSettings
from tasks.core.run_settings import ModelSettings, RunSettings, ThresholdSettings, TrainingSettings


def test_the_defaults_are_those_of_the_case_study():
    settings = RunSettings()
    assert (settings.data.num_words, settings.data.maxlen, settings.data.validation_split) == (
        10_000,
        256,
        0.2,
    )
    model = settings.model
    assert (model.cell, model.bidirectional, model.units, model.embedding_dim) == ("lstm", True, 64, 128)
    assert (model.dense_units, model.dense_dropout, model.readout, model.layers) == (64, 0.3, "last", 1)
    assert (settings.training.epochs, settings.training.batch_size) == (5, 128)
    assert settings.training.early_stopping_patience is None
    assert settings.training.keep_best is False


def test_settings_are_frozen_and_misspelt_keys_are_errors():
    with pytest.raises(ValidationError):
        RunSettings().data.maxlen = 3
    with pytest.raises(ValidationError, match="maxlin"):
        RunSettings.model_validate({"data": {"maxlin": 3}})


def test_source_encode_and_pad_settings_do_not_overlap():
    parts = [set(part.model_fields) for part in (SourceSettings, EncodeSettings, PadSettings)]
    assert set(DataSettings.model_fields) == set.union(*parts) | {"on_unreachable", "refresh"}
    assert sum(map(len, parts)) == len(set.union(*parts))


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (PadSettings, {"maxlen": -1}, "maxlen"),
        (EncodeSettings, {"validation_split": 1.0}, "validation_split"),
        (ModelSettings, {"cell": "transformer"}, "simple_rnn"),
        (ModelSettings, {"cell": "simple_rnn", "recurrent_activation": "tanh"}, "simple_rnn has none"),
        (ModelSettings, {"embedding_dim": 0}, "nothing to read; add phrases or word_vectors"),
        (EncodeSettings, {"num_words": 2}, "ids end below num_words = 2"),
        (SourceSettings, {"sha256": "abc"}, "sha256"),
        (SourceSettings, {"dataset": "bank"}, r"a folder \(with a /, as bank/\)"),
        (
            SourceSettings,
            {"dataset": "hf://datasets/a/b.csv"},
            r"expected a path, s3://, gs:// or https://",
        ),
        (SourceSettings, {"dataset": "file:///a.csv"}, "expected a path, s3://, gs:// or https://"),
        (SourceSettings, {"dataset": "rotten-tomatoes", "source": "x.npz"}, "for the dataset imdb"),
        (TrainingSettings, {"learning_rate": 0}, "learning_rate"),
        (ExportSettings, {"output": "s3://models/1"}, "is an address, expected a path on this machine"),
        (PredictSettings, {"input": "s3://in/a.csv", "output": "b.csv"}, r"copy the files \(aws s3 sync\) or mount"),
        (PredictSettings, {"text": "a", "model": "runs/1", "registered_model": "a"}, "the model is a run folder"),
        (ThresholdSettings, {"cost": [["a", "b", 2], ["a", "b", 5]]}, "twice"),
    ],
)
def test_an_invalid_value_is_refused(kind, values, message):
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(values)


@pytest.mark.parametrize("number", [math.inf, math.nan])
def test_infinite_and_nan_values_are_refused(number):
    for name, section in RunSettings.model_fields.items():
        for key, field in section.annotation.model_fields.items():
            if "float" in str(field.annotation):
                value = [["a", "b", number]] if "tuple" in str(field.annotation) else number
                with pytest.raises(ValidationError, match=r"finite|less than|greater than"):
                    RunSettings.model_validate({name: {key: value}})


def test_every_setting_has_a_description():
    for section in RunSettings.model_fields.values():
        for name, field in section.annotation.model_fields.items():
            assert field.description, name


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({}),
    st.sampled_from(["lstm", "gru", "pre", "post", "imdb", "max", "tanh", "file:///a", "http://u:p@h/x"]),
)  # fmt: skip
SECTION = {
    name: st.dictionaries(st.sampled_from(sorted(field.annotation.model_fields)), ANYTHING, max_size=4)
    for name, field in RunSettings.model_fields.items()
}


@given(st.fixed_dictionaries({}, optional=SECTION))
def test_any_values_are_refused_or_survive_a_json_round_trip(values):
    try:
        settings = RunSettings.model_validate(values)
    except ValidationError:
        return
    assert RunSettings.model_validate_json(settings.model_dump_json()) == settings


def test_a_password_in_a_source_is_refused_and_not_repeated():
    with pytest.raises(ValidationError, match="has a user or a password in it") as raised:
        SourceSettings(source="https://me:secret@mirror/imdb.npz")
    assert "secret" not in str(raised.value)
