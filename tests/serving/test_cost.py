"""The cost of a request: bodies up to the limits."""

import json
import time

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.serving.running import ask, service
from tests.support.champions import store_with_champion

MB = 1 << 20
LIMIT = 1_000_000
# Pieces of JSON, each repeated up to the limit between a start and an end.
STARTS = ['{"texts": [', '{"texts": ["', '{"explain": 20, "texts": ["', '{"explain": 20, "texts": [', "[", "{"]
PIECES = ["1,", "[],", "null,", '"a",', '"ab \\u4e00",', "a", "b ", "\u4e00", "[", '{"a":', '"%d":1,', "\\ud83d\\ude00"]
ENDS = ['"a"]}', '"]}', "1]", '"a": 1}', ""]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A service that has answered once."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        flags = ["--max-body", str(LIMIT)]
        with service(root, *flags, log=root / "service.log") as running:
            ask(running.port, "/predict", {"texts": ["good"], "explain": 3})
            yield running


def repeat(piece: str, size: int) -> str:
    """Repeat a piece up to `size` bytes, each with its number if it has a place for it."""
    count = size // len(piece.encode())
    return "".join(piece % number for number in range(count // 2)) if "%d" in piece else piece * count


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(start='{"texts": [', piece="1,", end='"a"]}', size=LIMIT - 100)
@example(start="{", piece='"%d":1,', end='"a": 1}', size=LIMIT // 2)
@example(start='{"explain": 20, "texts": ["', piece="\u4e00", end='"]}', size=30_000)
@given(
    st.sampled_from(STARTS),
    st.sampled_from(PIECES),
    st.sampled_from(ENDS),
    st.integers(0, 30_000) | st.integers(0, LIMIT - 100),
)
def test_a_request_up_to_the_limits_takes_bounded_time_and_memory(running, start, piece, end, size):
    process = psutil.Process(running.process.pid)
    before, started = process.memory_info().rss, time.monotonic()
    status, content = ask(running.port, "/predict", (start + repeat(piece, size) + end).encode())
    assert status in (200, 400, 413, 422)
    assert time.monotonic() - started < 5
    assert len(json.dumps(content)) < 5 * MB
    assert process.memory_info().rss < before + 150 * MB


def test_a_large_invalid_body_is_refused_within_a_second(running):
    started = time.monotonic()
    assert ask(running.port, "/predict", b'{"texts": [' + b"1," * 400_000 + b"1]}")[0] == 422
    assert time.monotonic() - started < 1
