"""Build script: the native operators. All metadata stands in pyproject.toml, the switches in docs/operator.md."""

import os
import re
import sys
from pathlib import Path

from setuptools import setup

SOURCES = "projects/dfmamba/ops/csrc"
ARCHITECTURES = "8.0;9.0+PTX"  # where TORCH_CUDA_ARCH_LIST says nothing: whatever GPU the building machine has
FAST_PATH = (
    "The pure-Python reference will be used. For the native operators install torch and a C++ compiler, then "
    "run: pip install --no-build-isolation ."
)


def warn(reason, remedy=FAST_PATH):
    """Say on standard error what is not built and why; pip shows it with -v."""
    print(f"dfmamba: {reason}. {remedy}", file=sys.stderr)


def forced():
    """Return whether the CUDA operators must be built: then whatever stands in their way is an error."""
    return os.environ.get("FORCE_CUDA") == "1"


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

    if not forced() and not torch.cuda.is_available():
        return False
    root = toolkit()
    if root is None:
        if forced():
            sys.exit("FORCE_CUDA=1: no CUDA toolkit found; expected CUDA_HOME to name the folder with bin/nvcc")
        warn("a GPU, but no CUDA toolkit; the CPU operators are built", "Name the toolkit by CUDA_HOME.")
        return False
    cpp_extension.CUDA_HOME = root  # torch takes it from the place of nvcc, which may be a wrapper script
    os.environ.setdefault("TORCH_CUDA_ARCH_LIST", ARCHITECTURES)
    return True


def architectures():
    """Return what the CUDA operators are compiled for, such as 'sm_80__sm_90__compute_90' (the last one is PTX)."""
    from torch.utils.cpp_extension import _get_cuda_arch_flags

    return "__".join(re.findall(r",code=(\w+)", " ".join(_get_cuda_arch_flags())))


def extension(cuda):
    """Return the extension module with all operators, those for CUDA among them or not."""
    from torch.utils.cpp_extension import CppExtension, CUDAExtension

    folder = Path(__file__).resolve().parent
    patterns = ["*.cpp", "cpu/*.cpp"]
    flags = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"]
    openmp = [] if sys.platform == "darwin" else ["-fopenmp"]  # what torch's own parallel loops are made of
    kind, compile_args = CppExtension, {"cxx": [*flags, *openmp]}
    macros = []
    if cuda:
        patterns += ["cuda/*.cpp", "cuda/*.cu"]
        kind, compile_args["nvcc"] = CUDAExtension, ["-O3"]
        macros.append(("DFMAMBA_CUDA_ARCHITECTURES", architectures()))  # asked for when a GPU is met
    files = sorted(path for pattern in patterns for path in (folder / SOURCES).glob(pattern))
    sources = [str(path.relative_to(folder)) for path in files]
    return kind("dfmamba._C", sources, define_macros=macros, extra_compile_args=compile_args, extra_link_args=openmp)


def build_command():
    """Return torch's build command, made optional: what cannot be built is left out, with a warning.

    Where CUDA fails, the CPU operators are built; where they fail too, the package is pure Python. FORCE_CUDA=1 makes
    a failure an error.
    """
    from torch.utils.cpp_extension import BuildExtension

    class OptionalBuild(BuildExtension):
        def run(self):
            try:
                self.run_with_or_without_cuda()
            except (Exception, SystemExit) as error:
                if forced() or (self.inplace and not self.editable_mode):  # `build_ext --inplace` asks for nothing else
                    raise
                warn(f"native operators not built: {type(error).__name__}: {error}")
                self.extensions = []  # nothing to copy or to list

        def run_with_or_without_cuda(self):
            compiler = self.compiler  # its name: a run puts an object in its place
            try:
                super().run()
            except (Exception, SystemExit) as error:
                (built,) = self.extensions
                if forced() or not any(source.endswith(".cu") for source in built.sources):
                    raise
                warn(
                    f"CUDA operators not built: {type(error).__name__}: {error}",
                    "The CPU operators are built. For both set CUDA_HOME to the toolkit that torch was made with.",
                )
                vars(built).update(vars(extension(cuda=False)))
                self.compiler = compiler
                super().run()

    return OptionalBuild


def native():
    """Return the arguments of `setup` that build the operators; none where they are not wanted or torch is missing."""
    if os.environ.get("DFMAMBA_WITHOUT_EXT") == "1":
        if forced():
            sys.exit("FORCE_CUDA=1 and DFMAMBA_WITHOUT_EXT=1: expected one of them at the most")
        return {}
    try:
        import torch  # noqa: F401
    except ImportError:
        reason = "torch is not there while building (with pip, --no-build-isolation makes it so)"
        if forced():
            sys.exit(f"FORCE_CUDA=1: {reason}")
        warn(f"native operators not built: {reason}")
        return {}
    return {"ext_modules": [extension(with_cuda())], "cmdclass": {"build_ext": build_command()}}


setup(**native())
