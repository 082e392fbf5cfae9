"""All code in README.md, CONTRIBUTING.md and docs/: Python runs and prints what it says, commands are checked.

Only what stands in `PARSED_ONLY` does not run; its arguments, files and settings are checked all the same.
"""

import ast
import contextlib
import io
import re
import shutil
from pathlib import Path

import document
import pytest
import shell

import tool_process

LANGUAGES = {
    "python": "runs, after the document's blocks above it; what follows `print(...)  #` is compared with the output",
    "python config": "a config file in configs/: is loaded, and its model built and called",
    "bash": "each command is checked, and runs unless PARSED_ONLY says why not",
    "text": "nothing to run",
}
# Programs and tools whose arguments are checked, but that do not run here.
PARSED_ONLY = {
    "make": "installs, or runs all tests",
    "pip": "installs",
    "pytest": "these are the tests",
    "torchrun": "trains for days; tests/engine/test_distributed.py starts several processes",
    "srun": "needs a cluster; tests/engine/test_distributed.py starts processes as it does",
    "tools/train.py": "trains for days; tests/test_end_to_end.py trains",
    "tools/test.py": "needs a trained model; tests/test_end_to_end.py tests one",
    "tools/predict.py": "needs a trained model; tests/configs/test_finetune_own_data.py and tests/apis predict",
    "tools/convert_annotations.py": "needs files of others; tests/datasets/test_convert_annotations.py converts some",
    "tools/run_demo.py": "takes 11 minutes and more; tests/test_end_to_end.py takes its steps",
    "tools/benchmark.py": "takes hours; tests/tools/test_benchmark.py runs it",
    "tools/benchmark_ops.py": "takes hours",
    "tools/cuda_resources.py": "needs nvcc; tests/tools/test_cuda_resources.py reads what compilers say",
    "tools/benchmark_data.py": "takes half an hour; tests/benchmark/test_data_timing.py measures as it does",
    "tools/compare.py": "takes hours; tests/tools/test_compare.py runs it",
    "tools/soak.py": "takes half an hour; tests/tools/test_soak.py runs it",
}
SETS = {  # and their configs
    "interhand26m": "dfmamba_interhand.py",
    "rhp": "dfmamba_rhp.py",
    "nyu": "dfmamba_nyu.py",
    "dexycb": "dfmamba_dexycb.py",
}
COUNTS = ("--num", "--train", "--val", "--test")  # of tools/make_dataset.py: some images are enough here
ALL = [document.read(path) for path in document.DOCUMENTS]
BLOCKS = [block for found in ALL for block in found.blocks]
IN_TEXT = [
    document.Block(found.path, line, "bash", span)
    for found in ALL
    for line, span in found.spans()
    if shell.is_command(span)
]


def of_language(*languages):
    return pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in languages], ids=str)


def test_every_block_names_its_language():
    assert {str(block): block.language for block in BLOCKS if block.language not in LANGUAGES} == {}
    assert {found.path.name: lines for found in ALL if (lines := found.indented_code())} == {}


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """Return a folder that looks like the repository, where results may be written."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("configs", "projects", "requirements", "tools"):
        (folder / name).symlink_to(document.ROOT / name)
    return folder


@pytest.fixture(scope="session")
def data_sets(synthetic_set, tmp_path_factory):
    """Return a folder data/ as the configs expect it, with small SYNTHETIC sets."""
    from dfmamba.engine.config import load_config

    parent = tmp_path_factory.mktemp("documented_data")
    for name, config in SETS.items():
        folder = parent / load_config(document.ROOT / "configs" / config).test_dataloader.dataset.data_root
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(synthetic_set(name))
    return parent / "data"


PYTHON = [found for found in ALL if any(block.language == "python" for block in found.blocks)]


@pytest.mark.slow
@pytest.mark.parametrize("found", PYTHON, ids=lambda found: found.path.name)
def test_python_runs_and_prints_what_it_says(found, place, monkeypatch):
    monkeypatch.chdir(place)
    names = {"__name__": "__main__"}
    for block in found.blocks:
        if block.language == "python":
            run_python(block, names)


def run_python(block, names):
    """Run a block, statement by statement; errors name the document's own lines."""
    lines = block.code.splitlines()
    for statement in ast.parse(block.code).body:
        ast.increment_lineno(statement, block.line - 1)
        program = compile(ast.Module([statement], []), str(block.path), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program, names)
        comment = re.search(r"\)\s*#\s*(.*)", lines[statement.end_lineno - block.line])
        if ast.unparse(statement).startswith("print(") and comment:
            assert printed.getvalue().strip() == comment[1], f"{block.path.name}:{statement.end_lineno}"
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            build(eval(ast.unparse(statement), names))


def build(value):
    """Build what an expression such as `dict(type='DFMamba')` describes."""
    if not (isinstance(value, dict) and "type" in value):
        return
    from mmpose.registry import DATASETS, METRICS, MODELS, TRANSFORMS

    import dfmamba.register  # noqa: F401

    registries = [registry for registry in (MODELS, TRANSFORMS, METRICS, DATASETS) if registry.get(value["type"])]
    assert registries, f"nothing is registered as {value['type']}"
    registries[0].build(value)


@pytest.mark.slow
@of_language("python config")
def test_config_is_loaded_and_its_model_takes_an_image(block, tmp_path):
    """A head with other channels than the backbone's can be built, but not called."""
    import torch
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    from dfmamba.engine.config import load_config
    from dfmamba.models.cost import RawEstimator
    from list_configs import input_shape

    for entry in (document.ROOT / "configs").iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    path = tmp_path / "documented.py"
    path.write_text(block.code)
    config = load_config(path)
    init_default_scope(config.default_scope)
    model = RawEstimator(MODELS.build(config.model)).eval()
    with torch.no_grad():
        model(torch.zeros(1, *input_shape(config)))


COMMANDS = [*(block for block in BLOCKS if block.language == "bash"), *IN_TEXT]


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_are_accepted(block, tmp_path):
    for words in shell.commands(block.code, tmp_path):
        shell.check(words)


def runnable(words):
    return not {words[0], *words[1:2]} & PARSED_ONLY.keys() and words[1] != "-m"


@pytest.mark.slow
@pytest.mark.parametrize("path", document.DOCUMENTS, ids=lambda path: path.name)
def test_commands_run(path, data_sets, place, tmp_path, monkeypatch):
    """In the document's order, on SYNTHETIC sets of some images in the places that the configs expect."""
    (tmp_path / "shell").mkdir()
    words = [
        words
        for block in COMMANDS
        if block.path == path
        for words in shell.commands(block.code, tmp_path / "shell")
        if runnable(words)
    ]
    shutil.copytree(place, tmp_path / "clone", symlinks=True)
    shutil.copytree(data_sets, tmp_path / "clone" / "data")
    monkeypatch.chdir(tmp_path / "clone")
    for name in ("theirs.txt", "ours.txt"):  # NYU's one test frame
        Path(name).write_text("320 240 750 " * 14)
    for program, *arguments in words:
        assert program == "python"
        few = "8" if "dexycb" in arguments else "2"
        quick = [
            few if flag in COUNTS else word.replace("=/data/", "=data/")
            for flag, word in zip(["", *arguments], arguments, strict=False)
        ]
        done = tool_process.run(*quick)
        assert done.returncode == 0, f"{' '.join(quick)}\n{done.stdout}\n{done.stderr}"
