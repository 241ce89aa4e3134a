import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from serving.settings import ServeSettings
from tasks.core.command_settings import CompareSettings, PredictSettings
from tasks.core.data_settings import drop_label_flag
from tasks.core.errors import UsageError
from tasks.core.run_settings import RunSettings
from tasks.reporting import command_line
from tests.support.small_runs import parse_command_line, small


def parse(*arguments: str) -> RunSettings:
    return parse_command_line(RunSettings, arguments, "imdb_flow.py", "The pipeline.")


def test_without_flags_the_settings_are_the_defaults():
    assert parse() == RunSettings()


def test_flags_override_variables_which_override_presets_and_defaults(tmp_path, monkeypatch):
    preset = tmp_path / "mine.toml"
    preset.write_text("\ufeff[data]\nmaxlen = 10\nnum_words = 20\nskip_top = 5\n")
    monkeypatch.setenv("IMDB_DATA__NUM_WORDS", "30")
    monkeypatch.setenv("IMDB_DATA__SKIP_TOP", "7")
    data = parse("--preset", str(preset), "--data.skip-top", "8").data
    assert (data.maxlen, data.num_words, data.skip_top, data.index_from) == (10, 30, 8, 3)


def test_flags_accept_none_and_booleans():
    settings = parse("--data.num-words", "none", "--no-model.bidirectional", "--training.keep-best")
    assert settings.data.num_words is None
    assert settings.model.bidirectional is False
    assert settings.training.keep_best is True


@pytest.mark.parametrize(
    "label",
    [
        "a",
        "so so",
        "-1",
        "-x",
        "none",
        "True",
        "a, b",
        "it's",
        "[1]",
        "{x}",
        "1,5",
    ],
)
def test_the_flag_that_leaves_out_a_label_can_be_pasted(label):
    flag = shlex.split(drop_label_flag(label))
    assert parse("--data.dataset", "a.csv", *flag).data.drop_labels == (label,)
    assert parse("--data.dataset", "a.csv", *flag, *flag).data.drop_labels == (label, label)


@pytest.mark.parametrize("labels", ["none", "true", "half-true,false"])
def test_labels_that_look_like_json_can_be_left_out(labels):
    assert parse("--data.dataset", "a.csv", "--data.drop-labels", labels).data.drop_labels == tuple(labels.split(","))


def test_the_metric_has_a_short_flag():
    assert parse("--metric", "f1_macro") == parse("--evaluation.metric", "f1_macro") != parse()
    with pytest.raises(UsageError, match=r"evaluation.metric rouge: input should be 'accuracy', 'f1_macro'"):
        parse("--metric", "rouge")


def test_none_is_read_as_a_string_if_it_is_one_of_the_choices():
    flags = ["--training.learning-rate-decay", "none", "--training.class-weight", "none", "--runner", "none"]
    settings = parse_command_line(CompareSettings, flags, "compare_flow.py", "")
    assert (settings.training.learning_rate_decay, settings.training.class_weight, settings.runner) == ("none",) * 3


def test_the_case_study_preset_equals_the_defaults():
    assert parse("--preset", "case-study") == RunSettings()


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        (["--data.dataset", "reviews.csv", "--preset", "quick"], "unicode"),
        (["--data.dataset", "reviews.csv", "--data.tokenisation", "keras"], "keras"),
        (["--data.dataset", "rotten-tomatoes", "--preset", "quick"], "keras"),
        (["--preset", "quick"], "keras"),
    ],
)
def test_own_texts_are_tokenised_as_unicode_by_default(flags, rule):
    assert parse(*flags).data.tokenisation == rule


def test_compare_accepts_its_own_flags_together_with_a_preset():
    flags = ["--cells", "lstm,gru", "--ways", "two", "--presets", "fast", "--seeds", "3"]
    settings = parse_command_line(CompareSettings, ["--preset", "quick", *flags], "compare_flow.py", "Compare.")
    assert (settings.cells, settings.ways, settings.presets) == (("lstm", "gru"), ("two",), ("fast",))
    assert (settings.seeds, settings.data.max_reviews) == (3, 1_000)
    alone = parse_command_line(CompareSettings, ["--cells", "none", "--presets", "fast,tuned"], "compare_flow.py", "")
    assert (alone.cells, alone.presets) == ((), ("fast", "tuned"))


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--data.maxlen", "-5"], ["--data.maxlen -5: input should be greater than or equal to 1"]),
        (
            ["--data.maxlen", "-5", "--model.cell", "transformer"],
            ["--data.maxlen -5", "--model.cell transformer: input should be 'simple_rnn', 'lstm' or 'gru'"],
        ),
        (["--data.maxlin", "5"], ["did you mean --data.maxlen?"]),
        (["--preset", "slow"], ["no such preset (auto, case-study, fast, quick, tuned)"]),
        (["--data.drop-labels", 'a"b'], ["--data.drop-labels: not JSON (Mismatched quotes); fix or unset it; a list"]),
        (["--model.cell", "simple_rnn", "--model.recurrent-activation", "tanh"], ["simple_rnn has none"]),
    ],
)
def test_each_invalid_flag_is_reported_in_one_line(arguments, lines):
    with pytest.raises(UsageError) as raised:
        parse(*arguments)
    said = str(raised.value).splitlines()
    assert len(said) == len(lines)
    assert all(line in text for line, text in zip(lines, said, strict=True))


def test_a_password_is_not_printed():
    with pytest.raises(UsageError, match="has a user or a password in it") as raised:
        parse("--data.source", "https://me:secret@mirror/imdb.npz")
    assert "secret" not in str(raised.value)


def test_an_unknown_key_or_invalid_toml_in_a_preset_is_reported(tmp_path):
    preset = tmp_path / "mine.toml"
    preset.write_text("[data]\nmaxlin = 10\n")
    with pytest.raises(UsageError, match=r"preset .*mine\.toml: data\.maxlin: no such setting; did you mean maxlen\?"):
        parse("--preset", str(preset))
    preset.write_text("[data\n")
    with pytest.raises(UsageError, match="cannot be read as TOML"):
        parse("--preset", str(preset))


def test_a_runs_config_is_a_preset(first_run, imdb, monkeypatch):
    config = (first_run / "runs" / "latest" / "config.json").resolve()
    assert {*json.loads(config.read_bytes())} == {*RunSettings.model_fields}
    assert parse("--preset", str(config)) == small(imdb)
    monkeypatch.setenv("IMDB_DATA__NUM_WORDS", "30")
    changed = parse("--preset", str(config), "--training.epochs", "9", "--no-tracking.texts")
    assert changed == small(imdb, data={"num_words": 30}, training={"epochs": 9}, tracking={"texts": False})


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('{"model": {"lstm_size": 5}}', "model.lstm_size: no such setting"),
        ('{"judging": {}}', "judging: no such setting; remove it from the file"),
        ("[]", "cannot be read as JSON ('list' object is not a mapping)"),
        ("{", "cannot be read as JSON (Expecting property name"),
    ],
)
def test_a_config_that_is_not_of_this_version_is_named(tmp_path, monkeypatch, content, line):
    config = tmp_path / "config.json"
    config.write_text(content)
    with pytest.raises(UsageError) as raised:
        parse("--preset", str(config))
    assert str(raised.value).startswith(f"--preset {config}: {line}")
    monkeypatch.setenv("IMDB_PRESET", str(config))
    with pytest.raises(UsageError) as raised:
        parse()
    assert str(raised.value).startswith(f"IMDB_PRESET {config}: {line}")


def test_an_invalid_flag_exits_with_status_2_before_anything_runs(store, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["imdb_flow.py", "--data.maxlen", "0"])
    assert command_line.run_flow(lambda _: pytest.fail("it ran"), RunSettings, pytest.fail, pytest.fail) == 2
    said = "imdb_flow.py: error: --data.maxlen 0: input should be greater than or equal to 1\n"
    assert capsys.readouterr().err == said
    assert not store.exists()


def test_help_describes_flags_without_importing_prefect_or_tensorflow():
    flow = Path(__file__).parents[2] / "flows" / "imdb_flow.py"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(flow), "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    told = "".join(done.stdout.split())  # long lines are wrapped
    for section, its in RunSettings.model_fields.items():
        for name, field in getattr(its.annotation, "model_fields", {}).items():
            assert f"--{section}.{name}".replace("_", "-") in told
            assert "".join(field.description.split()) in told
    assert "words kept of each text (default: 256)" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time" in line}
    assert "pydantic" in imported
    assert not imported & {"prefect", "tensorflow", "keras", "sklearn", "matplotlib"}


def test_help_has_the_description_of_a_flow_without_its_arguments(monkeypatch, capsys):
    def flow(settings):
        """Do one thing.

        In two paragraphs.

        Args:
            settings: of the thing.

        Returns:
            The folder.
        """

    monkeypatch.setattr(sys, "argv", ["flow.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        command_line.run_flow(flow, RunSettings, pytest.fail)
    help_text = " ".join(capsys.readouterr().out.split())
    assert "Do one thing. In two paragraphs. options:" in help_text
    assert "Args:" not in help_text
    assert "The folder." not in help_text


FOREIGN = {
    "IMDB_DATA": "/data/imdb",
    "IMDB_MODEL": "lstm",
    "IMDB_HOST": "db",
    "IMDB_PORT": "tcp://10.0.0.1:80",
    "IMDB_X": "1",
}


def test_variables_of_other_software_are_ignored(monkeypatch, capsys):
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    assert parse() == RunSettings()
    assert capsys.readouterr().err == ""


def test_used_environment_variables_are_listed(monkeypatch, capsys):
    monkeypatch.setenv("IMDB_DATA__MAXLEN", "10")
    monkeypatch.setenv("IMDB_MODEL__UNITS", "7")
    settings = parse("--training.epochs", "2")
    assert (settings.data.maxlen, settings.model.units) == (10, 7)
    said = capsys.readouterr().err
    assert said == "imdb_flow.py: settings from the environment: IMDB_DATA__MAXLEN, IMDB_MODEL__UNITS\n"


@pytest.mark.parametrize(
    ("model", "variables", "line"),
    [
        (
            RunSettings,
            {"IMDB_DATA__MAXLEN": "-5"},
            "IMDB_DATA__MAXLEN -5: input should be greater than or equal to 1; ",
        ),
        (RunSettings, {"IMDB_DATA__MAXLIN": "5"}, "IMDB_DATA__MAXLIN: no such setting; did you mean maxlen?"),
        (RunSettings, {"IMDB_PRESET": "slow"}, "IMDB_PRESET slow: no such preset"),
        (RunSettings, {"IMDB_DEBUG": "maybe"}, "IMDB_DEBUG maybe: input should be a valid boolean"),
        (CompareSettings, {"IMDB_CELLS": "gru"}, "IMDB_CELLS: not JSON (Expecting value"),
        (PredictSettings, {"IMDB_INPUT": "a.csv"}, "input and output go together; the environment sets IMDB_INPUT"),
        (ServeSettings, {"IMDB_PORT": "tcp://10.0.0.1:80"}, "IMDB_PORT: input should be a valid integer"),
    ],
)
def test_the_error_names_an_invalid_variable(monkeypatch, model, variables, line):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as raised:
        parse_command_line(model, [], "command", "")
    assert str(raised.value).startswith(line)
    assert "--" not in str(raised.value).partition("; fix or unset it, or give --")[0]
    assert "\n" not in str(raised.value)


def test_a_flag_overrides_an_invalid_variable(monkeypatch):
    monkeypatch.setenv("IMDB_PORT", "tcp://10.0.0.1:80")
    assert parse_command_line(ServeSettings, ["--port", "9000"], "serve", "").port == 9000
