"""`python -m serving`: the champion behind HTTP, until it is told to stop."""

import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING

from tasks.core import environment

if TYPE_CHECKING:
    from serving.settings import ServeSettings

ABOUT = """Serve the champion of the registry over HTTP: POST /predict, and a page for people at /.

Who is promoted while it runs is taken up; no request fails meanwhile. SIGTERM ends it when what has begun is done."""
DRAIN_SECONDS = 30


def main() -> int:
    """Serve as the command line says, and return the exit status."""
    environment.prepare()
    from tasks.reporting.command_line import CommandLine, Mistake, carry_out, parse_command_line, refuse

    from serving.settings import ServeSettings
    from tasks.core.errors import PipelineError

    class ServeCommandLine(ServeSettings, CommandLine):  # type: ignore[misc]
        """What to serve as flags."""

    program = "python -m serving" if sys.argv[0].endswith("__main__.py") else sys.argv[0]
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("serving").setLevel(logging.INFO)
    try:
        settings = parse_command_line(ServeCommandLine, ServeSettings, sys.argv[1:], program, ABOUT)
    except (Mistake, PipelineError) as mistake:
        return refuse(program, mistake)
    return carry_out(program, lambda: serve(settings))


def serve(settings: "ServeSettings") -> int:
    """Serve until SIGTERM or Ctrl-C, and return the exit status."""
    import uvicorn

    from serving.app import create_app
    from serving.champion import Champion
    from serving.connections import protocol
    from tasks.core.environment import store_root
    from tasks.registry.client import tracking_uri

    listening = listen(settings.host, settings.port)
    with listening:
        champion = Champion(settings, tracking_uri(), store_root())
        config = uvicorn.Config(
            create_app(settings, champion),
            http=protocol(settings.patience, settings.max_connections),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        host, port = listening.getsockname()[:2]
        # Uvicorn hands a signal on when it has ended well; the status is to say that it has.
        signal.signal(signal.SIGTERM, lambda *_: None)
        print(f"{champion.now.classifier.name} serves at http://{host}:{port}", flush=True)
        uvicorn.Server(config).run([listening])
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ServerError: the address cannot be had.
    """
    from tasks.core.errors import ServerError

    listening = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        # TCP by name: what only says "stream", asyncio leaves to Nagle's rule, and each answer takes 40 ms longer.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
        return listening
    except OSError as error:
        if listening is not None:
            listening.close()
        raise ServerError(
            f"http://{host}:{port} cannot be listened at ({error.strerror or error}); "
            "name another place with --port or --host"
        ) from error


if __name__ == "__main__":
    raise SystemExit(main())
