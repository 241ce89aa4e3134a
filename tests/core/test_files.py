import errno
import os

import pytest

from tasks.core.errors import StoreError
from tasks.core.files import explain_os_errors

# An error, and whether it is about writing to /store/pad/abc.
CASES = [
    (OSError(errno.ENOSPC, "No space left on device"), True),
    (OSError(errno.ENOSPC, "No space left on device", "/tmp/elsewhere"), True),
    (OSError("Can't write data (errno = 28, error message = 'No space left on device')"), True),
    (PermissionError(errno.EACCES, "Permission denied", "/store/pad/abc"), True),
    (PermissionError(errno.EACCES, "Permission denied", "/store/pad/.abc.x1234567.draft/a.txt"), True),
    (PermissionError(errno.EACCES, "Permission denied", "/store"), True),
    (OSError(errno.EXDEV, "Invalid cross-device link", "/tmp/a", None, "/store/pad/abc"), True),
    (PermissionError(errno.EACCES, "Permission denied", "/home/me/reviews.csv"), False),
    (PermissionError(errno.EACCES, "Permission denied", "/store/pad/abcd"), False),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), False),
    (TimeoutError("the read operation timed out"), False),
    (OSError(errno.EMFILE, "Too many open files"), False),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", 3), False),
]


@pytest.mark.parametrize(("error", "is_of_writing"), CASES)
def test_only_errors_of_writing_to_the_folder_become_store_errors(error, is_of_writing, tmp_path):
    with (
        pytest.raises(StoreError if is_of_writing else type(error)) as raised,
        explain_os_errors(tmp_path.parents[-1] / "store/pad/abc"),
    ):
        raise error
    if not is_of_writing:
        assert raised.value is error
        return
    assert "cannot write here" in str(raised.value)
    for name in (error.filename, error.filename2):
        assert name is None or os.fspath(name) in str(raised.value)
