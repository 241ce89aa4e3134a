"""`python -m serving`: serve the champion over HTTP until SIGTERM or Ctrl-C."""

from tasks.reporting.command_line import Flags, run_flow

import logging
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial

from serving.settings import ServeSettings
from tasks.core.errors import ServerError
from tasks.registry.client import tracking_uri
from tasks.registry.loading import find_version
from tasks.store.fingerprint import StepPlan

DRAIN_SECONDS = 30


def main() -> int:
    """Serve with the settings of the command line; return the exit status."""
    if sys.argv[0].endswith("__main__.py"):
        sys.argv[0] = "python -m serving"
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("serving").setLevel(logging.INFO)
    return run_flow(serve, ServeSettings, lambda _: None, plan=plan_service, without_flow=serve_unless_planning)


def plan_service(settings: ServeSettings) -> list[StepPlan]:
    """Return which model would be served, and where."""
    name = find_version(settings.model, settings.registered_model, tracking_uri()).name
    return [StepPlan("serve", "runs", f"{name} at {url_of(settings.host, settings.port)}")]


def serve_unless_planning(settings: ServeSettings, flags: Flags) -> Callable[[], None] | None:
    """Return what serves, which needs no Prefect; None for a dry run."""
    return None if flags.dry_run else partial(serve, settings)


def serve(settings: ServeSettings) -> None:
    """Serve the champion of the registry over HTTP: an API at POST /predict and a web page at /.

    A newly promoted champion replaces the old one without failing a request. SIGTERM stops the service once the
    requests in progress are answered.
    """
    import uvicorn

    from serving.app import create_app
    from serving.champion import Champion
    from serving.connections import patient_protocol

    with listen(settings.host, settings.port) as listening:
        champion = Champion(settings, tracking_uri())
        config = uvicorn.Config(
            create_app(settings, champion),
            http=patient_protocol(settings.patience),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        host, port = listening.getsockname()[:2]
        # Uvicorn raises the signal again after a clean shutdown; ignore it, so that the exit status is 0.
        signal.signal(signal.SIGTERM, lambda *_: None)
        print(f"{champion.now.classifier.name} serves at {url_of(host, port)}", flush=True)
        uvicorn.Server(config).run([listening])


def url_of(host: str, port: int) -> str:
    """Return the URL of an address; IPv6 addresses are in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise ServerError if the address is not available."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ServerError(
            f"cannot listen on {url_of(host, port)} ({error.strerror or error}); "
            "choose another address with --port or --host"
        ) from error
    # Nagle's algorithm delays a response by 40 ms; connections inherit the option.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


if __name__ == "__main__":
    raise SystemExit(main())
