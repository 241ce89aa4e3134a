import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_a_crash_while_tensorflow_is_imported_does_not_die_silently(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os; os.abort()")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + (
        "from tasks.network.tensorflow_setup import start_tensorflow\nstart_tensorflow()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in done.stderr
