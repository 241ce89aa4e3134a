import httpx
import pytest
from prefect import flow, get_client

from tasks.core import progress
from tasks.core.progress import showing_progress


def artifacts_of(key: str) -> list:
    with get_client(sync_client=True) as client:
        return [its for its in client.read_artifacts() if its.key == key]


@pytest.fixture
def train(prefect_server):
    """Train for two epochs of two batches within a flow, and do something between them."""

    def train(between=lambda: None):
        @flow
        def training():
            with showing_progress(2) as on_batch:
                on_batch(1, 1, 2)
                on_batch(1, 2, 2)
                between()
                on_batch(2, 1, 2)
                on_batch(2, 2, 2)

        training()

    return train


def test_prefect_is_told_when_training_is_done(train):
    train()
    assert [float(its.data) for its in artifacts_of("training")][-1:] == [100.0]


def test_training_goes_on_where_prefects_server_stops_answering(train, monkeypatch, caplog):
    def refuse(*_arguments, **_options):
        raise httpx.ConnectError("gone")

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_UPDATES", 0)
    train(lambda: monkeypatch.setattr(progress, "update_progress_artifact", refuse))
    assert caplog.text.count("is not told of the progress any more (gone)") == 1
