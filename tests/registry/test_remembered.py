import sqlite3
from contextlib import closing

import pytest

from tasks.registry.local_database import own_database
from tasks.registry.remembered import notebook, recall, remember, state_of


@pytest.fixture
def database(store):
    """The store's database, with one row."""
    own_database().parent.mkdir(parents=True)
    write("CREATE TABLE aliases (name TEXT)")
    return own_database()


def write(statement: str) -> None:
    with closing(sqlite3.connect(own_database())) as connection, connection:
        connection.execute(statement)


def test_an_answer_holds_until_the_database_changes(database):
    remember("a", {"version": 1}, state_of(database))
    remember("b", {"version": 2}, state_of(database))
    assert (recall("a"), recall("b"), recall("c")) == ({"version": 1}, {"version": 2}, None)
    write("INSERT INTO aliases VALUES ('champion')")
    assert (recall("a"), recall("b")) == (None, None)
    write("DELETE FROM aliases")
    remember("b", {"version": 3}, state_of(database))
    assert (recall("a"), recall("b")) == (None, {"version": 3})


def test_what_stands_in_a_log_beside_the_database_counts(database):
    write("PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(database)) as reader:  # while one is open the log stays
        reader.execute("SELECT * FROM aliases").fetchall()
        remember("a", 1, state_of(database))
        write("INSERT INTO aliases VALUES ('champion')")
        assert recall("a") is None


def test_an_answer_goes_where_its_database_goes(database, store):
    remember("a", 1, state_of(database))
    (store / "mlflow").rename(store / "away")
    assert recall("a") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": 3}'])
def test_a_notebook_that_cannot_be_read_is_an_empty_one(database, content):
    notebook().write_bytes(content)
    assert recall("a") is None
    remember("a", 1, state_of(database))
    assert recall("a") == 1
