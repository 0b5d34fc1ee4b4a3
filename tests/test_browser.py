"""The report in a real browser, where one is there: it shows itself whole, and asks the network for nothing."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from ircohort import cli
from wanted import want

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--no-first-run", "--disable-quic", "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    directory = tmp_path_factory.mktemp("page")
    labs = directory / "labs.csv"
    labs.write_text(
        "id,date,glucose (mg/dL),insulin (uIU/mL),tg (mg/dL),hdl (mg/dL)\n"
        + "".join(
            f"p{person},20{10 + year}-03-01,{88 + person},{6 + year},100,50\n"
            for person in range(9)
            for year in range(6)
        )
    )
    assert cli.exit_code(["report", str(labs), "-o", str(directory / "report.html"), "--quiet"]) == 0
    return directory / "report.html"


def browse(page, *arguments):
    found = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
    want(found is not None, "a Chromium browser")
    profile = page.parent / "profile"
    command = [str(found), *FLAGS, f"--user-data-dir={profile}", *arguments, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


def test_the_page_names_no_address_of_a_network(page):
    html = re.sub(r'="data:[^"]*"', '=""', page.read_text(encoding="utf-8"))
    assert not re.findall(r'(?:src|href)="(?!#)[^"]+"', html)
    assert "<script" not in html


@pytest.mark.parametrize("width", [1000, 400])
def test_the_page_is_shown_and_fits_its_window(page, width, tmp_path):
    picture = tmp_path / "page.png"
    browse(page, f"--screenshot={picture}", f"--window-size={width},1600")
    pixels = imread(picture)
    assert pixels.shape[1] == width
    assert np.ptp(pixels[..., :3]) > 0.5  # something is on it
    assert (pixels[:, -4:, :3] == pixels[0, -1, :3]).all()  # and nothing runs over the right edge


def test_the_page_prints_on_a_few_sheets(page, tmp_path):
    sheets = tmp_path / "page.pdf"
    browse(page, f"--print-to-pdf={sheets}", "--no-pdf-header-footer")
    assert 1 <= Path(sheets).read_bytes().count(b"/Type /Page\n") + sheets.read_bytes().count(b"/Type /Page ") <= 6
