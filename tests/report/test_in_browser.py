"""The pages in a real browser: no script errors, no network, nothing wider than a phone."""

import html
import json
import re
import shutil
import subprocess

import pytest
from run_folder_samples import write_finished
from test_comparison_table import make_comparison

from peftsearch.report.comparison.page import write_comparison
from peftsearch.report.run.html import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = 390
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
# A window is never as narrow as a phone; a frame is.
FRAME = """<!doctype html><body><iframe width="{width}" height="800" srcdoc="{page}"
onload="document.body.dataset.width = this.contentDocument.documentElement.scrollWidth"></iframe></body>"""


def write_run_page(folder):
    return write_report(write_finished(folder))


def write_comparison_page(folder):
    return write_comparison(make_comparison(), folder)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("write", [write_run_page, write_comparison_page])
def test_a_page_opens_on_a_phone_without_errors_and_without_a_network(write, tmp_path):
    page = write(tmp_path)
    phone = tmp_path / "phone.html"
    phone.write_text(FRAME.format(width=PHONE, page=html.escape(page.read_text(encoding="utf-8"))), encoding="utf-8")
    log = tmp_path / "net.json"
    own = (f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}", "--dump-dom", phone.as_uri())
    done = subprocess.run([BROWSER, *FLAGS, *own], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert requests_of_page(log) == []
    assert int(re.search(r'data-width="(\d+)"', done.stdout)[1]) <= PHONE


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("write", [write_run_page, write_comparison_page])
def test_markup_in_labels_tasks_and_notes_is_only_text(write, tmp_path):
    page = write(tmp_path)
    own = (f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri())
    done = subprocess.run([BROWSER, *FLAGS, *own], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "dataset.evil" in done.stdout and "data-evil" not in done.stdout
    assert "<img" not in done.stdout


def requests_of_page(log) -> list[str]:
    """Addresses that the page asked for; requests of the browser itself have no origin."""
    found = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    asked = [p["url"] for p in found if p.get("url") and p.get("initiator", "not an origin") != "not an origin"]
    return [url for url in asked if url.startswith("http")]
