"""The web page in a real browser, used with the keyboard only."""

from urllib.parse import urlsplit

import pytest

from tests.serving.browsing import CHROMIUM, browsing
from tests.serving.running import service
from tests.support.champions import store_with_champion
from tests.support.web import proxying

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")
TEXT = "Good film, <b>the</b> bad film"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A service on a champion."""
    with store_with_champion(tmp_path_factory.mktemp("store")) as root:
        with service(root, log=root / "service.log") as running:
            yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_typed_text_is_classified_with_the_keyboard_only(running, tmp_path, scheme):
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
        assert page.value("[...document.querySelectorAll('mark')].map(mark => mark.textContent).join()") == (
            "Good,film,the,bad,film"  # the network does not read the unknown word b
        )
        assert page.value("document.querySelector('.text').textContent") == TEXT
        page.wait("document.getElementById('model').textContent === 'imdb-classifier version 1.'")
        assert page.value("document.documentElement.scrollWidth <= window.innerWidth")
        background = page.value("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 29)")
        requests = page.events_of("Network.requestWillBeSent")
        hosts = {urlsplit(event["request"]["url"]).netloc for event in requests} - {""}
        assert hosts == {f"127.0.0.1:{running.port}"}
        assert page.events_of("Runtime.consoleAPICalled") + page.events_of("Runtime.exceptionThrown") == []
        assert page.events_of("Log.entryAdded") == []


def test_the_api_page_lists_every_path_with_an_example(running, tmp_path):
    with browsing(f"http://127.0.0.1:{running.port}/docs", tmp_path / "profile") as page:
        page.wait("document.querySelectorAll('h2').length >= 4")
        assert "POST /predict" in page.value("document.body.innerText")
        assert "curl http://127.0.0.1" in page.value("document.body.innerText")
        assert page.events_of("Log.entryAdded") == []


def test_an_unanswered_text_is_marked(running, tmp_path):
    with browsing(f"http://127.0.0.1:{running.port}/", tmp_path / "profile") as page:
        page.wait("typeof show === 'function'")
        for answered in ("true", "false"):
            verdict = f"{{label: 'a', probabilities: {{a: 0.6, b: 0.4}}, words: [], answered: {answered}}}"
            page.value(f"show('text', {verdict}, 'model')")
            is_marked = page.value("document.getElementById('result').textContent.includes('Unanswered')")
            assert is_marked == (answered == "false")


def test_the_pages_work_behind_a_proxy_with_a_path_prefix(running, tmp_path):
    with proxying(running.port, "/of/mine") as port:
        with browsing(f"http://127.0.0.1:{port}/of/mine/", tmp_path / "profile") as page:
            page.send("Input.insertText", text=TEXT)
            page.press("Enter", 13, modifiers=2)
            page.wait("document.querySelector('.verdict')")
            page.wait("document.getElementById('model').textContent === 'imdb-classifier version 1.'")
            assert page.events_of("Log.entryAdded") == []
        with browsing(f"http://127.0.0.1:{port}/of/mine/docs", tmp_path / "other") as page:
            page.wait("document.querySelectorAll('h2').length >= 4")
            assert f"curl http://127.0.0.1:{port}/of/mine/predict" in page.value("document.body.innerText")


def test_a_text_too_long_to_explain_is_classified(running, tmp_path):
    with browsing(f"http://127.0.0.1:{running.port}/", tmp_path / "profile") as page:
        page.wait("document.activeElement.id === 'text'")
        page.value("document.getElementById('text').value = 'good film '.repeat(1001)")
        page.press("Enter", 13, modifiers=2)
        page.wait("document.querySelector('.verdict')")
        assert page.value("document.querySelectorAll('mark').length") == 0


def test_words_of_scripts_without_spaces_are_coloured(running, tmp_path):
    with browsing(f"http://127.0.0.1:{running.port}/", tmp_path / "profile") as page:
        page.wait("typeof coloured === 'function'")
        words = "[{word: '喜', share: 1, label: 'a'}, {word: 'good', share: -1, label: 'a'}]"
        shown = f"coloured('我喜欢 good goods 这个good很', {words})"
        marked = f"[...{shown}.querySelectorAll('mark')].map(its => its.textContent).join()"
        assert page.value(marked) == "喜,good,good"
