import base64
import logging

import jinja2
import pytest
from prefect.exceptions import ParameterTypeError

from tasks.reporting.pages import read_figures, render
from tasks.reporting.prefect_ui import as_address, mlflow_page

SVG = '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg xmlns="http://www.w3.org/2000/svg"><text>é</text></svg>\n'


def test_an_embedded_figure_has_no_xml_header(tmp_path):
    (tmp_path / "a_b.svg").write_text(SVG, encoding="utf-8")
    figures = read_figures(tmp_path)
    assert figures["a b"].startswith("<svg ")
    head, _, data = as_address(figures["a b"]).partition(",")
    assert head == "data:image/svg+xml;base64"
    shown = base64.b64decode(data).decode()
    assert shown.startswith('<svg style="background: #fff" xmlns=')
    assert "é" in shown


def test_a_run_has_an_mlflow_page_only_if_mlflow_has_a_server():
    run = {"experiment_id": "3", "run_id": "abc"}
    assert mlflow_page(run | {"uri": "http://host:5000/"}) == "http://host:5000/#/experiments/3/runs/abc"
    assert mlflow_page(run | {"uri": None}) is None


def test_a_page_with_a_missing_value_raises_an_error():
    with pytest.raises(jinja2.UndefinedError, match="metrics"):
        render("report.html.jinja", name="odd-cat")


def test_a_worker_logs_invalid_parameters_in_one_line_without_passwords(caplog, monkeypatch):
    from flows.imdb_flow import imdb_flow

    validate = imdb_flow.validate_parameters  # imports Prefect, which sets its loggers up
    for name in ("prefect.flows", "prefect.engine"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [caplog.handler])
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)  # caplog listens at the root too
    data = {"maxlin": 3, "source": "https://me:s3cret@host/x"}
    with pytest.raises(ParameterTypeError) as caught:
        validate({"settings": {"data": data}})
    assert caplog.text == ""
    try:
        raise caught.value
    except ParameterTypeError:
        logging.getLogger("prefect.engine").exception("Engine execution exited with unexpected exception")
    (record,) = caplog.records
    assert "Failed: Flow run received invalid parameters: - settings.data.source: Value error, has" in caplog.text
    assert record.getMessage().endswith("- settings.data.maxlin: Extra inputs are not permitted")
    assert "s3cret" not in caplog.text
    assert "Traceback" not in caplog.text
