"""The report in a browser: chromium, if it is on PATH."""

import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Measures the page after it is drawn, and writes the results into the page.
PROBE = """<script>
window.addEventListener("load", () => {
  const drawn = [...document.querySelectorAll("figure svg")].map(svg => svg.getBoundingClientRect());
  const found = {
    figures: drawn.filter(box => box.width > 300 && box.height > 100).length,
    requests: performance.getEntriesByType("resource").length,
    wide: document.documentElement.scrollWidth > window.innerWidth,
  };
  document.body.setAttribute("data-found", JSON.stringify(found));
});
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")
def test_a_browser_draws_every_figure_without_an_error_or_a_request(first_run, tmp_path):
    page = (first_run / "runs" / "latest" / "report.html").read_text()
    assert "<script" not in page
    probed = tmp_path / "report.html"
    probed.write_text(page.replace("</body>", PROBE))
    done = subprocess.run(
        [
            *[CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"],
            *["--disable-background-networking", "--no-first-run", "--window-size=900,1200"],
            *["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", probed.as_uri()],
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r'data-found="([^"]*)"', done.stdout)[1].replace("&quot;", '"')
    assert found == '{"figures":4,"requests":0,"wide":false}'
    assert "CONSOLE" not in done.stderr
