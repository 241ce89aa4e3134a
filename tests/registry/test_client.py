import pytest

from tasks.registry.client import experiment_id, registry


@pytest.fixture
def client(store):
    with registry(None) as client:
        yield client


def test_an_experiment_that_another_store_makes_meanwhile_is_taken(client, monkeypatch):
    made, look = experiment_id(client, None, "films"), client.get_experiment_by_name
    seen = [None, look("films")]
    monkeypatch.setattr(client, "get_experiment_by_name", lambda _name: seen.pop(0))
    assert experiment_id(client, None, "films") == made
    assert seen == []
