import socket

import pytest

from serving.__main__ import listen
from tasks.core.errors import ServerError


def test_nagles_algorithm_is_off():
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # asyncio then sets TCP_NODELAY


def test_the_error_names_an_address_in_use():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"cannot listen on http://127\.0\.0\.1:{port} .*--port or --host"):
            listen("127.0.0.1", port)
