"""Texts in a database, on a web server and in an object store: copied once, read again only with --data.refresh."""

import os
import shutil
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tasks.core.command_settings import PredictSettings
from tasks.core.data_settings import DataSettings, SourceSettings
from tasks.core.errors import InputError, SourceError, SourceUnreachable
from tasks.download import pin
from tasks.store.pruning import prune
from tasks.store.step import planning
from tasks.texts.sources import remote
from tasks.texts.sources.layouts import label_folders
from tasks.texts.sources.own_files import fetch_own
from tasks.texts.sources.remote import dataset_path, local_places
from tests.support.object_store import BUCKET, SECRET, make_bucket, seaweedfs
from tests.support.servers import postgres, programs_of_postgres
from tests.support.web import serving

QUERY = "select body as text, topic as label from tickets where body like '%ticket%' and opened < '12:30'"
TABLE = "text,label\n" + "".join(f"text {row},{row % 2}\n" for row in range(90))


@pytest.fixture
def said():
    return []


@pytest.fixture
def tickets(tmp_path):
    """Return the address of a database with 9,000 tickets, more than one batch."""
    path = tmp_path / "shop.db"
    add(path, *((f"ticket {row}", row % 2) for row in range(9_000)))
    return f"sqlite+pysqlite:///{path}"


def add(path, *rows):
    with sqlite3.connect(path) as database:
        database.execute("create table if not exists tickets (body text, topic int, opened text default '12:00')")
        database.executemany("insert into tickets (body, topic) values (?, ?)", rows)
    database.close()


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


def test_query_results_are_copied_once_and_refreshed_on_request(tmp_path, store, tickets, said):
    settings = DataSettings(dataset=tickets, query=QUERY, near_duplicates="keep")
    first = pin(settings, said.append)
    out = tmp_path / "out"
    out.mkdir()
    facts = fetch_own(first, out, said.append)
    assert (facts["name"], facts["source"], facts["labels"]) == ("shop", tickets, ["0", "1"])
    assert pq.read_table(out / "texts.parquet")["text"].to_pylist() == [f"ticket {row}" for row in range(9_000)]
    assert pq.read_metadata(dataset_path(settings)).num_row_groups == 2
    add(tmp_path / "shop.db", ("ticket x", 1))
    assert pin(settings, said.append).sha256 == first.sha256
    refreshed = settings.model_copy(update={"refresh": True})
    assert pin(refreshed, said.append).sha256 != first.sha256
    again = pin(refreshed, said.append)
    (tmp_path / "shop.db").unlink()
    assert pin(settings, said.append).sha256 == again.sha256
    lines = [line.removeprefix(f"{tickets}: ") for line in said if line.startswith(f"{tickets}: ")]
    kept = "the copy in the store is used; --data.refresh reads it again"
    assert lines == ["read", kept, "read again: changed", "read again: unchanged", kept]
    assert len(list((store / "fetch").iterdir())) == 1


def test_query_values_become_text_except_nulls(tmp_path, store, tickets):
    query = "select null as text, 1.5 as label, topic as n, ':a' as c from tickets limit 1"
    path = dataset_path(SourceSettings(dataset=tickets, query=query))
    assert pq.read_table(path).to_pylist() == [{"text": None, "label": "1.5", "n": "0", "c": ":a"}]


@pytest.fixture
def shop(monkeypatch):
    """Yield the address of a real PostgreSQL database; its user and password are in the environment."""
    if programs_of_postgres() is None:
        pytest.skip("PostgreSQL's programs are not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="pip install '.[postgres]'")
    with postgres("shop") as server:
        identity, _, host = server.partition("@")
        for name, value in zip(("PGUSER", "PGPASSWORD"), identity.split(":"), strict=True):
            monkeypatch.setenv(name, value)
        yield f"postgresql+psycopg://{host}/shop"


@pytest.mark.machines
def test_postgresql_is_read_in_batches_and_in_a_read_only_transaction(store, shop, said):
    engine = create_engine(shop, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("create table tickets (body text, topic boolean, opened time)"))
        delete = "create function empty_tickets() returns void language sql as 'delete from tickets'"
        connection.execute(text(delete))
        rows = "select 'ticket 100% ' || n, n % 2 = 0, time '11:00' from generate_series(1, 20000) n"
        connection.execute(text(f"insert into tickets {rows}"))
    query = "select body as text, topic as label from tickets where body like '%100\\% %' and opened < '12:30'::time"
    settings = DataSettings(dataset=shop, query=query)
    path = dataset_path(settings)
    table = pq.read_table(path)
    assert len(table) == 20_000
    assert pq.read_metadata(path).num_row_groups == 3
    assert table.slice(0, 2).to_pylist() == [{"text": "ticket 100% 1", "label": "False"},
                                             {"text": "ticket 100% 2", "label": "True"}]  # fmt: skip
    with pytest.raises(InputError, match="cannot execute DELETE in a read-only transaction"):
        dataset_path(SourceSettings(dataset=shop, query="select empty_tickets() as text"))
    with pytest.raises(InputError, match='column "nothing" does not exist'):
        dataset_path(SourceSettings(dataset=shop, query="select nothing from tickets"))
    with engine.begin() as connection:
        connection.execute(text("drop table tickets"))
    assert pin(settings, said.append).sha256
    with pytest.raises(InputError, match='relation "tickets" does not exist') as error:
        pin(settings.model_copy(update={"refresh": True}), said.append)
    assert os.environ["PGPASSWORD"] not in f"{error.value}{said}"
    assert dataset_path(settings) == path


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select topics from tickets", "no such column: topics; check the query"),
        ("delete from tickets", "attempt to write a readonly database"),
        ("create table other (a)", "attempt to write a readonly database"),
        ("select x'ff' as text", "returns bytes; convert them to text in the query"),
    ],
)
def test_an_invalid_query_is_refused_and_changes_nothing(tmp_path, store, tickets, query, message):
    with pytest.raises(InputError, match=message):
        dataset_path(SourceSettings(dataset=tickets, query=query))
    with sqlite3.connect(tmp_path / "shop.db") as database:
        assert database.execute("select count(*) from tickets").fetchone() == (9_000,)
    database.close()
    assert not list((store / "fetch").iterdir())


def test_a_missing_database_is_refused_and_not_created(tmp_path, store):
    with pytest.raises(InputError, match=r"none.db: no such file"):
        dataset_path(SourceSettings(dataset=f"sqlite+pysqlite:///{tmp_path}/none.db", query=QUERY))
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(InputError, match="check the query, the server, the driver"):
        dataset_path(SourceSettings(dataset="oracle+nothing://host/db", query=QUERY))


def test_a_dry_run_does_not_copy_the_dataset(store, tickets, said):
    settings = DataSettings(dataset=tickets, query=QUERY)
    with planning():
        assert pin(settings, said.append) == settings
        assert not (store / "fetch").exists()
    pinned = pin(settings, said.append)
    with planning():
        assert pin(settings, said.append) == pinned


@pytest.mark.parametrize(
    "values",
    [
        {"dataset": "postgresql+psycopg://me:secret@host/db", "query": QUERY},
        {"dataset": "postgresql+psycopg://host/db?password=secret", "query": QUERY},
        {"dataset": "https://host/a.csv?X-Amz-Signature=secret"},
        {"dataset": "s3://key:secret@bucket/a.csv"},
    ],
)
def test_an_address_with_a_password_is_refused_without_showing_it(values):
    with pytest.raises(ValidationError, match="has a user or a password in it") as refused:
        DataSettings(**values)
    assert "PGPASSWORD or ~/.pgpass" in str(refused.value)
    assert "secret" not in str(refused.value)
    with pytest.raises(ValidationError, match="has a user or a password in it") as refused:
        PredictSettings(input=values["dataset"], output="a.csv")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("values", [{"dataset": "a.csv", "query": QUERY}, {"dataset": "postgresql://host/db"},
                                    {"dataset": "s3://bucket/a.csv", "query": QUERY}])  # fmt: skip
def test_a_query_requires_a_database_and_vice_versa(values):
    with pytest.raises(
        ValidationError, match=r"query is for the address of a database|found postgresql:// without one"
    ):
        DataSettings(**values)


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


@contextmanager
def interrupted_by(error, *places):
    """Yield the local paths for two addresses, and raise `error` at the end."""
    with pytest.raises(error), local_places(*places) as local:  # noqa: PT012
        yield local
        raise error


def test_interrupted_scoring_of_an_object_store_file_resumes(store, bucket):
    bucket.pipe(f"{BUCKET}/cut/a.csv", TABLE.encode())
    places = f"s3://{BUCKET}/cut/a.csv", f"s3://{BUCKET}/done/a.parquet"
    with interrupted_by(KeyboardInterrupt, *places) as (_source, output):
        parts = Path(output).with_name(".a.parquet.parts")
        parts.mkdir(parents=True)
        (parts / "of these texts and this model").write_text("facts")
    with interrupted_by(InputError, *places) as (_source, output):
        assert (Path(output).with_name(".a.parquet.parts") / "of these texts and this model").exists()


def test_older_scores_in_subfolders_do_not_count(store, bucket):
    bucket.pipe(f"{BUCKET}/again/a.csv", TABLE.encode())
    bucket.pipe(f"{BUCKET}/moved/2026-11/a.csv.parquet", b"scored")
    with interrupted_by(InputError, f"s3://{BUCKET}/again", f"s3://{BUCKET}/moved") as (_source, output):
        assert not list(Path(output).glob("*"))


def test_only_the_files_directly_in_a_folder_are_copied_for_scoring(store, bucket):
    for name in ("a.csv", "old/b.csv", "old/2025/c.csv"):
        bucket.pipe(f"{BUCKET}/flat/{name}", TABLE.encode())
    for done in ([], ["a.csv"]):
        for name in done:
            bucket.pipe(f"{BUCKET}/flat-scored/{name}.parquet", b"scored")
        with local_places(f"s3://{BUCKET}/flat", f"s3://{BUCKET}/flat-scored") as (source, _output):
            copied = {path.relative_to(source).as_posix() for path in Path(source).rglob("*")}
            assert copied == {"a.csv", "old"} - set(done)
    bucket.pipe(f"{BUCKET}/none/logo.png", b"\0")
    with pytest.raises(SourceError, match="holds no tables and no text files"):
        with local_places(f"s3://{BUCKET}/none", f"s3://{BUCKET}/flat-scored"):
            pass


def test_one_table_for_a_folder_of_tables_is_refused_before_it_is_copied(tmp_path, store, bucket, monkeypatch):
    for name in ("a.csv", "train/b.csv", "c.txt", "notes/d.txt"):
        bucket.pipe(f"{BUCKET}/tables/{name}", TABLE.encode())
    for name in ("pos/a.txt", "neg/b.txt"):
        bucket.pipe(f"{BUCKET}/by-label/{name}", b"a text")
    with local_places(f"s3://{BUCKET}/by-label", f"s3://{BUCKET}/scored.csv") as (source, _output):
        assert [path.name for path in label_folders(Path(source))] == ["neg", "pos"]
    monkeypatch.setattr(remote, "copy_files", None)
    for output in (f"s3://{BUCKET}/scored.csv", str(tmp_path / "scored.csv")):
        with pytest.raises(InputError, match=r"--output .*scored\.csv: the input is a folder of tables; name a folder"):
            with local_places(f"s3://{BUCKET}/tables", output):
                pass
    assert not list((store / "fetch").iterdir())


def test_interrupted_scoring_of_an_object_store_folder_resumes(store, bucket):
    bucket.pipe(f"{BUCKET}/cut/a.csv", TABLE.encode())
    bucket.pipe(f"{BUCKET}/cut/b.csv", TABLE.encode())
    bucket.pipe(f"{BUCKET}/done/a.csv.parquet", b"scored")
    places = f"s3://{BUCKET}/cut", f"s3://{BUCKET}/done"
    with interrupted_by(KeyboardInterrupt, *places) as (_source, output):
        (Path(output) / ".b.csv.parquet.parts").mkdir()
        (Path(output) / ".b.csv.parquet.parts" / "000000.parquet").write_bytes(b"part")
        (Path(output) / ".b.csv.parquet.parts" / "of these texts and this model").touch()
    bucket.rm(f"{BUCKET}/cut/a.csv")
    bucket.rm(f"{BUCKET}/done/a.csv.parquet")
    with interrupted_by(InputError, *places) as (source, output):
        assert [path.name for path in Path(source).iterdir()] == ["b.csv"]
        kept = {path.name for path in Path(output).rglob("*")}
        assert kept == {".b.csv.parquet.parts", "000000.parquet", "of these texts and this model"}
    assert not list((store / "fetch").iterdir())
    with interrupted_by(KeyboardInterrupt, *places):
        pass
    assert len(prune(store, 0).removed) == 1
    assert not list((store / "fetch").iterdir())


def test_scores_are_uploaded_to_the_output_address(tmp_path, store, bucket):
    for name in ("a.csv", "b.csv"):
        bucket.pipe(f"{BUCKET}/inbox/{name}", TABLE.encode())
    bucket.pipe(f"{BUCKET}/scored/a.csv.parquet", b"old")
    with local_places(f"s3://{BUCKET}/inbox", f"s3://{BUCKET}/scored") as (source, output):
        table = pa.table({"text": ["a"]})
        assert [path.name for path in tmp_path.joinpath(source).iterdir()] == ["b.csv"]
        assert [path.name for path in tmp_path.joinpath(output).iterdir()] == ["a.csv.parquet"]
        pq.write_table(table, f"{output}/b.csv.parquet")
    assert bucket.cat(f"{BUCKET}/scored/a.csv.parquet") == b"old"
    with bucket.open(f"{BUCKET}/scored/b.csv.parquet") as file:
        assert pq.read_table(file) == table
    with local_places(str(tmp_path / "a.csv"), f"s3://{BUCKET}/one/a.jsonl") as (source, output):
        assert source == str(tmp_path / "a.csv")
        tmp_path.joinpath(output).parent.mkdir()
        tmp_path.joinpath(output).write_text("{}\n")
    assert bucket.cat(f"{BUCKET}/one/a.jsonl") == b"{}\n"
    with pytest.raises(InputError, match="has the texts, which scores must not replace"):
        with local_places(f"s3://{BUCKET}/inbox/", f"s3://{BUCKET}/inbox"):
            pass
    with pytest.raises(InputError, match="scores cannot be written there"):
        with local_places("a.csv", "https://host/a.csv"):
            pass
