"""The page as a person meets it: typed into, by keyboard alone, in a real browser."""

from urllib.parse import urlsplit

import pytest

from tests.serving.browsing import CHROMIUM, browsing
from tests.serving.running import service
from tests.support.champions import store_with_champion, write_run_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")
TEXT = "Good film, <b>the</b> bad film"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A service whose model comes with its report."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        write_run_of(root, {"accuracy": 0.8512, "ci95": [0.84, 0.86]}, "the report")
        with service(root, log=root / "service.log") as its:
            yield its


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_text_is_typed_and_its_verdict_seen_by_keyboard_alone(running, tmp_path, scheme):
    with browsing(f"http://127.0.0.1:{running.port}/", tmp_path / "profile", scheme=scheme) as page:
        page.wait("document.activeElement.id === 'text'")
        page.send("Input.insertText", text=TEXT)
        if scheme == "light":
            page.press("Tab", 9)
            page.press("Enter", 13)
        else:
            page.press("Enter", 13, modifiers=2)
        page.wait("document.querySelector('.verdict')")
        assert page.value("document.querySelector('.verdict').textContent") in ("negative", "positive")
        assert page.value("document.querySelectorAll('.bar i').length") == 2
        assert page.value("[...document.querySelectorAll('mark')].map(its => its.textContent).join()") == (
            "Good,film,b,the,b,bad,film"
        )
        assert page.value("document.querySelector('.text').textContent") == TEXT
        page.wait("document.getElementById('model').textContent.includes('report')")
        assert page.value("document.getElementById('model').textContent") == (
            "imdb-classifier version 1: right on 85.1% of its test texts, between 84.0% and 86.0% with 95% confidence. "
            "Its report"
        )
        assert page.value("document.documentElement.scrollWidth <= window.innerWidth")
        background = page.value("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 29)")
        asked = {urlsplit(its["request"]["url"]).netloc for its in page.told("Network.requestWillBeSent")} - {""}
        assert asked == {f"127.0.0.1:{running.port}"}
        assert page.told("Runtime.consoleAPICalled") + page.told("Runtime.exceptionThrown") == []
        assert page.told("Log.entryAdded") == []


def test_the_page_for_programs_names_every_path_and_an_example(running, tmp_path):
    with browsing(f"http://127.0.0.1:{running.port}/docs", tmp_path / "profile") as page:
        page.wait("document.querySelectorAll('h2').length >= 5")
        assert "POST /predict" in page.value("document.body.innerText")
        assert "curl http://127.0.0.1" in page.value("document.body.innerText")
        assert page.told("Log.entryAdded") == []
