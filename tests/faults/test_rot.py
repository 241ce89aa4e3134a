import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.faults.driver import Driver, assert_nothing_torn, contents, made

pytestmark = pytest.mark.faults

ROUNDS, FILES = int(os.environ.get("FAULT_ROUNDS", 5)), 4


def damageable(store: Path) -> list[Path]:
    """Every file below the store but the lock files, which are empty, and MLflow's, which no step can make again."""
    kept_out = {"locks", "mlflow"}
    return sorted(path for path in store.rglob("*") if path.is_file() and not kept_out & set(path.parts))


def damage(path: Path, dice: random.Random) -> str:
    """Flip a byte of a file, cut it short or remove it; return what was done."""
    content, what = path.read_bytes(), dice.choice(["flip", "truncate", "remove"])
    if what == "remove" or not content:
        path.unlink()
    elif what == "truncate":
        path.write_bytes(content[: dice.randrange(len(content))])
    else:
        place = dice.randrange(len(content))
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << dice.randrange(8))]) + content[place + 1 :])
    return f"{what} {path}"


def test_damaged_files_are_named_and_made_again(driver, undisturbed, tmp_path, capsys):
    seed = time.time_ns() % 10**6
    dice, store = random.Random(seed), tmp_path / "store"
    shutil.copytree(undisturbed[1], store, symlinks=True)
    expected = contents(undisturbed[0])
    for _ in range(ROUNDS):
        done = [damage(path, dice) for path in dice.sample(damageable(store), FILES)]
        told = f"seed {seed}: {done}"
        metrics = driver.finish(store)
        assert contents(metrics) == expected, told
        for step in expected:
            steps_files = [entry for entry in done if f"/{step}/" in entry]
            if steps_files:
                assert "making it again" in driver.log(), told
        assert made(driver.finish(store)) == [], told
    shutil.rmtree(store / "runs")  # where past runs were damaged, they stay so: they are no step's input
    assert_nothing_torn(store)
    with capsys.disabled():
        print(f"\nfiles damaged {ROUNDS * FILES}, survived {ROUNDS * FILES}; seed {seed}")


def test_one_damaged_step_is_the_only_one_that_is_made_again(driver, undisturbed, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(undisturbed[1], store, symlinks=True)
    for step, artifact in undisturbed[0]["artifacts"].items():
        victim = next(path for path in sorted((store / artifact["key"]).iterdir()) if path.name != "artifact.json")
        victim.write_bytes(victim.read_bytes()[:-1])
        metrics = driver.finish(store)
        assert made(metrics) == [step]
        assert contents(metrics) == contents(undisturbed[0])
        assert str(victim.parent) in driver.log()


def test_a_damaged_prefect_database_is_set_aside(imdb, tmp_path, undisturbed):
    driver, store = Driver(imdb, tmp_path), tmp_path / "store"
    driver.finish(store)
    database = store / "prefect" / "prefect.db"
    database.write_bytes(database.read_bytes()[:5000])
    metrics = driver.finish(store)
    assert made(metrics) == []
    assert contents(metrics) == contents(undisturbed[0])
    assert "database is damaged" in driver.log()
