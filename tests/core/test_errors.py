import pytest

from tasks.core.errors import InputError, describe, is_debugging, print_error


def caught(make) -> BaseException:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - of any kind
        make()
    return raised.value


def test_an_expected_error_is_described_by_its_message():
    assert describe(InputError("a.csv: row 3 has no text")) == "a.csv: row 3 has no text"


def test_an_unexpected_error_is_one_line_with_its_type_and_place():
    found = describe(caught(lambda: {}["word"]))
    assert found.startswith("unexpected KeyError at test_errors.py:")
    assert found.endswith(": 'word'; --debug shows the traceback")
    assert "\n" not in describe(ValueError("first\nsecond"))
    assert "no reason given" in describe(ValueError())


def test_an_operating_system_error_names_the_file(tmp_path):
    found = describe(caught((tmp_path / "gone").read_text))
    assert found.startswith(f"{tmp_path / 'gone'}: No such file or directory; fix this")


def test_a_message_is_never_longer_than_five_lines(capsys):
    print_error("train", "\n".join("abcdefg"))
    assert capsys.readouterr().err == "train: a\ntrain: b\ntrain: c\ntrain: d\ntrain: … and 3 more\n"
    print_error("train", "x" * 5000)
    assert len(capsys.readouterr().err) < 1100


def test_imdb_debug_turns_on_debugging(monkeypatch):
    monkeypatch.delenv("IMDB_DEBUG", raising=False)
    assert not is_debugging()
    monkeypatch.setenv("IMDB_DEBUG", "true")
    assert is_debugging()
