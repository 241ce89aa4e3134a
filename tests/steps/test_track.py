import html
import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import numpy as np
import pytest
from mlflow.tracking import MlflowClient

import tasks.promote
import tasks.run_folder
import tasks.track
from flows.imdb_flow import imdb_flow
from flows.promote_flow import promote_flow
from tasks.core.command_settings import PredictSettings, PromoteSettings
from tasks.core.errors import RegistryError
from tasks.predict import predict_text
from tasks.registry.client import address_of
from tasks.registry.mlflow_model import content_of
from tasks.reporting.terminal_output import show_champions, show_run
from tests.support.champions import MODEL, logged_runs
from tests.support.servers import mlflow_server
from tests.support.small_runs import small, tracked
from tests.support.web import free_port


def test_a_run_is_logged_once_and_its_model_registered(run, imdb, trained, monkeypatch):
    metrics = run(tracked(imdb))
    client = MlflowClient(address_of(None), address_of(None))
    (logged_run,) = logged_runs(address_of(None))
    assert logged_run.info.status == "FINISHED"
    assert logged_run.data.params["data.maxlen"] == "64"
    assert logged_run.data.tags["dataset_sha256"] == metrics["dataset"]["sha256"]
    assert logged_run.data.metrics["test_accuracy"] == pytest.approx(metrics["test"]["accuracy"])
    losses = client.get_metric_history(logged_run.info.run_id, "val_loss")
    assert [(loss.step, loss.value) for loss in losses] == [
        (epoch["epoch"], pytest.approx(epoch["val_loss"])) for epoch in metrics["history"]
    ]
    files = client.list_artifacts(logged_run.info.run_id)
    assert {file.path for file in files} == {"evaluation", "figures", "report.html"}
    assert (
        logged_run.data.tags["mlflow.source.git.commit"] == metrics["machine"]["commit"]
        or not metrics["machine"]["commit"]
    )
    assert int(logged_run.data.tags["cores"]) == metrics["machine"]["cores"] >= 1
    (dataset,) = logged_run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("imdb", metrics["dataset"]["sha256"][:32])
    (model,) = client.search_logged_models([logged_run.info.experiment_id])
    assert (model.status, model.source_run_id) == ("READY", logged_run.info.run_id)
    assert {its.key: its.value for its in model.metrics}["test_roc_auc"] == metrics["test"]["roc_auc"]
    assert metrics["promotion"]["decision"] == "champion"
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.run_id == metrics["tracking"]["run_id"] == logged_run.info.run_id
    assert champion.source == model.artifact_location
    assert str(trained) in champion.source
    registered = Path(urlsplit(champion.source).path)
    assert champion.tags["content_sha256"] == content_of(registered)

    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", address_of(None))
        network = mlflow.keras.load_model(f"models:/{MODEL}@champion")
    assert network.predict(np.ones((1, 32), np.int32), verbose=0).shape == (1, 1)

    # The store's own registry has all of it, so MLflow is not called.
    with monkeypatch.context() as patch:
        patch.setattr(tasks.track, "registry", None)
        patch.setattr(tasks.promote, "registry", None)
        again = run(tracked(imdb))
    assert [step["name"] for step in again["steps"] if not step["cached"]] == []
    assert again["tracking"] == metrics["tracking"]
    assert again["promotion"] == metrics["promotion"]

    predicted = predict_text(PredictSettings(text="word5"), None)
    assert predicted["model"] == f"{MODEL} version 1"
    network = Path(urlsplit(champion.source).path) / "data" / "model.keras"
    network.write_bytes(network.read_bytes()[:-1] + b"!")
    with pytest.raises(RegistryError, match=r"version 1: its files are not those that were registered"):
        predict_text(PredictSettings(text="word5"), None)


@pytest.mark.slow
def test_a_challenger_can_be_promoted_and_rolled_back_by_hand(run, imdb, tracked_run, capsys, caplog):
    client = MlflowClient(address_of(None), address_of(None))
    client.set_model_version_tag(MODEL, "1", "source", "file:///elsewhere.csv")
    client.set_model_version_tag(MODEL, "1", "dataset_sha256", "of other texts")
    second = run(tracked(imdb, evaluation={"threshold": 0.49}))
    assert second["promotion"]["decision"] == "challenger"
    assert "Version 2 is not significantly better" in second["promotion"]["reason"]
    assert second["promotion"]["reason"] in (second["folder"] / "report.html").read_text()
    assert f"The champion of {MODEL} was trained on file:///elsewhere.csv, not on " in caplog.text
    assert "--tracking.registered-model NAME" in caplog.text
    assert client.get_model_version_by_alias(MODEL, "challenger").version == 2
    for version, before in ((2, 1), (1, 2)):
        record = promote_flow(PromoteSettings(version=version, reason="a person says so"))
        assert (record["decision"], record["against"]) == ("champion", before)
        champion = client.get_model_version_by_alias(MODEL, "champion")
        assert champion.version == version
        assert json.loads(champion.tags["promotion"])["reason"] == "a person says so"
        assert client.get_model_version(MODEL, str(before)).tags["replaced_by"] == str(version)
        assert "replaced_by" not in champion.tags
    # A person rolled it back: the next run with the same settings does not promote it again.
    rolled_back = run(tracked(imdb, evaluation={"threshold": 0.49}))["promotion"]
    assert rolled_back["decision"] == "neither"
    assert "Version 2 was the champion until version 1 replaced it" in rolled_back["reason"]
    assert client.get_model_version_by_alias(MODEL, "champion").version == 1
    assert promote_flow(PromoteSettings(version=1, reason="once more"))["against"] is None
    with pytest.raises(RegistryError, match=r"imdb-classifier has no version 9; it has 1, 2"):
        promote_flow(PromoteSettings(version=9))
    with pytest.raises(RegistryError, match=r"no champion before version 1 is recorded; name a version with --version"):
        promote_flow(PromoteSettings(back=True))
    promote_flow(PromoteSettings(version=2))
    record = promote_flow(PromoteSettings(back=True, reason="more false alarms"))
    assert (record["version"], record["against"]) == (1, 2)
    # The nightly run does not change this, and its report has the history.
    nightly = run(tracked(imdb, evaluation={"threshold": 0.49}))
    assert (nightly["promotion"]["decision"], nightly["promotion"]["version"]) == ("neither", 2)
    assert client.get_model_version_by_alias(MODEL, "champion").version == 1
    history = promote_flow(PromoteSettings(list=True))
    assert nightly["promotion"]["champions"] == history["champions"]
    page = html.unescape((nightly["folder"] / "report.html").read_text())
    table = page[page.index("Champions of imdb-classifier so far") :]
    rows = [
        f"<td>{its['version']}</td><td>{its['at']}</td><td>{its['by']}</td>"
        f'<td class="number">{its["accuracy"]:.4f}</td><td>{its["reason"]}</td>'
        for its in reversed(history["champions"])
    ]
    assert rows == [row for row in rows if row in table]
    assert table.index(rows[0]) < table.index(rows[-1])
    assert [entry["version"] for entry in history["champions"]] == [1, 2, 1, 1, 2, 1]
    assert [entry["by"] for entry in history["champions"]] == ["run", *["hand"] * 5]
    last = history["champions"][-1]
    assert (last["accuracy"], last["reason"]) == (pytest.approx(tracked_run["test"]["accuracy"]), "more false alarms")
    show_champions(history)
    assert "more false alarms" in " ".join(capsys.readouterr().out.split())
    assert promote_flow(PromoteSettings(version=2))["reason"] == "promoted by hand"
    assert promote_flow(PromoteSettings(back=True))["reason"] == "rolled back by hand"


def delete_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def change_a_byte(folder: Path) -> None:
    network = folder / "model.onnx"
    network.write_bytes(network.read_bytes()[:-1] + b"!")


def delete_a_file(folder: Path) -> None:
    (folder / "classifier.json").unlink()


@pytest.mark.parametrize(
    "damage", [delete_folder, *(pytest.param(its, marks=pytest.mark.slow) for its in (change_a_byte, delete_a_file))]
)
def test_a_champion_with_damaged_or_missing_files_is_replaced(run, imdb, tracked_run, damage):
    client = MlflowClient(address_of(None), address_of(None))
    damage(Path(urlsplit(client.get_model_version_by_alias(MODEL, "champion").source).path))
    for refused in (
        lambda: predict_text(PredictSettings(text="good film"), None),
        lambda: promote_flow(PromoteSettings(version=1)),
    ):
        with pytest.raises(RegistryError, match=r"version 1: its files are not .* Repeat the training that made it"):
            refused()
    again = run(tracked(imdb))["promotion"]
    assert (again["decision"], again["version"]) == ("champion", 2)
    assert again["reason"] == "Version 2 is the champion: the files of the one before it, version 1, are gone."
    assert predict_text(PredictSettings(text="good film"), None)["model"] == f"{MODEL} version 2"
    assert run(tracked(imdb))["promotion"] == again


@pytest.mark.slow
def test_a_run_is_a_trial_only_if_max_reviews_omits_texts(run, imdb, trained):
    assert run(tracked(imdb, data={"max_reviews": 100_000}))["promotion"]["decision"] == "champion"
    part = {"max_reviews": 60, "validation_split": 0.4}
    trial = run(tracked(imdb, data=part))["promotion"]
    assert trial["decision"] == "neither"
    assert "was trained on a part of the texts" in trial["reason"]


UNUSUAL = """o'brien's "a:b" \\ <i>%s</i> ;--"""


def write_texts(path: Path, start: int) -> None:
    """Write texts of two labels, half of which are also in the file that starts 150 rows later."""
    rows = [f"word{row} film {('bad', 'good')[row % 2]} n{row},{row % 2}" for row in range(start, start + 300)]
    path.write_text("\n".join(["text,label", *rows]))


@pytest.mark.slow
def test_special_characters_in_names_work_and_newer_data_meets_the_champion(run, tmp_path):
    settings = {"data": {"max_unknown": 1.0, "num_words": 200, "maxlen": 16, "min_class_share": 0.0}}
    settings |= {"tracking": {"enabled": True, "experiment": f"./{UNUSUAL}/.."}, "promotion": {"min_accuracy": 0.1}}

    def run_on(path: Path, **tracking: str) -> dict:
        write_texts(path, 0 if "10" in path.name else 150)
        sections = settings | {"data": settings["data"] | {"dataset": str(path)}}
        sections["tracking"] = settings["tracking"] | tracking
        return run(small(None, **sections))

    first = run_on(tmp_path / f"{UNUSUAL.replace('/', '|')} 10.csv")["promotion"]
    assert first["decision"] == "champion"
    assert first["model"] == "o-brien-s -a-b- - <i>%s<|i> ;-- 10-classifier"
    later = run_on(tmp_path / "reviews-2026-11.csv", registered_model=first["model"])["promotion"]
    assert later["against"] == 1
    assert later["reviews"] > 0, later["reason"]


@pytest.mark.slow
def test_a_run_finishes_if_mlflow_is_down_and_can_be_tracked_later(
    run, imdb, trained, monkeypatch, caplog, capsys, tmp_path
):
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    state = imdb_flow(tracked(imdb), return_state=True)
    metrics = json.loads((state.result() / "metrics.json").read_text()) | {"folder": state.result()}
    assert (state.name, metrics["tracking"], metrics["promotion"]) == ("Untracked", None, None)
    warnings = [record.message for record in caplog.records if "refused" in record.message]
    assert warnings[0].startswith(f"MLflow at http://127.0.0.1:{port} failed: ")
    assert warnings[0].endswith("The run goes on, and tries again at its end.")
    assert "run the same again" in caplog.text
    assert show_run(metrics["folder"]) == 3
    assert "later, run the same again: all steps come from the cache" in capsys.readouterr().err
    assert show_run(run(small(imdb))["folder"]) == 0  # tracking is not enabled

    # With the store's own registry, the same run is tracked and promoted without new training.
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    later = run(tracked(imdb))
    assert [step["name"] for step in later["steps"] if not step["cached"]] == ["track", "promote"]
    assert (later["promotion"]["decision"], later["promotion"]["version"]) == ("champion", 1)
    assert later["promotion"]["reason"] in (later["folder"] / "report.html").read_text()
    assert show_run(later["folder"]) == 0
    assert "imdb-classifier, champion: Version 1 is the first champion" in capsys.readouterr().out

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")

    with mlflow_server(f"sqlite:///{tmp_path}/server.db", tmp_path / "a", port) as address:
        metrics = run(tracked(imdb))
        assert [step["name"] for step in metrics["steps"] if not step["cached"]] == ["track", "promote"]
        assert metrics["promotion"]["decision"] == "champion"
        (logged_run,) = logged_runs(address)
        assert logged_run.info.run_id == metrics["tracking"]["run_id"]

        (network,) = (tmp_path / "a").rglob("model.keras")
        network.unlink()
        again = run(tracked(imdb))["promotion"]
        assert (again["decision"], again["version"]) == ("champion", 2)
