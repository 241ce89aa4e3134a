"""Sentences: what the numbers of a run say, in words."""

from typing import Any


def describe_fit(history: list[dict[str, Any]], best_epoch: int) -> str:
    """Say in words whether training went on too long, or not long enough."""
    best, last = history[best_epoch - 1], history[-1]
    if best_epoch < len(history):
        return (
            f"It overfits after epoch {best_epoch}: by epoch {last['epoch']} the loss on the validation reviews has "
            f"risen from {best['val_loss']:.3f} to {last['val_loss']:.3f}, while on the training reviews it fell from "
            f"{best['loss']:.3f} to {last['loss']:.3f}. --training.keep-best keeps the weights of epoch {best_epoch}."
        )
    if len(history) == 1:
        return "One epoch tells nothing of overfitting yet."
    return (
        f"The loss on the validation reviews was still falling at the last epoch ({last['val_loss']:.3f}): "
        "more epochs may do better."
    )


def describe_comparison(comparison: dict[str, Any], other: str, alpha: float = 0.05) -> str:
    """Say in words whether the network is better than another classifier of the same reviews."""
    points, p_value = 100 * comparison["difference"], comparison["p_value"]
    test = f"McNemar's exact test, p {'< 0.001' if p_value < 0.001 else f'= {p_value:.3f}'}"
    counts = (
        f"it alone is right on {comparison['only_first']:,} reviews, {other} alone on {comparison['only_second']:,}"
    )
    if p_value >= alpha:
        return f"The network and {other} cannot be told apart ({points:+.2f} points; {counts}; {test})."
    verdict = "better" if points > 0 else "worse"
    return f"The network is {verdict} than {other} by {abs(points):.2f} points of accuracy: {counts} ({test})."
