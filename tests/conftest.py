"""What all tests share: a store of their own, small generated reviews, and Prefect's test server."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow to draw examples; that is no failure.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Before Prefect and Keras are imported: nothing that a test leaves behind goes into artifacts/.
os.environ["ARTIFACTS_STORE"] = tempfile.mkdtemp(prefix="tests-store-")
os.environ.pop("PREFECT_API_URL", None)

from tasks.core import environment  # noqa: E402

environment.prepare([])

from tests.small_reviews import make_padded, write_imdb  # noqa: E402


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store that the code under test takes for its own."""
    root = tmp_path / "store"
    monkeypatch.setenv("ARTIFACTS_STORE", str(root))
    return root


@pytest.fixture(scope="session")
def imdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small imdb.npz and imdb_word_index.json in Keras's layout."""
    folder = tmp_path_factory.mktemp("imdb")
    write_imdb(folder)
    return folder


@pytest.fixture
def padded():
    """120 padded reviews that a small network can learn."""
    return make_padded(120, maxlen=64, seed=1)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(113)


@pytest.fixture(scope="session")
def prefect_server():
    """A real Prefect server with an empty database, for this process."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
