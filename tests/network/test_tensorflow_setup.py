import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def import_fake_tensorflow(does: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    package = tmp_path / "tensorflow.py"
    package.write_text(
        "import os, types\n"
        "os.write(2, b'oneDNN custom operations are on\\nnot built for this processor\\n')\n"
        "config = types.SimpleNamespace(list_logical_devices=lambda: None)\n" + does
    )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + (
        "from tasks.network.tensorflow_setup import import_tensorflow\n"
        "import_tensorflow()\nprint('went on', file=sys.stderr)\n"
    )
    return subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=60)


def test_notices_are_removed_and_everything_else_is_shown_in_order(tmp_path):
    done = import_fake_tensorflow("os.write(2, b'a last line without an end')", tmp_path)
    assert done.returncode == 0
    assert done.stderr == "not built for this processor\na last line without an end\nwent on\n"


def test_a_crash_during_the_tensorflow_import_is_reported(tmp_path):
    done = import_fake_tensorflow("os.abort()", tmp_path)
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.startswith("not built for this processor\n")
    assert "Fatal Python error: Aborted" in done.stderr
    assert "oneDNN" not in done.stderr


def test_an_error_during_the_tensorflow_import_is_raised(tmp_path):
    done = import_fake_tensorflow("raise ImportError('libstdc++ is too old')", tmp_path)
    assert done.returncode == 1
    assert "not built for this processor\n" in done.stderr
    assert "ImportError: libstdc++ is too old" in done.stderr
