import socket

import pytest

from serving.__main__ import listen
from tasks.core.errors import ServerError


def test_answers_are_sent_at_once():
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # asyncio sets TCP_NODELAY by it


def test_an_address_that_cannot_be_had_is_named():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"http://127\.0\.0\.1:{port} cannot be listened at .*--port or --host"):
            listen("127.0.0.1", port)
