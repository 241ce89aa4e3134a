import re
from pathlib import Path

import pytest

from tasks.core.errors import StoreError
from tasks.store.bucket import Bucket
from tests.support.object_store import SECRET
from tests.support.web import free_port


def test_a_missing_object_reads_as_none(bucket):
    assert (bucket.read("a"), bucket.tag("a"), bucket.has("a", 0), bucket.names("a")) == (None, None, False, {})
    bucket.remove("a")


def test_only_the_first_create_of_an_object_succeeds(bucket):
    assert bucket.create("a", b"one") == bucket.tag("a")
    assert bucket.create("a", b"two") is None
    assert bucket.read("a") == b"one"


def test_replace_succeeds_only_with_the_tag_of_the_last_write(bucket):
    first = bucket.create("a", b"one")
    second = bucket.replace("a", b"two", first)
    assert second == bucket.tag("a") != first
    assert bucket.replace("a", b"three", first) is None
    assert bucket.replace("none", b"three", first) is None
    assert bucket.read("a") == b"two"


def test_an_uploaded_file_is_downloaded_unchanged(bucket, tmp_path):
    (tmp_path / "up").write_bytes(bytes(range(256)) * 1000)
    bucket.upload(tmp_path / "up", "x/y")
    assert bucket.has("x/y", 256_000)
    assert not bucket.has("x/y", 255_999)
    assert list(bucket.names("x")) == ["x/y"]
    assert bucket.download("x/y", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()
    assert not bucket.download("x/z", tmp_path / "none")


def test_an_object_written_during_a_listing_is_not_listed_yet(bucket, monkeypatch):
    listing = bucket.files._lsdir

    async def nothing_yet(*arguments, **options):
        found = await listing(*arguments, **options)
        await bucket.files._pipe_file(bucket.where("x/y"), b"one")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(bucket.files, "_lsdir", nothing_yet)
        assert bucket.names("x") == {}
    assert list(bucket.names("x")) == ["x/y"]


def test_slow_requests_are_awaited_and_failed_ones_retried(bucket, object_store, tmp_path):
    (tmp_path / "up").write_bytes(b"abc" * 1000)
    object_store.slow, object_store.every = 0.02, 4
    for number in range(3):
        assert bucket.create(f"n{number}", b"one")
        bucket.upload(tmp_path / "up", f"u{number}")
        assert bucket.download(f"u{number}", tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == b"abc" * 1000
    assert object_store.failures >= 2


def test_an_interrupted_upload_is_retried(bucket, object_store, tmp_path):
    (tmp_path / "up").write_bytes(b"abc" * 100_000)
    object_store.cuts = "/cut$"
    bucket.upload(tmp_path / "up", "cut")
    assert bucket.has("cut", 300_000)
    assert len([line for line in object_store.requests if re.fullmatch("PUT .*/cut", line)]) >= 2


def test_a_create_succeeds_although_its_first_response_was_lost(bucket, monkeypatch):
    sent = bucket.files.call_s3

    def losing(method, **arguments):
        answer = sent(method, **arguments)
        if method == "put_object" and arguments["Body"] == b"ours":
            sent(method, **arguments)  # as the client does after a timeout; it finds its own first write
        return answer

    monkeypatch.setattr(bucket.files, "call_s3", losing)
    assert bucket.create("a", b"ours") == bucket.tag("a")


def test_local_disk_errors_name_the_local_path(bucket, tmp_path):
    bucket.create("a", b"one" * 100_000)
    with pytest.raises(StoreError, match="/dev/full: cannot write here"):
        bucket.download("a", Path("/dev/full"))
    with pytest.raises(StoreError, match=f"{tmp_path}/none/a: cannot write here"):
        bucket.download("a", tmp_path / "none" / "a")
    with pytest.raises(StoreError, match=f"{tmp_path}/none: cannot write here"):
        bucket.upload(tmp_path / "none", "b")


def test_refused_credentials_are_reported_and_not_shown(bucket, object_store):
    object_store.refusing = True
    with pytest.raises(StoreError, match=r"s3://reviews/.*access is refused \(InvalidAccessKeyId\)") as refusal:
        bucket.check()
    assert SECRET not in str(refusal.value)


def test_a_missing_bucket_is_reported(object_store):
    with pytest.raises(StoreError, match="s3://nowhere: no such bucket"):
        Bucket("s3://nowhere/x").check()


def test_an_unreachable_object_store_is_reported(object_store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    with pytest.raises(StoreError, match=r"does not answer .*finished steps and epochs are kept"):
        Bucket("s3://reviews/x").check()


@pytest.mark.parametrize("address", ["gs://reviews/x", "s3://", "s3:///x"])
def test_an_invalid_bucket_address_is_refused(address):
    with pytest.raises(StoreError, match="expected s3://BUCKET/PREFIX"):
        Bucket(address)
