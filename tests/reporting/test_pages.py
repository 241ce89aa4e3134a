import base64

import jinja2
import pytest

from tasks.reporting.pages import as_address, mlflow_page, read_svg, render

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
