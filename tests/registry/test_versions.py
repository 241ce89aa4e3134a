import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.core.errors import ModelError
from tasks.core.run_settings import TrackingSettings
from tasks.registry.client import experiment_id, registry
from tasks.registry.local_registry import own_registry
from tasks.registry.registry_lock import registry_lock
from tasks.registry.versions import (
    CHALLENGER,
    CHAMPION,
    NEITHER,
    Decision,
    decision_on,
    default_name,
    model_or_default,
    other_source,
    past_champions,
    record_decision,
    version_or_champion,
    version_under,
    versions_of,
)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A registry of its own; creating its database takes seconds, so the tests share it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTIFACTS_STORE", str(tmp_path_factory.mktemp("store")))
        with registry(None) as client:
            yield client


def register(client, model: str, count: int, **tags: str) -> None:
    client.create_registered_model(model)
    for number in range(1, count + 1):
        its = tags or {"content_sha256": str(number)}
        client.create_model_version(model, f"/nowhere/{number}", tags=its, await_creation_for=0)


def alias(client, model: str, name: str) -> int | None:
    found = version_under(client, model, name)
    return found and int(found.version)


def test_decisions_move_the_aliases_and_record_replacements(client):
    register(client, "aliases", 4)

    def decide(number: int, decision: str) -> None:
        record_decision(
            client, version_or_champion(client, "aliases", number), Decision(decision=decision, reason="because")
        )

    decide(1, CHAMPION)
    decide(2, CHALLENGER)
    decide(3, NEITHER)
    assert (alias(client, "aliases", CHAMPION), alias(client, "aliases", CHALLENGER)) == (1, 2)
    assert decision_on(version_or_champion(client, "aliases", 3)).decision == NEITHER
    decide(2, CHAMPION)
    assert (alias(client, "aliases", CHAMPION), alias(client, "aliases", CHALLENGER)) == (2, None)
    assert version_or_champion(client, "aliases", 1).tags["replaced_by"] == "2"
    decide(1, CHAMPION)
    assert "replaced_by" not in version_or_champion(client, "aliases", 1).tags
    assert version_or_champion(client, "aliases", 2).tags["replaced_by"] == "1"
    decide(4, CHALLENGER)
    decide(4, NEITHER)
    assert alias(client, "aliases", CHALLENGER) is None
    client.delete_registered_model("aliases")


def test_without_a_champion_the_newest_version_and_why_it_is_not_one_are_named(client):
    with pytest.raises(ModelError, match=r"refused has no champion yet.*--version N, or name a model with --model$"):
        version_or_champion(client, "refused", None)
    register(client, "refused", 2)
    record_decision(client, version_or_champion(client, "refused", 1), Decision(decision=NEITHER, reason="It is bad."))
    with pytest.raises(ModelError, match=r"--registered-model refused --version 2, or name a model with --model$"):
        version_or_champion(client, "refused", None)
    record_decision(client, version_or_champion(client, "refused", 2), Decision(decision=NEITHER, reason="It is weak."))
    with pytest.raises(ModelError, match=r"--version 2, or name a model with --model\. It is weak\.$"):
        version_or_champion(client, "refused", None)
    client.delete_registered_model("refused")


def test_a_champion_of_another_source_is_named(client):
    register(client, "sources", 2)
    assert other_source(client, "sources", "file:///a.csv", "1a") is None
    record_decision(client, version_or_champion(client, "sources", 1), Decision(decision=CHAMPION))
    assert other_source(client, "sources", "file:///a.csv", "1a") is None, "registered before sources were recorded"
    client.set_model_version_tag("sources", "1", "source", "file:///b/a.csv")
    assert other_source(client, "sources", "file:///a.csv", "1a") == "file:///b/a.csv"
    assert other_source(client, "sources", "file:///b/a.csv", "1a") is None
    client.set_model_version_tag("sources", "1", "dataset_sha256", "1a")
    assert other_source(client, "sources", "file:///a.csv", "1a") is None, "a copy of the same texts"
    assert other_source(client, "sources", "file:///a.csv", "2b") == "file:///b/a.csv"
    client.delete_registered_model("sources")


def test_versions_are_found_by_their_content_hash(client):
    register(client, "contents", 2)
    client.create_model_version("contents", "/elsewhere", tags={"content_sha256": "2"}, await_creation_for=0)
    assert [version.version for version in versions_of(client, "contents", "2")] == [2, 3]
    assert versions_of(client, "contents", "3") == []
    client.delete_registered_model("contents")


NAME_CHARACTERS = st.sampled_from("ab'\"`\\:/.;-%_#?@=[] \t\n\x00é✓\u2028") | st.characters(exclude_categories=["Cs"])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])  # one takes a third of a second
@example("ab'\"`\\:/.;-%_#?@=[] \t\n\x00é✓\u2028")
@given(st.text(NAME_CHARACTERS, min_size=1, max_size=260))
def test_every_name_that_the_settings_accept_works_in_the_registry(client, name):
    try:
        TrackingSettings(registered_model=name)
        model = name
    except ValidationError:
        model = default_name(name)
        assert TrackingSettings(registered_model=model)
    if not client.search_registered_models(f"name = '{model}'"):
        register(client, model, 1, content_sha256="1")
    with registry_lock(client, None, model):
        record_decision(client, version_or_champion(client, model, 1), Decision(decision=CHAMPION))
    assert alias(client, model, CHAMPION) == 1
    assert [version.version for version in versions_of(client, model, "1")] == [1]
    with own_registry() as own:
        assert [version.version for version in versions_of(own, model, "1")] == ["1"]
    client.delete_registered_model(model)
    experiment = name[:500]
    assert experiment_id(client, None, experiment) == experiment_id(client, None, experiment)


def test_the_default_model_is_the_one_with_a_champion(client):
    with pytest.raises(ModelError, match="no model has a champion yet"):
        model_or_default(client, None)
    register(client, "mail-classifier", 3)
    assert model_or_default(client, None) == "mail-classifier"  # the only one, to be promoted by hand
    register(client, "waiting-classifier", 1)
    with pytest.raises(ModelError, match="registered are mail-classifier, waiting-classifier"):
        model_or_default(client, None)
    client.set_registered_model_alias("mail-classifier", "champion", "3")
    register(client, "of-others", 1, owner="them")
    client.set_registered_model_alias("of-others", "champion", "1")
    assert model_or_default(client, None) == "mail-classifier"
    assert model_or_default(client, "waiting-classifier") == "waiting-classifier"
    register(client, "films-classifier", 1)
    client.set_registered_model_alias("films-classifier", "champion", "1")
    with pytest.raises(ModelError, match=r"films-classifier \(version 1\), mail-classifier \(version 3\); choose one"):
        model_or_default(client, None)
    register(client, "imdb-classifier", 1)
    client.set_registered_model_alias("imdb-classifier", "champion", "1")
    assert model_or_default(client, None) == "imdb-classifier"


def test_a_version_whose_run_has_been_deleted_can_become_the_champion(client):
    client.create_registered_model("without run")
    client.create_model_version("without run", "/nowhere/1", run_id="0" * 32, await_creation_for=0)
    version = version_or_champion(client, "without run", 1)
    record_decision(client, version, Decision(decision=CHAMPION, reason="by hand"))
    (entry,) = past_champions(client, "without run")
    assert (alias(client, "without run", CHAMPION), entry["accuracy"]) == (1, None)
    client.delete_registered_model("without run")
