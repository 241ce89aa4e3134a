import json
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prefect import get_client

from flows.predict_flow import predict_flow
from tasks.core.command_settings import PredictSettings
from tasks.core.errors import ModelError
from tasks.network.verdicts import describe_explanation
from tasks.predict import explain, predict_text


def test_an_explanation_ranks_words_by_their_effect_on_the_score(classifier):
    text = "The good, good film"
    shares = explain(classifier, text, 2).shares
    whole, without = classifier.predict(pa.array(["the good good film", "the film"]))
    named = {share.word: share.share for share in explain(classifier, text, 9).shares}
    assert named["good"] == pytest.approx(whole - without, abs=1e-6)
    assert set(named) == {"the", "good", "film"}
    assert len(shares) == 2
    assert abs(shares[0].share) >= abs(shares[1].share)
    assert {share.label for share in shares} == {"positive"}
    assert explain(classifier, "", 3).shares == []


def test_explaining_a_long_text_stays_within_its_limit_and_reports_it(classifier):
    lengths = []
    counted = replace(classifier, score=lambda padded: lengths.append(padded.tokens.shape) or classifier.score(padded))
    words = [f"word{number}" for number in range(20_000)]
    text = " ".join([*words, *["good", "bad", "film", "the", "a"] * 4000])
    found = explain(counted, text, 3, steps=3 * classifier.facts.maxlen)
    assert (len(found.shares), found.explained, found.distinct) == (3, 3, 5)
    assert sum(rows for rows, _length in lengths) == 1 + 3
    assert max(rows for rows, _length in lengths) <= 64
    assert describe_explanation(found, 2).endswith(" (the first 3 of 5 different words were explained)")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["good", "bad", "film", "unheard", "The", "a."]), max_size=90).map(" ".join))
def test_a_words_share_is_the_change_in_score_without_the_word(classifier, text):
    for word, share, _label in explain(classifier, text, 9).shares:
        without = " ".join(other for other in text.lower().replace(".", "").split() if other != word)
        whole, less = classifier.predict(pa.array([text, without]))
        assert share == pytest.approx(whole - less, abs=1e-6)


def test_one_text_gets_its_label_probability_and_words(champion, classifier):
    found = predict_text(PredictSettings(text="Good film", explain=1), None)
    assert found["probability"] == pytest.approx(classifier.predict(pa.array(["Good film"]))[0], abs=1e-6)
    assert found["label"] == ("positive" if found["probability"] >= 0.5 else "negative")
    assert found["words"] == explain(classifier, "Good film", 1).shares


def test_prefect_flow_run_parameters_do_not_reveal_the_text(champion, prefect_server):
    predict_flow(PredictSettings(text="Good film"))
    with get_client(sync_client=True) as client:
        stored = json.dumps([flow_run.parameters for flow_run in client.read_flow_runs()])
    assert "**********" in stored
    assert "Good film" not in stored


def test_without_a_champion_the_error_says_how_to_get_one(store):
    with pytest.raises(ModelError, match=r"no model has a champion yet: train one with python flows/imdb_flow.py"):
        predict_text(PredictSettings(text="good"), None)
    with pytest.raises(ModelError, match="is not a run folder"):
        predict_text(PredictSettings(text="good", model=str(store)), None)
