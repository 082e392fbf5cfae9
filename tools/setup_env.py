"""Create the project's virtual environment; do nothing when it is already up to date.

Called by the Makefile with the user's Python. Uses the standard library only, and syntax that an unfit, old
Python can still read, so that the user sees our message and not a traceback.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST, NEWEST = (3, 10), (3, 12)
# For the compiled packages of requirements/mmlab.txt. They take the place of the interpreter's own flags, often -g -O3,
# with which mmcv's operators take twice as long: three of their files 54 s of processor time and not 25 s (g++ 12),
# mostly for debugging symbols. No hand model calls them. Our own extension has flags of its own.
FAST_BUILD = "-DNDEBUG -fwrapv -O1 -g0"
# The stamp inside the environment holds the digest of these files: when one of them changes, the set-up runs again.
SOURCES = [
    "requirements/build.txt",
    "requirements/torch.txt",
    "requirements/runtime.txt",
    "requirements/export.txt",
    "requirements/mmlab.txt",
    "requirements/dev.txt",
    "setup.py",
    "tools/setup_env.py",
]


def stop(message):
    """Leave with one clear line."""
    sys.exit("setup: " + message)


def check_python():
    """Refuse a Python outside the range in which the pinned versions install."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop(
            "Python %d.%d to %d.%d is needed, %s is Python %d.%d. Name a fit one: make PYTHON=python3.11 ..."
            % (OLDEST + NEWEST + (sys.executable,) + tuple(sys.version_info[:2]))
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        stop("this Python cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv")
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    if not os.path.exists(header):
        stop("Python's headers are missing (no %s). On Debian or Ubuntu: apt-get install python3-dev" % header)


def check_compiler():
    """Refuse to start when the C++ compiler, needed by mmcv's and our own operators, cannot compile a file."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    advice = "On Debian or Ubuntu: apt-get install g++. Another one is taken from the variable CXX."
    if not compiler:
        stop("no C++ compiler found (looked for c++, g++, clang++). " + advice)
    folder = tempfile.mkdtemp()
    try:
        source = os.path.join(folder, "probe.cpp")
        with open(source, "w") as file:
            file.write("#include <vector>\nint main() { return static_cast<int>(std::vector<int>{}.size()); }\n")
        command = compiler.split() + ["-std=c++17", "-c", source, "-o", os.path.join(folder, "probe.o")]
        try:
            works = subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
        except OSError:
            works = False
    finally:
        shutil.rmtree(folder)
    if not works:
        stop("the C++ compiler '%s' cannot compile a C++17 file. %s" % (compiler, advice))


def digest():
    """Return a digest of all that decides what is installed, and of the Python it is installed for."""
    state = hashlib.sha256(sys.version.encode())
    for name in SOURCES:
        with open(os.path.join(ROOT, name), "rb") as file:
            state.update(file.read())
    return state.hexdigest()


def usable_cores():
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_variables(environ):
    """Return the variables that make mmcv's build short; those that the user has set stay.

    mmcv compiles its CUDA operators, for half an hour, wherever torch sees a GPU, and fails there without a toolkit; we
    hide the GPU unless FORCE_CUDA=1 asks for them. It starts at least four compilers, however few cores there are.
    """
    defaults = {"CFLAGS": FAST_BUILD, "CXXFLAGS": FAST_BUILD, "MAX_JOBS": str(usable_cores())}
    fixed = {"MMCV_WITH_OPS": "1"}
    if environ.get("FORCE_CUDA") != "1":
        fixed["CUDA_VISIBLE_DEVICES"] = ""
    return dict(defaults, **dict(environ, **fixed))


def install(venv_dir, log_path):
    """Make the environment and install everything into it, step by step, with pip's talk in a log file."""
    bin_dir = os.path.join(venv_dir, "Scripts" if os.name == "nt" else "bin")
    python = os.path.join(bin_dir, "python")
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    libraries = [part for name in ("runtime", "export", "dev") for part in ("-r", "requirements/%s.txt" % name)]
    in_place = ["--no-deps", "--no-build-isolation"]
    # ninja, which mmcv's build calls, lies in the environment's own bin folder.
    env = dict(os.environ, PATH=bin_dir + os.pathsep + os.environ["PATH"])
    mmlab_env = build_variables(env)
    # pip keeps what it has built, and would take a wheel without CUDA for one with it.
    fresh = ["--no-cache-dir"] if env.get("FORCE_CUDA") == "1" else []
    steps = [
        ("virtual environment", [sys.executable, "-m", "venv", "--clear", venv_dir], env),
        ("build tools", pip + ["-r", "requirements/build.txt"], env),
        ("torch and torchvision (about 5 GB)", pip + ["-r", "requirements/torch.txt"], env),
        ("libraries", pip + libraries, env),
        (
            "mmcv, mmdet, mmpose (the first build of mmcv takes minutes; FORCE_CUDA=1 builds it for GPUs, too)",
            pip + in_place + fresh + ["--no-binary", "xtcocotools", "-r", "requirements/mmlab.txt"],
            mmlab_env,
        ),
        ("dfmamba", pip + in_place + ["-e", "."], env),
    ]
    with open(log_path, "w") as log:
        for number, (title, command, variables) in enumerate(steps, 1):
            print("setup: %d/%d %s ..." % (number, len(steps), title), flush=True)
            start = time.time()
            log.write("\n$ %s\n" % " ".join(command))
            log.flush()
            code = subprocess.call(command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT)
            if code != 0:
                with open(log_path) as written:
                    sys.stderr.write("".join(written.readlines()[-25:]))
                how = "failed" if code > 0 else "was ended by signal %d (9: often for lack of memory)" % -code
                stop("the step '%s' %s; the whole log is %s" % (title, how, log_path))
            print("setup:     done in %.0f s" % (time.time() - start), flush=True)


def main():
    """Check the machine, then install unless the environment already holds just this."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", default=os.path.join(ROOT, ".venv"), help="the environment's folder (default: .venv)")
    args = parser.parse_args()
    venv_dir = os.path.abspath(args.venv)
    check_python()
    stamp = os.path.join(venv_dir, "dfmamba-setup.sha256")
    wanted = digest()
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == wanted:
                return
    if os.path.realpath(sys.prefix) == os.path.realpath(venv_dir):
        stop("it is out of date and cannot be renewed by its own Python. Name another: make PYTHON=python3.11 ...")
    check_compiler()
    install(venv_dir, os.path.join(os.path.dirname(venv_dir), "setup.log"))
    # The Makefile takes this Python from now on: python3 may be another one, for which all would be installed again.
    with open(os.path.join(venv_dir, "dfmamba-python"), "w") as file:
        file.write(sys.executable)
    with open(stamp, "w") as file:
        file.write(wanted)
    print("setup: ready, in %s" % venv_dir)


if __name__ == "__main__":
    main()
