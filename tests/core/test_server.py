import sqlite3

import pytest

from tasks.core.server import set_aside_damaged_database


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "prefect.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table flow_run (name text)")
        connection.executemany("insert into flow_run values (?)", [(f"run {number}" * 20,) for number in range(500)])
    connection.close()
    return path


def test_a_sound_database_is_left_as_it_is(database):
    before = database.read_bytes()
    set_aside_damaged_database(database, warn=pytest.fail)
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"\0" * 100 + content[100:],
        lambda content: content[: len(content) // 2],
        lambda content: content[:4096] + b"\xff" * 4096 + content[8192:],
        lambda content: b"no database at all",
    ],
    ids=["header", "truncated", "page", "text"],
)
def test_a_damaged_database_is_set_aside_and_named(database, damage):
    damaged = damage(database.read_bytes())
    database.write_bytes(damaged)
    said = []
    set_aside_damaged_database(database, warn=said.append)
    assert not database.exists()
    (aside,) = database.parent.glob("prefect.db.damaged-*")
    assert aside.read_bytes() == damaged
    assert str(database) in said[0]
    assert aside.name in said[0]
