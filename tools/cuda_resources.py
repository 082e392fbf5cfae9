"""What each CUDA kernel takes of a GPU, from the compiled code: no GPU is needed.

    python tools/cuda_resources.py --arch 80 90 --kernels scan_forward

For each kernel: registers a thread; bytes of spills; instructions in all, and in each innermost loop (from the target
of a backward branch to the branch, nothing nested; unrolled as the compiler left it); threads a block; for each card
how many blocks a multiprocessor holds by threads and registers, and the dynamic shared memory (KiB) that each of them
may have at the most. A kernel that never states its threads has '-' there. How often what is run, it does not say.

Needs nvcc, and cuobjdump, which Triton brings along where the toolkit does not.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from command_line import add_common_arguments, launch
from dfmamba.errors import UserError

SOURCES = Path(__file__).resolve().parents[1] / "projects" / "dfmamba" / "ops" / "csrc" / "cuda"


@dataclass(frozen=True)
class Card:
    """The limits of a multiprocessor; shared memory in bytes."""

    registers: int
    shared: int
    threads: int
    blocks: int


# By compute capability. Source: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
CARDS = {
    "80": Card(65536, 164 * 1024, 2048, 32),
    "86": Card(65536, 100 * 1024, 1536, 16),
    "89": Card(65536, 100 * 1024, 1536, 24),
    "90": Card(65536, 228 * 1024, 2048, 32),
    "120": Card(65536, 100 * 1024, 1536, 24),
}
WARP = 32
REGISTER_UNIT = 256  # registers are given to warps in multiples of this
PARTITIONS = 4  # of a multiprocessor, with a fourth of the registers each
SHARED_UNIT = 128  # bytes
SYSTEM_SHARED = 1024  # bytes of every block


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel. `loops`: instructions of each innermost loop. `threads`: a block's at the most, or None."""

    name: str
    arch: str
    registers: int
    spill_bytes: int
    static_shared: int
    instructions: int
    loops: tuple[int, ...]
    threads: int | None


def blocks_per_multiprocessor(card: Card, threads: int, registers: int, shared: int) -> int:
    """Return how many blocks fit on a multiprocessor at once; 0 if one block is too large.

    Args:
        card: The limits.
        threads: Of a block.
        registers: Of a thread.
        shared: Bytes of a block, static and dynamic.
    """
    warps = -(-threads // WARP)
    registers_a_warp = -(-registers * WARP // REGISTER_UNIT) * REGISTER_UNIT
    by_registers = card.registers // PARTITIONS // registers_a_warp * PARTITIONS // warps
    shared_a_block = -(-(shared + SYSTEM_SHARED) // SHARED_UNIT) * SHARED_UNIT
    return min(card.blocks, card.threads // (warps * WARP), by_registers, card.shared // shared_a_block)


def shared_for(card: Card, blocks: int, static: int = 0) -> int:
    """Return the bytes of dynamic shared memory that each of so many blocks may have, one block at least."""
    return card.shared // max(1, blocks) // SHARED_UNIT * SHARED_UNIT - SYSTEM_SHARED - static


def parse(ptxas: str, sass: str, elf: str, arch: str) -> list[Kernel]:
    """Return the kernels of one compiled file.

    Args:
        ptxas: What `ptxas -v` says.
        sass: Output of `cuobjdump -sass`.
        elf: Output of `cuobjdump -elf`, of which only the attributes of the kernels are read.
        arch: Compute capability, as '90'.

    Raises:
        ValueError: A kernel that ptxas names is not in `sass`.
    """
    code = dict(re.findall(r"Function : (\S+)\n(.*?)(?=Function : |\Z)", sass, re.S))
    attributes = r"^\.nv\.info\.(\S+)\n((?:(?!\.nv\.)[^\n]*\n)*)"
    threads = {
        name: int(found[1], 16)
        for name, text in re.findall(attributes, elf, re.M)
        if (found := re.search(r"EIATTR_MAX_THREADS\n.*\n\s*Value:\s*(\w+)", text))
    }
    kernels = []
    entry = r"Compiling entry function '(\S+)' for .*?(\d+) bytes spill stores.*?Used (\d+) registers([^\n]*)"
    for name, spill_bytes, registers, rest in re.findall(entry, ptxas, re.S):
        if name not in code:
            raise ValueError(f"cuobjdump -sass: expected a function {name}, got {', '.join(code) or 'none'}")
        instructions, loops = count(code[name])
        shared = re.search(r"(\d+) bytes smem", rest)
        kernels.append(
            Kernel(
                name,
                arch,
                int(registers),
                int(spill_bytes),
                int(shared[1]) if shared else 0,
                instructions,
                loops,
                threads.get(name),
            )
        )
    return kernels


def count(sass: str) -> tuple[int, tuple[int, ...]]:
    """Return the number of instructions of one function, NOPs left out, and those of each innermost loop."""
    found = re.findall(r"/\*([0-9a-f]{4,})\*/\s+([^;\n]+);", sass)
    lines = [(int(address, 16), text) for address, text in found if not re.search(r"\bNOP\b", text)]
    # Behind the end stands what is rarely run, such as the long way through a shuffle; it jumps back, but is no loop.
    end = max((address for address, text in lines if text.strip() == "EXIT"), default=0)
    loops = []
    for address, text in lines:
        target = re.search(r"\bBRA(?:\.\S+)? (?:\S+, )?`?\(?(0x[0-9a-f]+)", text)
        if target and int(target[1], 16) < address < end:
            loops.append((int(target[1], 16), address))
    innermost = [a for a in loops if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    return len(lines), tuple(sum(first <= at <= last for at, _ in lines) for first, last in innermost)


def find_program(name: str) -> str:
    """Return the path of a program of the CUDA toolkit.

    Raises:
        UserError: It is not there.
    """
    folders = [str(Path(root, "bin")) for root in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if root]
    # Of Triton, without importing it.
    folders += [str(Path(path, "triton", "backends", "nvidia", "bin")) for path in sys.path]
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise UserError(f"expected {name} of the CUDA toolkit on the PATH, in CUDA_HOME/bin or in /usr/local/cuda/bin")
    return found


def compiled(source: Path, arch: str, folder: Path) -> list[Kernel]:
    """Compile one file with the flags of the build, and return its kernels.

    Raises:
        UserError: nvcc or cuobjdump is not there, or fails.
    """
    cubin = folder / f"{source.stem}_{arch}.cubin"
    flags = ["-std=c++17", "-O3", f"-arch=sm_{arch}", "-Xptxas", "-v"]
    ptxas = _run(find_program("nvcc"), *flags, "-cubin", "-o", str(cubin), str(source)).stderr
    cuobjdump = find_program("cuobjdump")
    return parse(ptxas, _run(cuobjdump, "-sass", str(cubin)).stdout, _run(cuobjdump, "-elf", str(cubin)).stdout, arch)


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done


def readable(names: list[str]) -> dict[str, str]:
    """Return mangled name -> short name, such as 'scan_forward_kernel<float, 4, true>'; unchanged without c++filt."""
    if shutil.which("c++filt") is None:
        return {name: name for name in names}
    found = _run("c++filt", *names).stdout.splitlines()
    short = [re.sub(r"\(anonymous namespace\)::|dfmamba::cuda::|^void ", "", text).split("(")[0] for text in found]
    return dict(zip(names, short, strict=True))


def table(kernels: list[Kernel], cards: dict[str, Card]) -> str:
    """Return the kernels as a Markdown table."""
    names = readable([kernel.name for kernel in kernels])
    columns = ["kernel", "arch", "registers", "spills", "instructions", "innermost loops", "threads"]
    columns += [f"sm_{arch}: blocks, KiB" for arch in cards]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for kernel in kernels:
        cells = [names[kernel.name], kernel.arch, str(kernel.registers), str(kernel.spill_bytes)]
        cells += [str(kernel.instructions), " ".join(map(str, kernel.loops)) or "-", str(kernel.threads or "-")]
        cells += [_cell(kernel, card) for card in cards.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(kernel: Kernel, card: Card) -> str:
    if kernel.threads is None:
        return "-"
    blocks = blocks_per_multiprocessor(card, kernel.threads, kernel.registers, kernel.static_shared)
    return f"{blocks}, {shared_for(card, blocks, kernel.static_shared) / 1024:.1f}"


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=["90"], choices=list(CARDS), help="compiled for (default: 90)")
    parser.add_argument("--cards", nargs="+", default=["90", "80", "86"], choices=list(CARDS), help="columns of blocks")
    parser.add_argument("--kernels", default="", metavar="REGEX", help="only those whose name has it (default: all)")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of the .cu files (default: ours)")
    add_common_arguments(parser)
    return parser.parse_args()


def cuda_resources(args: argparse.Namespace) -> None:
    """Compile, and print the table.

    Raises:
        UserError: There is no source, no compiler, or no kernel of such a name.
    """
    sources = sorted(args.sources.glob("*.cu"))
    if not sources:
        raise UserError(f"--sources: expected a folder with .cu files, got {args.sources}")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        jobs = [(source, arch, Path(folder)) for arch in args.arch for source in sources]
        kernels = [kernel for found in pool.map(lambda job: compiled(*job), jobs) for kernel in found]
    names = readable([kernel.name for kernel in kernels])
    chosen = [kernel for kernel in kernels if re.search(args.kernels, names[kernel.name])]
    if not chosen:
        raise UserError(f"--kernels: expected a part of one of {', '.join(sorted(set(names.values())))}")
    print(table(chosen, {arch: CARDS[arch] for arch in args.cards}))


def main() -> None:
    """Run the tool."""
    args = parse_args()
    launch("cuda_resources", lambda: cuda_resources(args), args)


if __name__ == "__main__":
    main()
