"""The command `predict`: texts are scored at once, without a flow; files and folders by the flow."""

from tasks.reporting.command_line import Mistake, PredictCommandLine, carry_out, parse_command_line, refuse

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from tasks.core.environment import make_folders, store_root
from tasks.core.errors import InputError, PipelineError
from tasks.core.flow_settings import STDIN, PredictSettings
from tasks.network.bundle import Classifier
from tasks.network.verdicts import judge_texts
from tasks.registry.client import tracking_uri
from tasks.registry.loading import load_classifier
from tasks.reporting.screen import accept_any_character, show_prediction

ABOUT = """Score texts, the rows of a file, the files of a folder that have no scores yet, or the lines that come in.

--text may be given many times."""
CHUNK = 1 << 16  # bytes read at once, of what has come in by then


def take_texts(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments with the first --text alone, and the texts of all of them."""
    left: list[str] = []
    texts: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, text = word.partition("=")
        if name != "--text":
            left.append(word)
            continue
        given = text if equals else next(words, None)
        if not texts or given is None:
            left += [name] if given is None else [f"{name}={given}"]
        if given is not None:
            texts.append(given)
    return left, texts


def load(settings: PredictSettings) -> Classifier:
    """Return the classifier that the settings name."""
    with tempfile.TemporaryDirectory() as scratch:
        return load_classifier(settings.model, settings.registered_model, tracking_uri(), store_root(), Path(scratch))


def read_lines(stream: BinaryIO) -> Iterator[list[str]]:
    """Yield the lines that have come in, as soon as they are whole; the last one needs no end.

    Raises:
        InputError: a line is no UTF-8.
    """
    rest, number = b"", 0
    while chunk := stream.read1(CHUNK):  # type: ignore[attr-defined]
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield [decode(line, number + place) for place, line in enumerate(lines, 1)]
        number += len(lines)
    if rest:
        yield [decode(rest, number + 1)]


def decode(line: bytes, number: int) -> str:
    """Return a line as text, without its end, and the first without a mark of UTF-8."""
    try:
        return line.removesuffix(b"\r").decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"line {number} of what came in is no UTF-8 ({error.reason}); turn it into UTF-8, as by iconv"
        ) from error


def score_texts(settings: PredictSettings, texts: list[str]) -> int:
    """Print the verdict on each text."""
    for verdict in judge_texts(load(settings), texts, settings.explain):
        show_prediction(verdict)
    return 0


def filter_lines(settings: PredictSettings, stream: BinaryIO) -> int:
    """Print a JSON line for each line that comes in: the text and the verdict on it."""
    classifier = load(settings)
    for texts in read_lines(stream):
        for text, verdict in zip(texts, judge_texts(classifier, texts, settings.explain), strict=True):
            words = [share._asdict() for share in verdict.pop("words")]
            line = {"text": text} | verdict | ({"words": words} if settings.explain else {})
            print(json.dumps(line, ensure_ascii=False))
        print(end="", flush=True)
    return 0


def main() -> int:
    """Do what the command line says, and return the exit status."""
    program = Path(sys.argv[0]).name
    accept_any_character()
    arguments, texts = take_texts(sys.argv[1:])
    try:
        chosen = parse_command_line(PredictCommandLine, PredictSettings, arguments, program, ABOUT)
        make_folders()
    except (Mistake, PipelineError) as mistake:
        return refuse(program, mistake)
    if chosen.text is not None:
        given = texts or [chosen.text.get_secret_value()]
        return carry_out(program, lambda: score_texts(chosen, given))
    if chosen.input == STDIN:
        return carry_out(program, lambda: filter_lines(chosen, sys.stdin.buffer))
    from flows.predict_flow import run

    return run()
