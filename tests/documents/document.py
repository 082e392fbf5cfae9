"""Read a Markdown file as these tests need it: code blocks, code in the text, headings and links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """Code between two fences.

    Attributes:
        path: The document.
        line: Number of its first line of code, from 1.
        language: What stands behind the opening fence.
        code: The text, without what the fences are indented by.
    """

    path: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Document:
    """What a Markdown file consists of; text and its line numbers are those outside of code blocks."""

    path: Path
    blocks: list[Block]
    text: dict[int, str]

    def indented_code(self) -> list[int]:
        """Return the lines at which code is marked by indentation only, which names no language."""
        return [
            number
            for number, line in self.text.items()
            if line.startswith("    ") and line.strip() and not self.text.get(number - 1, "").strip()
        ]

    def spans(self) -> list[tuple[int, str]]:
        """Return line and content of all code in the text."""
        return [(number, span) for number, line in self.text.items() for span in re.findall(r"`([^`]+)`", line)]

    def links(self) -> list[tuple[int, str]]:
        """Return line and target of all links and images."""
        without_code = {number: re.sub(r"`[^`]*`", "", line) for number, line in self.text.items()}
        return [
            (number, target) for number, line in without_code.items() for target in re.findall(r"\]\(([^)\s]+)\)", line)
        ]

    def headings(self) -> list[str]:
        """Return all headings."""
        return [line.lstrip("#").strip() for line in self.text.values() if re.match(r"#{1,6} ", line)]

    def anchors(self) -> set[str]:
        """Return what GitHub makes of the headings."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in self.headings()}


def read(path: Path) -> Document:
    """Take a Markdown file apart.

    Raises:
        ValueError: A code block is not closed.
    """
    blocks, text = [], {}
    fence, language, start, code = "", "", 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        opening = re.match(r"\s*(```+)(.*)", line)
        if not fence and opening:
            fence, language, start, code = opening[1], opening[2].strip(), number + 1, []
        elif not fence:
            text[number] = line
        elif line.strip() == fence:
            blocks.append(Block(path, start, language, "\n".join(code) + "\n"))
            fence = ""
        else:
            code.append(line)
    if fence:
        raise ValueError(f"{path}:{start - 1}: the code block is not closed")
    return Document(path, blocks, text)
