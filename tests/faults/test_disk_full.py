import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import pytest

from tests.faults.driver import PROJECT, assert_files_complete, contents, end

pytestmark = pytest.mark.faults


def run_that_fails(driver, store, **options) -> str:
    """Start a run that must fail with status 1 or 2; return its output."""
    run = driver.start(store, **options)
    try:
        assert run.wait(120) in (1, 2), driver.log()
    finally:
        end(run)
    return driver.log()


@contextmanager
def small_disk(path, size: str):
    """Mount a small file system at `path`; skip the test if mounting is not permitted."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("size", ["60k", "150k", "400k"])
def test_a_full_disk_is_reported_and_leaves_only_complete_files(driver, undisturbed, tmp_path, size):
    with small_disk(tmp_path / "disk", size) as disk:
        printed = run_that_fails(driver, disk / "store")
        last = printed.strip().splitlines()[-1]
        assert "failed: " in last
        assert str(disk) in last
        assert "No space left on device" in last or "errno = 28" in last
        assert "free space" in last
        assert_files_complete(disk / "store")
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        assert contents(driver.finish(disk / "store")) == contents(undisturbed[0])


def test_a_file_above_the_size_limit_is_reported(driver, undisturbed, tmp_path):
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (40_000, 40_000))
    last = run_that_fails(driver, tmp_path / "store", preexec_fn=limit).strip().splitlines()[-1]
    assert str(tmp_path / "store") in last
    assert "free space or fix" in last
    assert_files_complete(tmp_path / "store")
    assert contents(driver.finish(tmp_path / "store")) == contents(undisturbed[0])


def test_a_read_only_store_is_reported(driver, undisturbed, tmp_path):
    with small_disk(tmp_path / "disk", "50m") as disk:
        shutil.copytree(undisturbed[1], disk / "store", symlinks=True)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        printed = run_that_fails(driver, disk / "store")
        assert printed.count("\n") == 1, printed
        assert f"{disk / 'store'}: no right to write here; change its mode or name another with --store DIR" in printed
        command = [sys.executable, PROJECT / "flows" / "predict_flow.py", "--store", disk / "store", "--text", "a film"]
        subprocess.run(command, check=True, timeout=60, env=driver.environment)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert contents(driver.finish(disk / "store")) == contents(undisturbed[0])


def test_a_store_that_is_a_file_is_reported(driver, tmp_path):
    (tmp_path / "store").write_text("I am a file")
    printed = run_that_fails(driver, tmp_path / "store")
    assert printed == (
        f"imdb_flow.py: error: {tmp_path / 'store'}: cannot make this folder for the store (File exists); "
        "name a folder that you may write with --store DIR\n"
    )
