"""The CUDA sources compile for the architectures that are promised, where there is an nvcc; no GPU is needed."""

import os
import re
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from torch.utils import cpp_extension

pytestmark = pytest.mark.slow

SOURCES = Path(__file__).parents[2] / "projects" / "dfmamba" / "ops" / "csrc" / "cuda"
ARCHITECTURES = ("80", "90")
# Local memory makes a kernel slow. float64 is there to check gradients, and may use it.
MAX_SPILLED_BYTES = 64


def find_nvcc():
    roots = [os.environ.get("CUDA_HOME"), "/usr/local/cuda", *sorted(map(str, Path("/usr/local").glob("cuda-*")))]
    found = (shutil.which("nvcc", path=str(Path(root, "bin"))) for root in roots if root)
    return next((path for path in found if path), shutil.which("nvcc"))


def compile_source(nvcc, source, folder):
    """Return what the compiler says; the flags are those of the build."""
    command = [nvcc, "-std=c++17", "-O3", "-Xptxas", "-v", "-Xcompiler", "-fPIC", "-c", source, "-o", folder / "out.o"]
    command += [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in ARCHITECTURES]
    if source.suffix == ".cpp":
        command += [f"-I{path}" for path in (*cpp_extension.include_paths(), sysconfig.get_paths()["include"])]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_cuda_sources_compile(tmp_path):
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("no nvcc: the CUDA sources were not compiled")
    sources = sorted((*SOURCES.glob("*.cu"), *SOURCES.glob("*.cpp")))
    folders = [tmp_path / source.name for source in sources]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        reports = "".join(pool.map(lambda job: compile_source(nvcc, *job), zip(sources, folders, strict=True)))
    kernels = re.findall(r"Compiling entry function '(\S+)' for '(\S+)'.*?(\d+) bytes spill stores", reports, re.S)
    assert {architecture for _, architecture, _ in kernels} == {f"sm_{arch}" for arch in ARCHITECTURES}
    spilling = [kernel for kernel in kernels if int(kernel[2]) > MAX_SPILLED_BYTES and not is_float64(kernel[0])]
    assert not spilling


def is_float64(mangled):
    return "_kernelId" in mangled
