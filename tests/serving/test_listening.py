import socket

import pytest

from serving.__main__ import listen, url_of
from tasks.core.errors import ServerError


def test_nagles_algorithm_is_off():
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _address = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_error_names_an_address_in_use():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"cannot listen on http://127\.0\.0\.1:{port} .*--port or --host"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "url"), [("::1", "http://[::1]:80"), ("127.0.0.1", "http://127.0.0.1:80")])
def test_an_address_is_printed_as_a_url(host, url):
    assert url_of(host, 80) == url
