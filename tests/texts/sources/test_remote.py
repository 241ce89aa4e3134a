"""Texts on a web server and in an object store: copied once, read again only with --data.refresh."""

import shutil
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.errors import SourceError, SourceUnreachable
from tasks.download import pin
from tasks.store.step import planning
from tasks.texts.sources import remote
from tasks.texts.sources.own_files import fetch_own
from tasks.texts.sources.remote import dataset_path
from tests.support.object_store import BUCKET, SECRET, make_bucket, seaweedfs
from tests.support.web import serving

TABLE = "text,label\n" + "".join(f"text {row},{row % 2}\n" for row in range(90))


@pytest.fixture
def said():
    return []


@pytest.fixture(scope="module")
def weed(tmp_path_factory):
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as environment:
        make_bucket(environment)
        yield environment


@pytest.fixture(params=["moto", pytest.param("weed", marks=pytest.mark.seaweedfs)])
def bucket(request, monkeypatch):
    """Return the file system with the bucket, once served by moto and once by SeaweedFS."""
    import s3fs

    is_moto = request.param == "moto"
    environment = (
        request.getfixturevalue("object_store_server").environment if is_moto else request.getfixturevalue("weed")
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


def test_a_dry_run_does_not_copy_the_dataset(tmp_path, store, said):
    (tmp_path / "reviews.csv").write_text(TABLE)
    with serving(tmp_path) as (url, _seen):
        settings = DataSettings(dataset=f"{url}/plain/reviews.csv")
        with planning():
            assert pin(settings, said.append) == settings
            assert not (store / "fetch").exists()
        pinned = pin(settings, said.append)
        with planning():
            assert pin(settings, said.append) == pinned


@pytest.mark.parametrize(
    "values",
    [
        {"dataset": "https://me:secret@host/a.csv"},
        {"dataset": "https://host/a.csv?X-Amz-Signature=secret"},
        {"dataset": "s3://key:secret@bucket/a.csv"},
    ],
)
def test_an_address_with_a_password_is_refused_without_showing_it(values):
    with pytest.raises(ValidationError, match="has a user or a password in it") as refused:
        DataSettings(**values)
    assert "put them into ~/.netrc" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_file_on_a_web_server_is_downloaded_once(tmp_path, store, said):
    (tmp_path / "reviews.csv").write_text(TABLE)
    with serving(tmp_path) as (url, seen):
        settings = DataSettings(dataset=f"{url}/plain/reviews.csv")
        assert pin(settings, said.append) == pin(settings, said.append)
        assert seen["/plain/reviews.csv"] == 1
        with pytest.raises(SourceError, match="404"):
            pin(DataSettings(dataset=f"{url}/plain/none.csv"), said.append)
        assert seen["/plain/none.csv"] == 1
    assert dataset_path(settings).read_text() == TABLE


def test_an_interrupted_download_is_retried(tmp_path, store, monkeypatch, caplog):
    monkeypatch.setattr(remote, "RETRY_SECONDS", (0, 0))
    (tmp_path / "reviews.csv").write_text(TABLE)
    with serving(tmp_path) as (url, seen):
        assert dataset_path(SourceSettings(dataset=f"{url}/cut/reviews.csv")).read_text() == TABLE
        assert seen["/cut/reviews.csv"] == 2
        assert "cannot be fetched" in caplog.text
        with pytest.raises(SourceUnreachable):
            dataset_path(SourceSettings(dataset=f"{url}/short/reviews.csv"))
        assert seen["/short/reviews.csv"] == 3


def test_an_object_store_folder_too_large_for_the_disk_is_refused(store, bucket, monkeypatch):
    bucket.pipe(f"{BUCKET}/large/a.csv", TABLE.encode())
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=10))
    with pytest.raises(SourceError, match=rf"s3://{BUCKET}/large: has {len(TABLE):,} bytes, but .* space for 10"):
        dataset_path(SourceSettings(dataset=f"s3://{BUCKET}/large"))


def test_an_object_store_folder_is_read_with_its_splits_and_refreshed(tmp_path, store, bucket, said):
    for name in ("train", "test"):
        bucket.pipe(f"{BUCKET}/texts/parts/{name}.csv", TABLE.replace("text ", f"{name} ").encode())
    bucket.pipe(f"{BUCKET}/texts/parts/logo.png", b"\0")
    settings = pin(DataSettings(dataset=f"s3://{BUCKET}/texts/"), said.append)
    facts = fetch_own(settings, tmp_path, said.append)
    assert (facts["name"], facts["source"]) == ("texts", f"s3://{BUCKET}/texts/")
    assert {name: split["rows"] for name, split in facts["check"]["splits"].items()} == {"train": 90, "test": 90}
    bucket.pipe(f"{BUCKET}/texts/parts/train.csv", TABLE.encode())
    assert pin(settings, said.append).sha256 == settings.sha256
    assert pin(settings.model_copy(update={"refresh": True}), said.append).sha256 != settings.sha256
    assert said[-1] == f"s3://{BUCKET}/texts/: read again: changed"


@pytest.mark.parametrize("address", [f"s3://{BUCKET}/moving", f"s3://{BUCKET}/moving/a.csv"])
def test_a_file_that_changes_while_it_is_copied_is_refused(store, bucket, monkeypatch, address):
    bucket.pipe(f"{BUCKET}/moving/a.csv", TABLE.encode())

    def get_file(files, name, path):
        files.get(name, path)
        bucket.pipe(name, TABLE.replace("text 1,", "text 2,").encode())

    monkeypatch.setattr(type(bucket), "get_file", get_file)
    with pytest.raises(SourceUnreachable, match=r"moving/a\.csv has changed while it was copied"):
        dataset_path(SourceSettings(dataset=address))
    assert not list((store / "fetch").iterdir())


def test_a_missing_object_or_a_folder_without_texts_is_refused(store, bucket):
    with pytest.raises(SourceError, match=r"none.csv: no such object, folder or bucket"):
        dataset_path(SourceSettings(dataset=f"s3://{BUCKET}/none.csv"))
    bucket.pipe(f"{BUCKET}/images/logo.png", b"\0")
    with pytest.raises(SourceError, match="holds no tables and no text files"):
        dataset_path(SourceSettings(dataset=f"s3://{BUCKET}/images"))


def test_refused_credentials_are_not_shown(store, object_store_server, monkeypatch):
    for name, value in object_store_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_store_server, "refusing", True)
    with pytest.raises(
        SourceUnreachable, match=r"refuses or does not answer .*check the network, the credentials"
    ) as error:
        dataset_path(SourceSettings(dataset=f"s3://{BUCKET}/a.csv"))
    assert SECRET not in str(error.value)
