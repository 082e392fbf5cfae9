"""The registry of data sets: what each says exists, agrees with the configs, and stands in the documentation."""

import ast
import importlib
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from dfmamba.datasets import data_sets
from dfmamba.evaluation.protocol import Protocol
from dfmamba.evaluation.result_files import ResultFiles

ROOT = Path(__file__).resolve().parents[2]
SPECS = data_sets()
COLUMNS = {
    "set": lambda spec: f"{spec.title} (`{spec.name}`)",
    "joints": lambda spec: spec.joints,
    "root of depths": lambda spec: spec.root,
    "unit of the files": lambda spec: spec.unit,
    "crop": lambda spec: spec.crop,
    "adapter": lambda spec: ", ".join(f"`{name.partition(':')[2]}`" for name in spec.adapters),
    "metric": lambda spec: f"`{spec.metric_name.partition(':')[2]}`",
}
every_set = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


def table():
    rows = [list(COLUMNS), ["---"] * len(COLUMNS)]
    rows += [[cell(spec) for cell in COLUMNS.values()] for spec in SPECS.values()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_the_table_in_the_documentation_is_that_of_the_registry():
    assert table() in (ROOT / "docs" / "extending.md").read_text(), table()


@every_set
def test_what_it_names_is_there(spec):
    assert isinstance(spec.protocol, Protocol)
    assert isinstance(spec.results, ResultFiles)
    assert callable(spec.write)
    assert set(spec.writer_layout.splits) <= {"train", "val", "test"}
    for name in (*spec.parsers, *spec.functions):
        assert callable(resolve_name(name))
    for name in spec.adapters:
        assert 5 <= len(resolve_name(name).EXPECTED_LAYOUT.splitlines()) <= 8
    assert resolve_name(spec.metric_name).data_set_name == spec.name


@every_set
def test_the_metric_has_the_prefix_of_the_protocol(spec):
    assert resolve_name(spec.metric_name).default_prefix == spec.protocol.prefix


@every_set
def test_the_crop_is_that_of_the_config(spec):
    """The enlargement in words, and the one in the pipeline that the base config of the set has."""
    from mmengine.config import Config

    cfg = Config.fromfile(ROOT / "configs" / "_base_" / "datasets" / f"{spec.name}.py")
    steps = {step["type"]: step for step in cfg.test_dataloader.dataset.pipeline}
    if "GetBBoxCenterScale" in steps:
        assert f"times {steps['GetBBoxCenterScale']['padding']}, made square" in spec.crop
    else:
        dataset = resolve_name(spec.adapters[0])(lazy_init=True)
        numbers = [float(number) for number in re.findall(r"(\d+) mm", spec.crop)]
        assert numbers == [2 * dataset.half_mm, 2 * steps["CropDepthCube"]["half_depth_mm"]]


def named_in_code(path):
    """Yield the lines that compare with the name of a set, or have it in a table."""
    for node in ast.walk(ast.parse(path.read_text())):
        parts = {
            ast.Compare: lambda node: [node.left, *node.comparators],
            ast.Dict: lambda node: node.keys,
            ast.Tuple: lambda node: node.elts,
            ast.List: lambda node: node.elts,
            ast.Set: lambda node: node.elts,
        }.get(type(node), lambda node: [])(node)
        if any(isinstance(part, ast.Constant) and part.value in SPECS for part in parts):
            yield node.lineno


def test_nobody_else_lists_the_data_sets():
    """No table and no `if` by the name of a set outside of its folder: a sixth set changes none of these files."""
    found = {}
    for part in ("projects/dfmamba", "tools"):
        for path in sorted((ROOT / part).rglob("*.py")):
            place = path.relative_to(ROOT)
            is_own = str(place) == "projects/dfmamba/datasets/spec.py" or any(name in str(place) for name in SPECS)
            if not is_own and (lines := list(named_in_code(path))):
                found[str(place)] = lines
    assert found == {}


def test_the_registry_needs_the_standard_library_only():
    import subprocess
    import sys

    code = "import sys; import dfmamba.datasets as d; print(sorted(d.data_sets())); assert 'numpy' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(ROOT / "projects")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(sorted(SPECS)), done.stderr


def test_modules_of_a_set_lie_in_its_folder():
    for spec in SPECS.values():
        for place in (*spec.parsers, *spec.adapters, *spec.functions, spec.metric_name, spec.protocol_name):
            assert place.startswith(f"dfmamba.datasets.{spec.name}.")
            assert importlib.import_module(place.partition(":")[0])
