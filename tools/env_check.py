"""Check the environment: `.venv/bin/python tools/env_check.py`. Exit code 1 when something needed is missing."""

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distributions, version

from command_line import add_common_arguments
from setup_env import NEWEST, OLDEST

Row = tuple[str, str, str]
OK, NOTE, FAIL = "ok", "note", "FAIL"
ADVICE = "run `make setup` once, then .venv/bin/python tools/env_check.py"
# Import name -> names of the distributions that provide it; the first is the one that we pin.
NEEDED = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "numpy": ("numpy",),
    "mmengine": ("onedl-mmengine", "mmengine"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite", "mmcv-full"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmpose": ("mmpose",),
    "dfmamba": ("dfmamba",),
}
# --no-cache-dir: pip keeps what it has built, and takes it again for another torch.
BUILD = "MMCV_WITH_OPS=1 pip install --no-cache-dir --no-deps --no-build-isolation"
INSTALL = {
    "torch": "pip install -r requirements/torch.txt",
    "torchvision": "pip install -r requirements/torch.txt",
    "numpy": "pip install -r requirements/runtime.txt",
    "mmengine": "pip install -r requirements/runtime.txt",
    "mmcv": f"{BUILD} -r requirements/mmlab.txt",
    "mmdet": f"{BUILD} -r requirements/mmlab.txt",
    "mmpose": f"{BUILD} -r requirements/mmlab.txt",
    "dfmamba": "pip install --no-deps --no-build-isolation -e .",
}
CV2_PROVIDERS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def check_python() -> Row:
    """Say which Python this is, and whether the pinned versions install there."""
    text = sys.version.split()[0] + " " + sys.executable
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return "python", OK, text
    return "python", NOTE, f"{text}: the pinned versions need {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"


def check_packages() -> Iterator[Row]:
    """Yield version and import of every needed package, and a warning where a fork and its original are both there."""
    for name, providers in NEEDED.items():
        found = {provider: installed for provider in providers if (installed := installed_version(provider))}
        what = ", ".join(f"{provider} {installed}" for provider, installed in found.items())
        try:
            import_module(name)
        except Exception as error:  # a broken binary may raise anything
            yield name, FAIL, explain(name, found, what, error)
            continue
        if len(found) > 1:
            yield (
                name,
                NOTE,
                (
                    f"{what}: they overwrite each other's files. pip uninstall -y {' '.join(found)}, then: "
                    f"{INSTALL[name]}"
                ),
            )
        else:
            yield name, OK, what or "importable, not installed by pip"


def explain(name: str, found: dict[str, str], what: str, error: Exception) -> str:
    """Say why a package cannot be imported, and what to do.

    Args:
        name: Its import name.
        found: Versions of the installed distributions that provide it.
        what: The same as text.
        error: What importing it raised.
    """
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if missing == name and not found:
        return f"not installed: {INSTALL[name]}"
    if missing == name:
        return (
            f"pip lists {what}, but its files are not there; uninstalling another of {', '.join(NEEDED[name])} "
            f"takes them along. pip uninstall -y {' '.join(found)}, then: {INSTALL[name]}"
        )
    if missing == "mmcv._ext":
        return (
            "mmcv is there without its compiled operators (mmcv-lite, or built without MMCV_WITH_OPS=1). Uninstall "
            f"it, then: {INSTALL['mmcv']}"
        )
    if missing in NEEDED:
        return f"needs {missing}, which is missing, see there"
    return f"{what or 'not installed by pip'}: {type(error).__name__}: {first_line(error)}"


def check_cv2() -> Row:
    """Say which distribution provides cv2; several overwrite each other."""
    installed = {(dist.metadata["Name"] or "").lower().replace("_", "-") for dist in distributions()}
    found = [f"{name} {version(name)}" for name in CV2_PROVIDERS if name in installed]
    if len(found) > 1:
        return "cv2", NOTE, f"{', '.join(found)}: they overwrite each other, keep opencv-python-headless only"
    import cv2

    return "cv2", OK if found else NOTE, f"{cv2.__version__} from {', '.join(found) or 'no known distribution'}"


def check_torch_build() -> Row:
    """Compare the builds of torch and torchvision: a CPU torch beside a CUDA torchvision does not work."""
    import torch
    import torchvision

    torchvision.ops.nms(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([1.0]), 0.5)
    number = torch.ops.torchvision._cuda_version()  # 13000 is CUDA 13.0, -1 a build for the CPU
    vision = f"{number // 1000}.{number % 1000 // 10}" if number > 0 else None
    state = OK if vision == torch.version.cuda else FAIL
    return "torch build", state, f"CUDA of torch: {torch.version.cuda}, of torchvision: {vision} (None: CPU only)"


def check_mmcv_ops() -> Row:
    """Call one of mmcv's compiled operators: built against another torch they import and fail when called."""
    import torch

    try:
        from mmcv.ops import nms
    except ModuleNotFoundError as error:
        return "mmcv operators", FAIL, explain("mmcv operators", {}, "", error)

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10]])
    kept = nms(boxes, torch.tensor([0.9, 0.8]), 0.5)[1].tolist()
    return "mmcv operators", OK if kept == [0] else FAIL, f"nms of two boxes kept {kept}, expected [0]"


def check_dssm_backends() -> Iterator[Row]:
    """Yield the backends of our operator, and why some are not there."""
    from dfmamba.ops import available_backends

    for name, reason in available_backends().items():
        missing = FAIL if name == "reference" else NOTE
        yield f"dssm: {name}", OK if reason is None else missing, reason or "available"


def check_gpu() -> Row:
    """Name the GPU; none is fine."""
    import torch

    if not torch.cuda.is_available():
        return "GPU", NOTE, "none that torch can use; everything runs on the CPU"
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return "GPU", OK, f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}, {memory:.0f} GiB"


def check_resume() -> Row:
    """Train a toy model for one epoch, save, resume for a second: catches torch and mmengine that do not fit."""
    import torch
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Toy(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, inputs, mode="tensor"):
            return {"loss": self.layer(inputs.float()).square().mean()}

    def build(folder: str, epochs: int) -> Runner:
        loader = {
            "dataset": [{"inputs": torch.ones(2)}] * 4,
            "batch_size": 2,
            "collate_fn": {"type": "default_collate"},
            "sampler": {"type": "DefaultSampler", "shuffle": False},
        }
        return Runner(
            Toy(),
            folder,
            train_dataloader=loader,
            train_cfg={"by_epoch": True, "max_epochs": epochs},
            optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
            resume=epochs > 1,
            log_level="ERROR",
            experiment_name=f"env_check_{epochs}",
        )

    silence = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(silence):
        build(folder, epochs=1).train()
        resumed = build(folder, epochs=2)
        _ = resumed.train_loop
        resumed.load_or_resume()
        epoch = resumed.epoch
        resumed.train()
        logging.shutdown()  # closes the log file in the folder
    return "save and resume", OK if epoch == 1 else FAIL, f"a run resumed after epoch {epoch}, expected 1"


def guarded(name: str, check: Callable[[], Row], debug: bool) -> Row:
    """Run one check; whatever it raises makes it fail, and `debug` shows where."""
    try:
        return check()
    except Exception as error:  # the point of the tool is to report any failure
        if debug:
            traceback.print_exc()
        return name, FAIL, f"{type(error).__name__}: {first_line(error)}"


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, None where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or ["no message"])[0]


def main() -> None:
    """Print all checks, aligned, and leave with 1 when one has failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    debug = parser.parse_args().debug
    warnings.simplefilter("ignore")
    rows: list[Row] = [check_python(), *check_packages()]
    rows += [
        guarded("cv2", check_cv2, debug),
        guarded("torch build", check_torch_build, debug),
        guarded("mmcv operators", check_mmcv_ops, debug),
    ]
    try:
        rows += check_dssm_backends()
    except Exception as error:
        rows.append(("dssm", FAIL, f"{type(error).__name__}: {first_line(error)}"))
    rows += [guarded("GPU", check_gpu, debug), guarded("save and resume", check_resume, debug)]
    width = max(len(name) for name, _, _ in rows)
    for name, state, text in rows:
        print(f"{name:<{width}}  {state:<4}  {text}")
    if any(state == FAIL for _, state, _ in rows):
        sys.exit(f"something needed is missing: {ADVICE}")


if __name__ == "__main__":
    main()
