"""The package itself: what `import dfmamba` loads, and its version."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from setuptools.config.pyprojecttoml import read_configuration

import dfmamba

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "projects" / "dfmamba"
PARTS = sorted(
    {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
)


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_the_import_loads_nothing_else_and_parts_come_at_their_first_use():
    loaded = run(
        "import sys, dfmamba\n"
        "print(sorted(name for name in sys.modules if name.startswith(('torch', 'numpy', 'mm', 'dfmamba'))))\n"
        "print(dfmamba.geometry.__name__, dfmamba.io.__name__, 'torch' in sys.modules)"
    )
    assert loaded == ["['dfmamba']", "dfmamba.geometry", "dfmamba.io", "False"]


@pytest.mark.slow
def test_the_operators_are_there_after_a_plain_import():
    assert run("import dfmamba; print(dfmamba.ops.dssm.__name__)") == ["dssm"]


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_an_attribute(name):
    assert getattr(dfmamba, name).__name__ == f"dfmamba.{name}"


@pytest.mark.parametrize("name", ["opps", "_C_", "__wrapped__"])
def test_other_names_are_not(name):
    with pytest.raises(AttributeError, match=f"module 'dfmamba' has no attribute '{name}'"):
        getattr(dfmamba, name)


def test_the_version_stands_once():
    assert read_configuration(ROOT / "pyproject.toml")["project"]["version"] == dfmamba.__version__
    assert dfmamba.__version__ not in (ROOT / "pyproject.toml").read_text()


def requirements(name):
    """Return the lines of a file of requirements without comments."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements" / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def extras():
    project = read_configuration(ROOT / "pyproject.toml")["project"]
    return {name: list(map(Requirement, lines)) for name, lines in project["optional-dependencies"].items()}


def test_the_extra_for_training_is_the_file_of_requirements():
    assert sorted(map(str, extras()["train"])) == sorted(map(str, requirements("runtime.txt")))


def test_the_extra_for_export_is_the_file_of_requirements():
    assert sorted(map(str, extras()["export"])) == sorted(map(str, requirements("export.txt")))


@pytest.mark.parametrize("extra", ["timm", "view"])
def test_the_versions_of_requirements_fit_the_extras(extra):
    for wanted in extras()[extra]:
        pinned = [
            line for line in requirements("runtime.txt") if (line.name, line.marker) == (wanted.name, wanted.marker)
        ]
        assert len(pinned) == 1, f"{wanted} is not in requirements/runtime.txt"
        (version,) = (clause.version for clause in pinned[0].specifier)
        assert wanted.specifier.contains(version), f"{wanted} does not allow {version}"


def test_the_citation_and_the_changelog_have_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == dfmamba.__version__
    assert citation["references"][0]["identifiers"][0]["value"] == "2512.02727"
    assert f"## [{dfmamba.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
