"""What documents, config headers and docstrings point to is there: files, headings, pictures, other documents."""

import ast
import os
import re
from pathlib import Path

import document
import pytest
from document import ROOT
from PIL import Image

ALL = {path: document.read(path) for path in document.DOCUMENTS}
SOURCES = sorted(path for folder in ("configs", "projects", "tests", "tools") for path in (ROOT / folder).rglob("*.py"))
# Where paths begin: documents and docstrings name files from one of these.
BASES = [ROOT, ROOT / "projects", ROOT / "projects" / "dfmamba", ROOT / "configs"]
FOLDERS = sorted(
    {folder.name for base in BASES for folder in base.iterdir() if folder.is_dir() and re.match(r"\w", folder.name)}
    - {"build", "data", "work_dirs"}
)
PATH = re.compile(rf"(?<![\w./<>~-])(?:{'|'.join(FOLDERS)})/[\w./{{}},*-]*[\w}}]")
ELSEWHERE = {  # beginnings of paths in other projects, and whose
    "tests/data/interhand2.6m": "open-mmlab/mmpose",
    "evaluation/src": "xinghaochen/awesome-hand-pose-estimation",
}


def expand(text):
    """Expand the first {a,b} of a path, and so on."""
    found = re.search(r"\{([^{}]*,[^{}]*)\}", text)
    if not found:
        return [text]
    return [path for part in found[1].split(",") for path in expand(text[: found.start()] + part + text[found.end() :])]


def missing_paths(text):
    """Return the paths of this repository in a text that are not there."""
    paths = [path for found in PATH.findall(text) for path in expand(found) if not found.startswith(tuple(ELSEWHERE))]
    return [path for path in paths if not any(any(base.glob(path)) for base in BASES)]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    broken = []
    for number, target in ALL[path].links():
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = Path(os.path.normpath(path.parent / name)) if name else path
        there = file.is_relative_to(ROOT) and file.exists()
        if not there or (anchor and anchor not in document.read(file).anchors()):
            broken.append(f"{path.name}:{number}: {target}")
    assert broken == []


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_pictures_can_be_opened(path):
    for _, target in ALL[path].links():
        if target.endswith((".png", ".jpg")):
            with Image.open(path.parent / target) as image:
                image.verify()


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_files_named_in_a_document_are_there(path):
    spans = {f"{path.name}:{number}": missing_paths(span) for number, span in ALL[path].spans()}
    assert {place: paths for place, paths in spans.items() if paths} == {}


def test_a_reader_of_the_readme_finds_every_document():
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        path = todo.pop()
        seen.add(path)
        targets = [path.parent / target.partition("#")[0] for _, target in ALL[path].links()]
        todo += [file for target in targets if (file := target.resolve()) in ALL and file not in seen]
    assert set(ALL) - seen == set()


def comments_and_docstrings(path):
    """Return the text of a source file that is written for readers: docstrings and comments."""
    source = path.read_text(encoding="utf-8")
    nodes = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    ]
    return "\n".join([*(ast.get_docstring(node) or "" for node in nodes), *re.findall(r"(?:^|\s)#\s(.*)", source)])


def test_files_named_in_sources_are_there():
    found = {str(path.relative_to(ROOT)): missing_paths(comments_and_docstrings(path)) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == {}


def test_headings_named_in_sources_are_there():
    """They are cited in the form: name of the document, comma, heading in double quotes."""
    wrong = []
    for path in SOURCES:
        for name, heading in re.findall(r'(README|docs/\w+\.md),\s+"([^"]+)"', comments_and_docstrings(path)):
            cited = ROOT / ("README.md" if name == "README" else name)
            if heading not in document.read(cited).headings():
                wrong.append(f"{path.relative_to(ROOT)}: {name}, {heading}")
    assert wrong == []


def test_configs_stay_in_the_repository():
    """No path in a config leads out of it: a user's clone has nothing there."""
    outside = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in SOURCES
        if path.is_relative_to(ROOT / "configs")
        for text in re.findall(r"'(\.\.?/[^']*)'", path.read_text())
        if not Path(os.path.normpath(path.parent / text)).is_relative_to(ROOT / "configs")
    ]
    assert outside == []
