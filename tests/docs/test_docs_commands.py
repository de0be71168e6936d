"""What the pages tell the reader to paste, pasted."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, Block, blocks
from tests.docs.terminals import Terminals

KNOWN = {"test", "exit", "terminal", "until", "needs", "output", "file", "settings"}
TESTED = [page for page in sorted(DOCS.rglob("*.md")) if any("test" in block.words for block in blocks(page))]


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    """A reader's machine."""
    directory = tmp_path / "home"
    directory.mkdir()
    found = Terminals(directory)
    yield found
    found.close()


def playable(page: Path) -> list[Block]:
    """Return the blocks of a page whose tools are here; skip the page when none is."""
    return [
        block
        for block in blocks(page)
        if all(shutil.which(tool) for tool in block.words.get("needs", "").split(",") if tool)
    ]


@pytest.mark.parametrize("page", TESTED, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_do_what_it_says(page: Path, terminals: Terminals) -> None:
    """Every block that is marked for it runs, in order, and prints what the page shows."""
    for block in playable(page):
        terminals.play(block)


def test_tutorial_is_played_whole() -> None:
    """In the tutorial only the installation is left out: it needs the network, and the image's tests do it."""
    page = DOCS / "tutorial" / "first-message.md"
    left_out = [block for block in blocks(page) if block.language in {"sh", "python"} and "test" not in block.words]
    assert ["pip install" in block.text for block in left_out] == [True]


def test_marks_are_spelt_right() -> None:
    """A word in an info string that nobody knows would leave its block untested."""
    unknown = {word for page in DOCS.rglob("*.md") for block in blocks(page) for word in block.words} - KNOWN
    assert unknown == set()
