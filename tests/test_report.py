import numpy as np

from tasks.report import draw_learning_curves, draw_roc, save_figure

HISTORY = [
    {"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.7, "val_loss": 0.9, "val_accuracy": 0.6} for epoch in (1, 2, 3)
]


def test_learning_curves_show_every_epoch_and_mark_the_best():
    loss, accuracy = draw_learning_curves(HISTORY, 2).axes
    assert list(loss.lines[0].get_ydata()) == [1, 1 / 2, 1 / 3]
    assert [line.get_label() for line in accuracy.lines] == ["training", "validation", "best epoch (2)"]


def test_the_area_under_a_perfect_curve_is_one():
    (axes,) = draw_roc(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])).axes
    assert "area 1.000" in [line.get_label() for line in axes.lines]


def test_equal_figures_have_equal_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_figure(draw_learning_curves(HISTORY, 2), tmp_path / name / "curves.svg")
    first, second = ((tmp_path / name / "curves.svg").read_bytes() for name in ("a", "b"))
    assert first == second
    assert b"<svg" in first
