import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tasks import promote
from tasks.core.errors import RegistryError
from tasks.core.run_settings import PromotionSettings
from tasks.evaluation.significance import compare
from tasks.promote import find_standing
from tasks.registry.contest import Contest
from tasks.registry.versions import CHALLENGER, Decision

ASKED = PromotionSettings().model_dump()


def version(number: int, record: dict | None = None, **tags: str) -> SimpleNamespace:
    """A version as MLflow's client returns it."""
    tags |= {"promotion": json.dumps(record)} if record else {}
    return SimpleNamespace(name="films", version=str(number), source="/elsewhere", tags=tags)


LOST = {"decision": "challenger", "against": 1, "asked": ASKED}


@pytest.mark.parametrize(
    ("its", "champion", "kept"),
    [
        (version(2), None, None),
        (version(2), version(1), None),
        (version(2, LOST), version(1), "challenger"),
        (version(2, LOST), version(3), None),
        (version(2, LOST), None, None),
        (version(2, LOST | {"asked": ASKED | {"alpha": 0.2}}), version(1), None),
        (version(2, LOST | {"decision": "neither"}), version(1), "neither"),
        (version(1, {"decision": "champion", "against": None}), version(1), "champion"),
        (version(1), version(1), "champion"),
        # Killed after its decision was recorded, before its alias was set.
        (version(2, LOST | {"decision": "champion"}), version(1), None),
        # Rolled back by a person.
        (version(2, LOST | {"decision": "champion"}, replaced_by="1"), version(1), "neither"),
        (version(2, LOST | {"decision": "champion"}, replaced_by="1"), None, None),
    ],
)
def test_a_decision_holds_until_the_champion_or_the_settings_change(its, champion, kept):
    found = find_standing(its, champion, ASKED)
    assert (found and found.decision) == kept


@pytest.mark.parametrize(("metric", "attempt"), [("accuracy", 2), ("f1_macro", 3)])
def test_another_metric_makes_the_same_version_a_new_attempt(metric, attempt):
    own = LOST | {"attempt": 2, "reviews": 100, "metric": "accuracy"}
    others = [version(3, LOST | {"attempt": 1, "reviews": 100}), version(2, own)]
    client = SimpleNamespace(search_model_versions=lambda _filter: others)
    contest = Contest(2, 1, 100, 0, {"metric": metric})
    assert promote.attempt_of(client, "films", contest) == attempt


def test_a_version_is_compared_with_a_champion_promoted_meanwhile(store, monkeypatch):
    champions, met, recorded = [version(1), version(3), version(3), version(3)], [], []
    monkeypatch.setattr(
        promote, "registry", lambda _uri: nullcontext(SimpleNamespace(get_model_version=lambda *_: version(2)))
    )
    monkeypatch.setattr(promote, "registry_lock", lambda *_: nullcontext())
    monkeypatch.setattr(promote.versions, "version_under", lambda *_: champions.pop(0))
    monkeypatch.setattr(
        promote,
        "judge_version",
        lambda *its: met.append(its[3].version) or Decision(decision=CHALLENGER, against=int(its[3].version)),
    )
    monkeypatch.setattr(promote.versions, "record_decision", lambda *its: recorded.append(its[2]) or its[2])
    tracked = {"model": "films", "version": 2, "uri": "http://127.0.0.1:1"}
    verdict, is_new = promote.promote_version(tracked, Path(), PromotionSettings())
    assert (verdict.against, is_new, met, len(recorded)) == (3, True, ["1", "3"], 1)
    champions[:] = [version(number) for number in range(3, 20)]
    with pytest.raises(RegistryError, match="there was a new champion after each of 5 contests; run the same again"):
        promote.promote_version(tracked, Path(), PromotionSettings())
    assert len(recorded) == 1


def test_concurrent_challengers_each_use_a_separate_share_of_alpha(store, monkeypatch):
    right, wrong = np.ones(1000, dtype=bool), np.arange(1000) >= 60
    compared = compare(right, wrong, right, one_sided=True)
    records: dict[int, dict] = {}
    client = SimpleNamespace(
        get_model_version=lambda _model, number: version(int(number), records.get(int(number))),
        search_model_versions=lambda _query: [version(number, records.get(number)) for number in (1, 2, 3)],
    )
    monkeypatch.setattr(promote, "registry", lambda _uri: nullcontext(client))
    monkeypatch.setattr(promote.versions, "version_under", lambda *_: version(1))
    monkeypatch.setattr(
        promote.versions,
        "record_decision",
        lambda _, its, record: records.setdefault(int(its.version), record.to_json()) and record,
    )
    monkeypatch.setattr(promote, "judge_version", lambda *its: Contest(int(its[2].version), 1, 1000, 0, compared))
    at_once = threading.Barrier(2)

    @contextmanager
    def after_both_contests(*_):
        at_once.wait(10)
        with turn:
            yield

    turn = threading.Lock()
    monkeypatch.setattr(promote, "registry_lock", after_both_contests)
    tracked = [{"model": "films", "version": number, "uri": "http://127.0.0.1:1"} for number in (2, 3)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda its: promote.promote_version(its, Path(), PromotionSettings()), tracked))
    assert sorted(record["attempt"] for record in records.values()) == [1, 2]
    assert sorted(record["level"] for record in records.values()) == [0.05 / 6, 0.05 / 2]
