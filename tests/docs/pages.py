"""Read the documentation: its pages, their tables, code blocks, headings and links."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"

_FENCE = re.compile(r"^```(.*)$")
_CODE = re.compile(r"`([^`]*)`")


def pages() -> list[Path]:
    """Every page, and the readme."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@dataclass(slots=True)
class Block:
    """One fenced code block.

    Its info string may carry words in braces: ```sh {test terminal=broker until="listening"}.
    """

    page: Path
    line: int
    language: str
    words: dict[str, str]
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(line + "\n" for line in self.lines)

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the fenced code blocks of a page."""
    found: list[Block] = []
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is not None:
            inside = not inside
            if inside:
                found.append(_opened(page, number, fence[1]))
        elif inside:
            found[-1].lines.append(line)
    assert not inside, f"{page}: the last code block is not closed"
    return found


def _opened(page: Path, number: int, info: str) -> Block:
    language, _, rest = info.strip().partition(" ")
    braces = re.fullmatch(r"\{(.*)\}", rest)
    pairs = (word.partition("=") for word in shlex.split(braces[1])) if braces else ()
    return Block(page, number, language, {name: value for name, _, value in pairs})


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    kept, inside = [], False
    for line in page.read_text().splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def tables(page: Path, first: str) -> list[dict[str, str]]:
    """Return the rows of every table whose first column has this heading, as heading to cell."""
    rows: list[dict[str, str]] = []
    headings: list[str] = []
    for line in prose(page).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            headings = []
        elif not headings:
            headings = cells
        elif headings[0] == first and not set(line) <= set("|- :"):
            assert len(cells) == len(headings), f"{page}: {line}"
            rows.append(dict(zip(headings, cells, strict=True)))
    assert rows, f"{page} has no table with the heading {first!r}"
    return rows


def code(cell: str) -> list[str]:
    """Return what stands in backticks in a cell."""
    return _CODE.findall(cell)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and pictures."""
    text = re.sub(r"`[^`]*`", "", prose(page))
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
