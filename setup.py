"""Build script: the native operators. All metadata stands in pyproject.toml, the switches in docs/operator.md."""

import os
import sys
from pathlib import Path

from setuptools import setup

SOURCES = "projects/dfmamba/ops/csrc"
ARCHITECTURES = "8.0;9.0+PTX"  # where TORCH_CUDA_ARCH_LIST says nothing: whatever GPU the building machine has
FAST_PATH = "The pure-Python reference will be used. For the native operators install torch and a C++ compiler, then " \
            "run: pip install --no-build-isolation ."


def warn(reason):
    """Say on standard error why the operators are not built; pip shows it with -v."""
    print(f"dfmamba: native operators not built: {reason}. {FAST_PATH}", file=sys.stderr)


def toolkit():
    """Return the root of the CUDA toolkit, or None: the folder with its libraries, though nvcc may be a wrapper."""
    from torch.utils import cpp_extension

    candidates = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), cpp_extension.CUDA_HOME, "/usr/local/cuda"]
    candidates += sorted(map(str, Path("/usr/local").glob("cuda-*")), reverse=True)
    for root in candidates:
        if root and Path(root, "bin", "nvcc").exists() and any(Path(root).glob("lib*/libcudart.so")):
            return root
    return None


def with_cuda():
    """Return whether to build the CUDA operators: a toolkit is there, and a GPU or FORCE_CUDA=1."""
    import torch
    from torch.utils import cpp_extension

    forced = os.environ.get("FORCE_CUDA") == "1"
    if not forced and not torch.cuda.is_available():
        return False
    root = toolkit()
    if root is None:
        if forced:
            sys.exit("FORCE_CUDA=1: no CUDA toolkit found; expected CUDA_HOME to name the folder with bin/nvcc")
        warn("a GPU, but no CUDA toolkit (name it by CUDA_HOME); the CPU operators are built")
        return False
    cpp_extension.CUDA_HOME = root  # torch takes it from the place of nvcc, which may be a wrapper script
    os.environ.setdefault("TORCH_CUDA_ARCH_LIST", ARCHITECTURES)
    return True


def extension():
    """Return the extension module with all operators."""
    from torch.utils.cpp_extension import CppExtension, CUDAExtension

    folder = Path(__file__).resolve().parent
    patterns = ["*.cpp", "cpu/*.cpp"]
    flags = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"]
    openmp = [] if sys.platform == "darwin" else ["-fopenmp"]  # what torch's own parallel loops are made of
    kind, compile_args = CppExtension, {"cxx": [*flags, *openmp]}
    if with_cuda():
        patterns += ["cuda/*.cpp", "cuda/*.cu"]
        kind, compile_args["nvcc"] = CUDAExtension, ["-O3"]
    files = sorted(path for pattern in patterns for path in (folder / SOURCES).glob(pattern))
    sources = [str(path.relative_to(folder)) for path in files]
    return kind("dfmamba._C", sources, extra_compile_args=compile_args, extra_link_args=openmp)


def build_command():
    """Return torch's build command, made optional: a failed build leaves a pure-Python package and a warning."""
    from torch.utils.cpp_extension import BuildExtension

    class OptionalBuild(BuildExtension):
        def run(self):
            try:
                super().run()
            except (Exception, SystemExit) as error:
                if self.inplace and not self.editable_mode:  # `setup.py build_ext --inplace` asks for nothing else
                    raise
                warn(f"{type(error).__name__}: {error}")
                self.extensions = []  # nothing to copy or to list

    return OptionalBuild


def native():
    """Return the arguments of `setup` that build the operators; none where they are not wanted or torch is missing."""
    if os.environ.get("DFMAMBA_WITHOUT_EXT") == "1":
        return {}
    try:
        import torch  # noqa: F401
    except ImportError:
        warn("torch is not there while building (with pip, --no-build-isolation makes it so)")
        return {}
    return {"ext_modules": [extension()], "cmdclass": {"build_ext": build_command()}}


setup(**native())
