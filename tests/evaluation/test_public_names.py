"""What `dfmamba.evaluation` offers: all of it is there, numpy is enough for it, and new functions are not forgotten."""

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import dfmamba.evaluation
from dfmamba.datasets import data_sets
from dfmamba.evaluation import detnet_protocol, functional, occlusion

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = (
    "torch",
    "torchvision",
    "mmengine",
    "mmcv",
    "mmpose",
    "mmdet",
    "scipy",
    "cv2",
    "tqdm",
    "msgspec",
    "yaml",
    "PIL",
    "matplotlib",
)


@pytest.mark.parametrize("name", dfmamba.evaluation.__all__)
def test_public_names_are_there(name):
    scope = {}
    exec(f"from dfmamba.evaluation import {name}", scope)
    assert scope[name] is not None
    assert name in dir(dfmamba.evaluation)


def test_unknown_names_are_told():
    with pytest.raises(AttributeError, match=r"module 'dfmamba.evaluation' has no attribute 'MPJPE'"):
        dfmamba.evaluation.MPJPE  # noqa: B018


PROTOCOLS = [*(import_module(f"dfmamba.datasets.{name}.protocol") for name in data_sets()), detnet_protocol]


@pytest.mark.parametrize("module", [functional, occlusion, *PROTOCOLS])
def test_functions_of_users_are_public(module):
    """All functions of `functional` and `occlusion`, and every protocol's `score_...`."""
    own = {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__ == module.__name__
        and (name.startswith("score_") or module not in PROTOCOLS)
    }
    assert own
    assert own <= set(dfmamba.evaluation.__all__)


def test_every_registered_metric_is_public():
    from mmpose.registry import METRICS

    for spec in data_sets().values():
        spec.register()
    assert dfmamba.evaluation.DetNetMPJPE
    ours = {name for name, value in METRICS.module_dict.items() if value.__module__.startswith("dfmamba.")}
    assert {"DetNetMPJPE", "RHPEPE"} <= ours <= set(dfmamba.evaluation.__all__)


def test_numpy_is_enough():
    """With everything else out of reach, the functions and the readers of result files are there."""
    metrics = {spec.metric_name.partition(":")[2] for spec in data_sets().values()}
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED!r}))\n"
        "import dfmamba.evaluation as evaluation\n"
        f"for name in set(evaluation.__all__) - set(evaluation.LATE) - {metrics!r}: getattr(evaluation, name)\n"
        "print(evaluation.mpjpe([[[3.0, 4, 0]]], [[[0.0, 0, 0]]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT / "projects"), "PATH": ""},
    )
    assert done.stdout == "5.0\n", done.stderr


def test_parts_of_the_package_are_attributes():
    code = (
        "import dfmamba, sys\nassert 'torch' not in sys.modules\n"
        "print(dfmamba.evaluation.mpjpe([[[3.0, 4, 0]]], [[[0.0, 0, 0]]]), 'ops' in dir(dfmamba), "
        "hasattr(dfmamba, 'nothing'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT / "projects"), "PATH": ""},
    )
    assert done.stdout == "5.0 True False\n", done.stderr
    folders = {path.parent.name for path in (ROOT / "projects" / "dfmamba").glob("*/__init__.py")}
    assert folders <= set(dir(dfmamba))
