"""Predict without Prefect: score --text and the lines of standard input; predict_flow.py scores files."""

from tasks.reporting.command_line import Flags

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from tasks.core.command_settings import STDIN, PredictSettings
from tasks.core.errors import InputError
from tasks.network.verdicts import judge_texts
from tasks.registry.client import tracking_uri
from tasks.registry.loading import load_classifier
from tasks.reporting.terminal_output import show_prediction

CHUNK = 1 << 16  # bytes to read at most at once


def split_texts(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments with one --text in place of all, and the texts of all."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--text", action="append", nargs="?", default=[])
    known, rest = parser.parse_known_args(arguments)
    if None in known.text:
        return list(arguments), []  # an error, which the command line reports
    # To be checked, and with a blank in front, because "none" alone would stand for no text.
    return [*rest, *([f"--text={' '.join(['', *known.text])}"] if known.text else [])], known.text


def read_lines(stream: BinaryIO) -> Iterator[list[str]]:
    """Yield lines once they are complete; the last one needs no line end. Raise InputError if one is not UTF-8."""
    rest, number = b"", 0
    while chunk := stream.read1(CHUNK):  # type: ignore[attr-defined]
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield [decode_line(line, number + place) for place, line in enumerate(lines, 1)]
        number += len(lines)
    if rest:
        yield [decode_line(rest, number + 1)]


def decode_line(line: bytes, number: int) -> str:
    """Return a line as text, without a carriage return; a byte order mark is allowed in the first line."""
    try:
        return line.removesuffix(b"\r").decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"line {number} of standard input is not UTF-8 ({error.reason}); convert it to UTF-8, for example with "
            "iconv"
        ) from error


def print_line(text: str, verdict: dict[str, Any], *, explained: bool) -> None:
    """Print a text and its verdict as a line of JSON."""
    words = [share._asdict() for share in verdict.pop("words")]
    print(json.dumps({"text": text} | verdict | ({"words": words} if explained else {}), ensure_ascii=False))


def score_texts(settings: PredictSettings, batches: Iterable[list[str]], *, as_json: bool) -> None:
    """Print the verdict on each text, once its batch is scored; as JSON with the text."""
    classifier = load_classifier(settings.model, settings.registered_model, tracking_uri())
    for texts in batches:
        for text, verdict in zip(texts, judge_texts(classifier, texts, settings.explain), strict=True):
            if as_json:
                print_line(text, verdict, explained=bool(settings.explain))
            else:
                show_prediction(verdict)
                if not classifier.encode(pa.array([text], pa.string()))[1][0, 0]:
                    print("  no word of this text is in the model's vocabulary: ignore its label")
        print(end="", flush=True)


def score_without_flow(texts: list[str], settings: PredictSettings, flags: Flags) -> Callable[[], None] | None:
    """Return what scores the texts or the lines that the command line gives, without Prefect; None if it gives none."""
    if flags.dry_run or settings.input not in (None, STDIN):
        return None
    if settings.text is not None:
        batches: Iterable[list[str]] = [texts or [settings.text.get_secret_value()]]  # IMDB_TEXT
    else:
        batches = read_lines(sys.stdin.buffer)
    return partial(score_texts, settings, batches, as_json=flags.json_ or settings.text is None)
