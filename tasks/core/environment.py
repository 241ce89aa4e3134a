"""The environment: the store's folder, and the variables to set before Prefect and Keras are imported."""

import argparse
import contextlib
import gc
import hashlib
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from tasks.core.errors import DEBUG_VARIABLE, StoreError, is_debugging, show_uncaught
from tasks.core.layout import KERAS, MATPLOTLIB, PREFECT
from tasks.core.user_paths import user_path

STORE_VARIABLE = "ARTIFACTS_STORE"
COPY_VARIABLE = "ARTIFACTS_COPY"  # the folder for this machine's copy of a store that several share
# Prefect and TensorFlow make a million objects while they are imported, and hardly any garbage: to look for it at every
# 700th, as Python does, takes a fifth of that time.
OBJECTS_BETWEEN_COLLECTIONS = 100_000
# This machine by its own names: no proxy knows what listens there.
LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0")
FIXED = {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "1", "NVIDIA_TF32_OVERRIDE": "0"}
REMOVED = (
    *("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED", "TF_XLA_FLAGS", "XLA_FLAGS"),
    *("TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC", "TF_DISABLE_MKL", "TF_SET_ONEDNN_FPMATH_MODE"),
)
REMOVED_PREFIXES = ("ONEDNN_", "DNNL_", "TF_ONEDNN_")
PROJECT = Path(__file__).resolve().parents[2]


def store_root() -> Path:
    """Return the folder that holds everything runs leave behind: $ARTIFACTS_STORE, else artifacts/.

    In a checkout artifacts/ is next to flows/, else in the current folder. For a store that several machines share it
    is this machine's copy: $ARTIFACTS_COPY, else a folder in the user's cache.
    """
    if address := store_address():
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        # Addresses that differ in a dash alone, or in the object store, are other stores.
        mark = hashlib.sha256(f"{os.environ.get('AWS_ENDPOINT_URL', '')} {address}".encode()).hexdigest()[:8]
        own = f"{cache}/imdb-pipeline/{address.partition('://')[2].replace('/', '-')}-{mark}"
        return user_path(os.environ.get(COPY_VARIABLE) or own).absolute()
    home = PROJECT if (PROJECT / "pyproject.toml").exists() else Path.cwd()
    return user_path(os.environ.get(STORE_VARIABLE) or str(home / "artifacts")).absolute()


def store_address() -> str | None:
    """Return the address of a store that several machines share, as in $ARTIFACTS_STORE, or None for a folder.

    Raises:
        StoreError: it holds credentials. They are not quoted.
    """
    named = os.environ.get(STORE_VARIABLE, "")
    _scheme, mark, place = named.partition("://")
    if not mark:
        return None
    # A bucket's name has neither sign; a password may hold a slash, which would look like the name's end.
    if {":", "@"} & set(place.partition("/")[0]):
        raise StoreError(
            "--store, or ARTIFACTS_STORE, holds a user or a password, which would be kept and printed: leave "
            "them out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    return named.rstrip("/")


def without_proxy(listed: str) -> str:
    """Return the value of NO_PROXY that keeps what `listed` names, and this machine, away from proxies."""
    hosts = [host.strip() for host in listed.split(",") if host.strip()]
    return ",".join(hosts if "*" in hosts else dict.fromkeys([*hosts, *LOOPBACK]))


def prepare(arguments: Sequence[str] | None = None) -> None:
    """Point Prefect, Keras and Matplotlib at the store, and keep their telemetry off.

    Must run before any of them is imported: Prefect reads its home while it is imported, so `--store` is looked for
    here (in `arguments`, by default this process's), ahead of the command line proper. Variables that the user has set
    stay as they are, except NO_PROXY, which also names this machine, MPLBACKEND, which draws without a display, and
    those that change what a training computes (`fix_arithmetic`).
    """
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 50, 50)
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--store", nargs="?")
    if named := parser.parse_known_args(given)[0].store:
        os.environ[STORE_VARIABLE] = named if "://" in named else str(user_path(named).absolute())
    if "--debug" in given:
        os.environ[DEBUG_VARIABLE] = "true"
    open_standard_streams()
    if is_own_program() and not is_debugging():
        sys.excepthook = show_uncaught
    if "ipykernel" not in sys.modules:
        # Jupyter sets its own for every process that it starts, whether or not that can import it.
        os.environ["MPLBACKEND"] = "agg"
    # The name in lower case counts where both are set, to curl and to Python alike.
    no_proxy = without_proxy(os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "")
    os.environ.update(NO_PROXY=no_proxy, no_proxy=no_proxy)
    fix_arithmetic()
    root = store_root()
    for name, value in default_variables(root).items():
        os.environ.setdefault(name, value)
    # Prefect's server needs its home, and Prefect only warns when it cannot make it. Where we cannot either,
    # the command line says so in words (`make_folders`), before anything runs.
    warnings.filterwarnings("ignore", message="Failed to create the Prefect home directory")
    if "--dry-run" not in given:
        with contextlib.suppress(StoreError):
            make_folders()


def open_standard_streams() -> None:
    """Open closed standard streams on the null device, so that no file takes their numbers and gets what is printed."""
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)  # the temporary server prints, too
            setattr(sys, name, os.fdopen(number, mode))


def default_variables(root: Path) -> dict[str, str]:
    """Return the variables that a run needs in the store at `root`, for those that the user has not set."""
    defaults = {
        STORE_VARIABLE: str(root),
        "PREFECT_HOME": str(root / PREFECT),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # A run waits for its numbers to be logged, but not for minutes where nobody answers.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        # Arrow's own allocator keeps what it has freed; TensorFlow needs it next.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "KERAS_HOME": str(root / KERAS),
        "MPLCONFIGDIR": str(root / MATPLOTLIB),
        # TensorFlow's C++ notices (no GPU, oneDNN's rounding) are not interesting to a reader of the log.
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    if "PREFECT_API_URL" not in os.environ:
        # A signal to the process group ends the temporary server too: six attempts to reach it would take a minute.
        defaults["PREFECT_CLIENT_MAX_RETRIES"] = "3"
    own_profiles = user_path("~/.prefect/profiles.toml")
    if "PREFECT_HOME" not in os.environ and own_profiles.exists():
        defaults["PREFECT_PROFILES_PATH"] = str(own_profiles)
    return defaults


def fix_arithmetic() -> None:
    """Set the variables that change what TensorFlow and Keras compute, with a notice for each that had another value.

    No cache key contains them, so a training under another value would be taken for an ordinary one.
    """
    for name, value in sorted(os.environ.items()):
        is_removed = name in REMOVED or (name.startswith(REMOVED_PREFIXES) and not name.endswith("VERBOSE"))
        if is_removed or (value and value != FIXED.get(name, value)):
            print(f"{name}={os.environ.pop(name)} is not used: it would change what is computed", file=sys.stderr)
    os.environ.update(FIXED)


def is_own_program() -> bool:
    """Return whether this process is one of the project's commands, not a program that imports a flow."""
    name = Path(sys.argv[0]).name
    return name.startswith("imdb-pipeline") or (PROJECT / "flows" / name).is_file()


def make_folders() -> None:
    """Make the store's folder and Prefect's home in it; raise StoreError if they cannot be written or so named."""
    remedy = f"with {COPY_VARIABLE}" if store_address() else "with --store DIR"
    for folder in (store_root(), Path(os.environ["PREFECT_HOME"])):
        if {"?", "%"} & set(str(folder)):  # Prefect puts the path into its database's address as it is
            raise StoreError(f"{folder}: has a ? or a % in its name; name another {remedy}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot make this folder for the store ({error.strerror}); name a folder that you may write "
                f"{remedy}"
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(f"{folder}: no right to write here; change its mode or name another {remedy}")
