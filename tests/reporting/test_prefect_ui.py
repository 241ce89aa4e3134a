import httpx
import pytest
from prefect import flow, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from tasks.reporting import prefect_ui
from tasks.reporting.prefect_ui import showing_progress


def artifacts_of(key: str) -> list:
    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))


@pytest.fixture
def work(prefect_server):
    """Return a function that reports four parts of its work within a flow and calls `between` halfway."""

    def work(between=lambda: None):
        @flow
        def working():
            with showing_progress("work", "four parts") as advance:
                advance(0.25, "first")
                advance(0.5, "second")
                between()
                advance(0.75, "third")
                advance(1.0, "fourth")

        working()

    return work


def test_prefect_shows_100_percent_when_the_work_is_done(work):
    work()
    assert [float(its.data) for its in artifacts_of("work")][-1:] == [100.0]


def test_work_continues_if_prefects_server_stops_responding(work, monkeypatch, caplog):
    def refuse(*_arguments, **_options):
        raise httpx.ConnectError("gone")

    monkeypatch.setattr(prefect_ui, "SECONDS_BETWEEN_UPDATES", 0)
    monkeypatch.setattr("prefect.artifacts.update_progress_artifact", refuse)
    work(lambda: None)
    assert caplog.text.count("no longer gets the progress (gone)") == 1
