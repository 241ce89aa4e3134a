import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.faults.driver import assert_files_complete, contents, executed

pytestmark = pytest.mark.faults

ROUNDS, FILES = int(os.environ.get("FAULT_ROUNDS", 5)), 4  # 20 rounds are enough for every file


def damageable(store: Path) -> list[Path]:
    """Return the store's files without the lock files, which are empty, and MLflow's, which no step can rebuild."""
    excluded = {"locks", "mlflow"}
    return sorted(path for path in store.rglob("*") if path.is_file() and not excluded & set(path.parts))


def damage(path: Path, dice: random.Random) -> str:
    """Flip a bit of a file, truncate it or remove it; return a description of the damage."""
    content, kind = path.read_bytes(), dice.choice(["flip", "truncate", "remove"])
    if kind == "remove" or not content:
        path.unlink()
    elif kind == "truncate":
        path.write_bytes(content[: dice.randrange(len(content))])
    else:
        index = dice.randrange(len(content))
        path.write_bytes(content[:index] + bytes([content[index] ^ (1 << dice.randrange(8))]) + content[index + 1 :])
    return f"{kind} {path}"


def test_damaged_files_are_reported_and_rebuilt(driver, undisturbed, tmp_path, capsys):
    seed = time.time_ns() % 10**6
    dice, store = random.Random(seed), tmp_path / "store"
    shutil.copytree(undisturbed[1], store, symlinks=True)
    expected, files = contents(undisturbed[0]), damageable(store)
    victims = dice.sample(files, min(len(files), ROUNDS * FILES))
    for first in range(0, len(victims), FILES):
        done = [damage(path, dice) for path in victims[first : first + FILES] if path.exists()]
        context = f"seed {seed}: {done}"
        metrics = driver.finish(store)
        assert contents(metrics) == expected, context
        for step in expected:
            folders = (f"{store}/{step}/",)  # run folders have a figures/ of their own
            if any(folder in entry for entry in done for folder in folders):
                assert "rebuilding it" in driver.log(), context
        assert executed(driver.finish(store)) == [], context
    shutil.rmtree(store / "runs")  # damaged folders of past runs stay damaged: no step reads them
    assert_files_complete(store)
    with capsys.disabled():
        print(f"\nfiles damaged {len(victims)} of {len(files)}, survived {len(victims)}; seed {seed}")


def test_only_the_damaged_step_is_rebuilt(driver, undisturbed, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(undisturbed[1], store, symlinks=True)
    for step, artifact in undisturbed[0]["artifacts"].items():
        victim = next(path for path in sorted((store / artifact["key"]).iterdir()) if path.name != "artifact.json")
        victim.write_bytes(victim.read_bytes()[:-1])
        metrics = driver.finish(store)
        assert executed(metrics) == [step]
        assert contents(metrics) == contents(undisturbed[0])
        assert str(victim.parent) in driver.log()
