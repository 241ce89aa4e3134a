import base64
import logging

import jinja2
import pytest
from prefect.exceptions import ParameterTypeError

from tasks.core.errors import SourceError
from tasks.reporting.pages import UNEXPECTED, as_address, mlflow_page, read_svg, render, write_failure

SVG = '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg xmlns="http://www.w3.org/2000/svg"><text>é</text></svg>\n'


def test_a_figure_stands_within_a_page_without_its_own_head(tmp_path):
    (tmp_path / "a.svg").write_text(SVG, encoding="utf-8")
    assert read_svg(tmp_path / "a.svg").startswith("<svg ")
    head, _, data = as_address(tmp_path / "a.svg").partition(",")
    assert head == "data:image/svg+xml;base64"
    shown = base64.b64decode(data).decode()
    assert shown.startswith('<svg style="background: #fff" xmlns=')
    assert "é" in shown


def test_the_page_of_a_run_in_mlflow_is_known_where_it_has_a_server():
    run = {"experiment_id": "3", "run_id": "abc"}
    assert mlflow_page(run | {"uri": "http://host:5000/"}) == "http://host:5000/#/experiments/3/runs/abc"
    assert mlflow_page(run | {"uri": None}) is None


def test_what_a_page_lacks_is_an_error_and_not_a_gap():
    with pytest.raises(jinja2.UndefinedError, match="step"):
        render("failure.html.jinja", name="odd-cat")


STEPS = [
    {"name": name, "seconds": seconds, "cached": False, "cause": "first run"}
    for name, seconds in (("download", 1.5), ("encode", None))
]


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_an_expected_error_is_shown_as_its_message_with_the_remedy(tmp_path):
    error = raised(SourceError("a.npz: sha256 is <1>, expected 2; give --data.sha256 1"))
    settings = {"runner": "threads", "workers": None, "data": {"maxlen": 256, "source": None}}
    page = write_failure(tmp_path, "odd-cat", settings, "encode", error, STEPS).read_text()
    assert "a.npz: sha256 is &lt;1&gt;, expected 2; give --data.sha256 1" in page
    assert "<b>encode</b>" in page
    assert "1.50" in page
    assert "maxlen = 256" in page
    assert "<code>threads</code>" in page
    assert "Traceback" not in page


def test_an_unexpected_error_is_shown_with_its_traceback(tmp_path):
    path = write_failure(tmp_path, "odd-cat", {}, "train", raised(ZeroDivisionError("oh")), STEPS)
    page = path.read_text()
    assert path.parent.name.endswith("-odd-cat")
    assert UNEXPECTED in page
    assert "ZeroDivisionError: oh" in page
    assert "test_pages.py" in page


def test_a_worker_logs_a_misspelt_parameter_in_one_line_and_quotes_no_password(caplog, monkeypatch):
    from flows.imdb_flow import imdb_flow

    for name in ("prefect.flows", "prefect.engine"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [caplog.handler])
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)  # caplog listens at the root too
    data = {"maxlin": 3, "source": "https://me:s3cret@host/x"}
    with pytest.raises(ParameterTypeError) as caught:
        imdb_flow.validate_parameters({"settings": {"data": data}})
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
