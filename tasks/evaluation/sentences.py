"""Sentences: what metrics mean, in words."""

from typing import Any


def describe_fit(history: list[dict[str, Any]], best_epoch: int) -> str:
    """Return a sentence on whether training was too long or too short."""
    best, last = history[best_epoch - 1], history[-1]
    if best_epoch < len(history):
        return (
            f"The network overfits after epoch {best_epoch}: by epoch {last['epoch']} the validation loss rose from "
            f"{best['val_loss']:.3f} to {last['val_loss']:.3f}, while the training loss fell from {best['loss']:.3f} "
            f"to {last['loss']:.3f}. --training.keep-best keeps the weights of epoch {best_epoch}."
        )
    if len(history) == 1:
        return "One epoch is not enough to see overfitting."
    return f"The validation loss was still falling at the last epoch ({last['val_loss']:.3f}): more epochs may help."


def describe_comparison(comparison: dict[str, Any], other: str, alpha: float = 0.05) -> str:
    """Return a sentence on whether the network is better than another classifier of the same reviews."""
    points, p_value = 100 * comparison["difference"], comparison["p_value"]
    test = f"McNemar's exact test, p {'< 0.001' if p_value < 0.001 else f'= {p_value:.3f}'}"
    first, second = comparison["only_first"], comparison["only_second"]
    counts = f"only the network is right on {first:,} reviews, only {other} on {second:,}"
    if p_value >= alpha:
        return f"The network and {other} do not differ significantly ({points:+.2f} points; {counts}; {test})."
    verdict = "better" if points > 0 else "worse"
    return f"The network is {verdict} than {other} by {abs(points):.2f} points of accuracy: {counts} ({test})."
