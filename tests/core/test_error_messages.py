import pytest

from tasks.core.error_messages import describe, is_debugging, say
from tasks.core.errors import InputError


def caught(make) -> BaseException:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - of any kind
        make()
    return raised.value


def test_a_foreseen_error_speaks_for_itself():
    assert describe(InputError("a.csv: row 3 has no text")) == "a.csv: row 3 has no text"


def test_an_unforeseen_one_is_one_line_with_its_kind_its_place_and_the_way_to_more():
    found = describe(caught(lambda: {}["word"]))
    assert found.startswith("nobody foresaw this: KeyError at test_uncaught.py:")
    assert found.endswith(", 'word'; --debug shows where it comes from")
    assert "\n" not in describe(ValueError("first\nsecond"))
    assert "no reason given" in describe(ValueError())


def test_what_the_operating_system_refuses_names_the_place(tmp_path):
    found = describe(caught((tmp_path / "gone").read_text))
    assert found.startswith(f"{tmp_path / 'gone'}: No such file or directory; mend this place")


def test_a_message_is_never_longer_than_five_lines(capsys):
    say("train", "\n".join("abcdefg"))
    assert capsys.readouterr().err == "train: a\ntrain: b\ntrain: c\ntrain: d\ntrain: … and 3 more\n"
    say("train", "x" * 5000)
    assert len(capsys.readouterr().err) < 1100


def test_tracebacks_are_for_those_who_ask(monkeypatch):
    monkeypatch.delenv("IMDB_DEBUG", raising=False)
    assert not is_debugging()
    monkeypatch.setenv("IMDB_DEBUG", "true")
    assert is_debugging()
