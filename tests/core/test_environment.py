import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.environment import database_address

PROJECT = Path(__file__).parents[2]
SCRIPT = """
from tasks.core import environment
environment.prepare([])
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.engine import make_url
print(make_url(PREFECT_API_DATABASE_CONNECTION_URL.value()).database)
"""


@pytest.mark.parametrize("name", ["a b#c%20d?e", "plain"])
def test_prefect_keeps_its_database_in_the_store_whatever_its_name_is(tmp_path, name):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    environment = clean | {"ARTIFACTS_STORE": str(tmp_path / name), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str(tmp_path / name / "prefect" / "prefect.db"), done.stderr


def test_a_database_that_the_user_has_named_stays_named(monkeypatch):
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////elsewhere.db")
    assert database_address(Path("/a?b")) == {}
