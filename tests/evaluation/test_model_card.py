import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.run_settings import MetricsSettings
from tasks.evaluation.metrics import accuracy_by_length, accuracy_by_slice, measure_scores
from tasks.evaluation.model_card import script_shares, write_card
from tasks.evaluation.predictions import Scores
from tasks.evaluation.significance import compare

NAMES = st.text(
    st.sampled_from('a|<`"\\\n\x7f\x85\u2028\ufffeé😀') | st.characters(exclude_categories=["Cs"]),
    min_size=1,
    max_size=30,
)


def card_of(folder, labels=("negative", "positive"), licence=None, name="imdb", language=None, slices=(), **metrics):
    """Return the metadata and the text of the card of a model that is right on three of four texts."""
    true = np.arange(8 * len(labels)) % len(labels)
    chosen = np.where(np.arange(len(true)) % 4, true, (true + 1) % len(labels))
    probabilities = np.full((len(true), len(labels)), 0.1 / (len(labels) - 1), np.float32)
    probabilities[np.arange(len(true)), chosen] = 0.9
    scores = Scores(true, probabilities if len(labels) > 2 else probabilities[:, 1])
    measured = measure_scores(scores, labels, MetricsSettings())
    part = measured | {"by_length": accuracy_by_length(scores, true + 1, 0.5)}
    if slices:
        places = np.arange(len(true)) % (len(slices) + 1) - 1
        values = pa.DictionaryArray.from_arrays(pa.array(places, mask=places < 0), pa.array(slices))
        part["by_slice"] = accuracy_by_slice(scores, values, 0.5)
    part["ece_before"] = 0.25
    judged = {"candidates": {"chosen": "network"}, "test": part, "validation": part}
    judged["baseline"] = measured | {"comparison": compare(true, chosen, true)}
    facts = {"labels": labels, "dataset": name, "dataset_sha256": "0" * 64, "maxlen": 256, "truncating": "pre"}
    write_card(
        folder,
        ["good", "плохо"],
        language=language,
        sizes={"train": 1000, "validation": len(true), "test": len(true)},
        metrics=judged | metrics,
        facts=SimpleNamespace(**facts, threshold=0.5, costs=None),
        licence=licence,
    )
    _, metadata, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(metadata), text


def test_the_card_has_the_metadata_and_sections_that_hubs_expect(tmp_path):
    metadata, text = card_of(tmp_path, language="en", licence="MIT")
    assert (metadata["language"], metadata["license"], metadata["datasets"]) == ("en", "mit", ["imdb"])
    assert (metadata["pipeline_tag"], metadata["library_name"]) == ("text-classification", "keras")
    assert {"accuracy", "f1", "roc_auc"} <= set(metadata["metrics"])
    (model,) = metadata["model-index"]
    assert model["name"] == "imdb-classifier"
    (result,) = model["results"]
    assert result["task"]["type"] == "text-classification"
    assert result["dataset"] == {"type": "imdb", "name": "imdb", "split": "test"}
    assert {metric["type"]: metric["value"] for metric in result["metrics"]}["accuracy"] == 0.75
    sections = ["Data", "Metrics", "Slices", "Calibration", "Limits", "How to call it", "Licence"]
    assert re.findall("^## (.*)$", text, re.MULTILINE) == sections
    assert "English.\nScripts of the 2 known words: Latin 50.0%, Cyrillic 50.0%." in text
    assert "| training texts | 1,000 |" in text
    assert "| test | 16 | 0.7500 | 0.5050 to 0.8982 |" in text
    assert "The network against the linear baseline, on the test texts: -0.2500 in accuracy (95% interval -0." in text
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("licence", "known", "name", "words"),
    [
        (None, "unknown", None, "No licence was given for this model."),
        ("Apache-2.0", "apache-2.0", None, "Apache-2.0"),
        ("GPL-3.0-or-later", "gpl-3.0", None, "GPL-3.0-or-later"),
        ("Internal use | ask 'us' first", "other", "internal-use-ask-us-first", r"Internal use \| ask 'us' first"),
        ("LicenseRef: x", "other", "licenseref-x", "LicenseRef: x"),
    ],
)
def test_a_licence_becomes_a_known_id_or_other_with_a_name(tmp_path, licence, known, name, words):
    metadata, text = card_of(tmp_path, licence=licence)
    assert (metadata["license"], metadata.get("license_name")) == (known, name)
    assert text.endswith(f"## Licence\n\n{words}\n")


@settings(max_examples=25)
@given(labels=st.lists(NAMES, min_size=2, max_size=4, unique=True), name=NAMES, slices=st.lists(NAMES, max_size=3))
def test_the_card_stays_valid_with_any_label_dataset_and_slice_names(tmp_path_factory, labels, name, slices):
    metadata, text = card_of(tmp_path_factory.mktemp("card"), labels, name=name, slices=slices)
    assert metadata["language"] == "und"
    assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == name
    tables = [line for line in text.split("\n") if line.startswith("|")]
    columns = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1 for line in tables}
    assert columns <= {2, 4, 5, 7}
    assert "<" not in re.sub(r"\\.", "", text)


def test_the_card_lists_only_the_ten_worst_labels_and_slices(tmp_path):
    _, text = card_of(tmp_path, labels=[f"label {number}" for number in range(77)], slices=[f"s{n}" for n in range(12)])
    assert "one of 77 labels: label 0, label 1," in text
    assert "label 29, …." in text
    assert "The verdict is the most probable label." in text
    assert "These are the 10 worst of 77 labels." in text
    assert "These are the 10 worst of 13 values." in text
    assert len(text) < 5000


def test_calibration_and_unanswered_texts_are_described(tmp_path):
    assert "The probabilities were not calibrated" in card_of(tmp_path)[1]
    text = card_of(tmp_path, temperature=1.5)[1]
    assert "The logits were divided by 1.50; before, the calibration error was 0.2500." in text
    answers = {"confidence_threshold": 0.75, "unanswered": 0.125, "error": 0.01}
    assert "0.7500 or less are marked as unanswered: 12.5% of the test texts." in card_of(tmp_path, answers=answers)[1]


@pytest.mark.parametrize(
    ("words", "scripts"),
    [
        (["it's", "été", "Да", "42", "…"], {"Latin": 2 / 3, "Cyrillic": 1 / 3}),
        (["電", "か", "한"], {"Han": 1 / 3, "Hiragana": 1 / 3, "Hangul": 1 / 3}),
        (["42", "!"], {}),
        ([], {}),
    ],
)
def test_scripts_are_counted_by_the_first_letter_of_each_word(words, scripts):
    assert script_shares(words) == pytest.approx(scripts)
