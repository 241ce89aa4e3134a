import numpy as np
import pytest

from tasks.evaluation.plots import (
    by_outcome,
    draw_comparison,
    draw_learning_curves,
    draw_rankings,
    draw_scores,
    draw_verdicts,
    gather_rare,
    save_figure,
)
from tasks.evaluation.predictions import Scores

HISTORY = [
    {"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.7, "val_loss": 0.9, "val_accuracy": 0.6} for epoch in (1, 2, 3)
]
NAMES = ("negative", "positive")
LABELS, SCORES = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_learning_curves_show_every_epoch_and_mark_the_best():
    loss, accuracy = draw_learning_curves(HISTORY, 2).axes
    assert list(loss.lines[0].get_ydata()) == [1, 1 / 2, 1 / 3]
    assert legend(accuracy) == ["training", "validation", "best epoch (2)"]


def test_a_perfect_ranking_has_area_one_and_a_reversed_one_zero():
    roc, pr = draw_rankings([("network", LABELS, SCORES), ("baseline", LABELS, 1 - SCORES)]).axes
    assert legend(roc) == ["chance", "network, area 1.000", "baseline, area 0.000"]
    assert "network, average precision 1.000" in legend(pr)


def test_verdict_plots_show_each_count_and_the_share_of_positive_texts():
    matrix, reliability = draw_verdicts([[1200, 3], [4, 5]], NAMES, Scores(LABELS, SCORES), 0.5, bins=2).axes
    assert [text.get_text() for text in matrix.texts] == ["1,200", "3", "4", "5"]
    given, share = reliability.lines[1].get_data()
    assert np.allclose(given, [0.15, 0.85])
    assert list(share) == [0, 1]


def test_score_plots_show_every_text_once_and_accuracy_by_length():
    by_length = [{"from": 1, "to": 64, "reviews": 100, "accuracy": 0.8, "ci95": [0.71, 0.87]}]
    spread, lengths = draw_scores(Scores(LABELS, SCORES), NAMES, 0.5, by_length).axes
    assert sum(patch.get_height() for patch in spread.patches) == len(LABELS)
    assert [patch.get_height() for patch in lengths.patches] == [0.8]
    (bar,) = lengths.collections[0].get_segments()
    assert np.allclose(bar[:, 1], [0.71, 0.87])


def test_frequent_labels_are_shown_and_rare_ones_are_grouped():
    counts = np.diag(np.arange(1, 26)) + 1
    shown, names = gather_rare(counts, [f"label {number}" for number in range(25)])
    assert names == [*(f"label {number}" for number in range(5, 25)), "5 others"]
    assert shown.sum() == counts.sum()
    assert shown[0, 0] == 7
    assert shown[-1, -1] == counts[:5, :5].sum()


def test_plots_of_three_labels_show_each_label_and_every_text(rng):
    labels = rng.integers(0, 3, 60)
    probabilities = rng.dirichlet([1, 1, 1], 60).astype(np.float32)
    scores, names = Scores(labels, probabilities), ["calm", "glad", "sad"]
    rankings = [(name, labels == label, probabilities[:, label]) for label, name in enumerate(names)]
    roc, _pr = draw_rankings(rankings).axes
    assert [text.split(",")[0] for text in legend(roc)] == ["chance", *names]
    matrix, reliability = draw_verdicts(np.eye(3, dtype=int).tolist(), names, scores, 0.5, bins=5).axes
    assert [text.get_text() for text in matrix.get_xticklabels()] == names
    assert reliability.get_ylabel() == "share of right verdicts"
    by_length = [{"from": 1, "to": 64, "reviews": 60, "accuracy": 0.8, "ci95": [0.7, 0.9]}]
    spread, _lengths = draw_scores(scores, names, 0.5, by_length).axes
    assert sum(patch.get_height() for patch in spread.patches) == 60


def test_costs_determine_the_predicted_labels_in_plots():
    scores = Scores(np.array([1, 1]), np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], np.float32))
    shown, is_right, _kinds = by_outcome(scores, ["a", "b", "c"], np.array([[0, 9, 9], [1, 0, 1], [1, 1, 0]]))
    assert (shown.tolist(), is_right.tolist()) == (pytest.approx([0.3, 0.8]), [True, True])


def test_equal_figures_have_equal_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_figure(draw_learning_curves(HISTORY, 2), tmp_path / name / "curves.svg", title="learning curves")
    first, second = ((tmp_path / name / "curves.svg").read_bytes() for name in ("a", "b"))
    assert first == second
    assert b"<svg" in first


@pytest.mark.parametrize("names", [("$50_$60", "_other"), (r"x$\frac$", "好評"), ("नमस्ते", "a\nb")])
def test_any_name_is_drawn_as_it_is_without_a_warning(tmp_path, names):
    by_length = [{"from": 1, "to": 64, "reviews": 4, "accuracy": 0.8, "ci95": [0.7, 0.9]}]
    scores = Scores(LABELS, SCORES)
    drawn = {
        "scores": draw_scores(scores, names, 0.5, by_length),
        "verdicts": draw_verdicts([[1, 0], [0, 1]], names, scores, 0.5, bins=2),
        "rankings": draw_rankings([(name, LABELS, SCORES) for name in names]),
        "comparison": draw_comparison([{"name": name, "runs": [{"history": HISTORY}]} for name in names]),
    }
    for title, figure in drawn.items():
        save_figure(figure, tmp_path / f"{title}.svg", title)
    shown = legend(drawn["rankings"].axes[0])[1:] + legend(drawn["scores"].axes[0])[:2]
    shown += [text.get_text() for text in drawn["comparison"].legends[0].get_texts()]
    expected = [*(f"{name}, area 1.000" for name in names), *(f"{name} texts" for name in names), *names]
    assert [text.replace(r"\$", "$").strip() for text in shown] == expected
