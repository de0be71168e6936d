"""Links, pictures and the index of the documentation."""

import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, anchors, links, pages

IMAGES = DOCS / "images"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_of_a_page_resolve(page: Path) -> None:
    """Every relative link names a file that is there, and a heading that is in it."""
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_index_leads_to_every_page() -> None:
    """Nothing under `docs/` is out of sight."""
    index = DOCS / "README.md"
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(index) if "://" not in link}
    assert {page for page in DOCS.rglob("*.md") if page != index} <= listed


@pytest.mark.parametrize("picture", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_picture_is_what_its_script_draws(picture: Path) -> None:
    """The committed picture is the script's, is well-formed, says in words what it shows, and loads nothing."""
    drawn = runpy.run_path(str(IMAGES / "draw.py"))["PICTURES"][picture.name]()
    assert picture.read_text() == drawn
    root = ET.fromstring(drawn)
    assert root.get("aria-label")
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


def test_pictures_are_used() -> None:
    """Every picture stands on a page."""
    used = {Path(link).name for page in pages() for link in links(page)}
    assert {picture.name for picture in IMAGES.glob("*.svg")} <= used
