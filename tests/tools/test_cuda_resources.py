"""tools/cuda_resources.py reads compilers' output right, and counts blocks as one does by hand."""

import sys

import pytest

import cuda_resources
from cuda_resources import CARDS, blocks_per_multiprocessor, count, parse, shared_for

NAME = "_Z11small_kernelPf"
PTXAS = f"""\
ptxas info    : Compiling entry function '_Z5otherv' for 'sm_90'
ptxas info    : Function properties for _Z5otherv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers
ptxas info    : Compiling entry function '{NAME}' for 'sm_90'
ptxas info    : Function properties for {NAME}
    16 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 72 registers, used 1 barriers, 1024 bytes smem
"""
# A loop of three instructions inside of one of six; a forward branch; behind the end a way back, which is no loop.
LOOPS = """\
        /*0000*/                   LDC R1, c[0x0][0x28] ;                      /* 0x00000a00ff017b82 */
                                                                               /* 0x000fe20000000800 */
        /*0010*/              @P1 BRA 0x80 ;                                   /* 0x0 */
        /*0020*/                   MOV R2, 0x30 ;                              /* 0x0 */
        /*0030*/                   FADD R0, R0, R2 ;                           /* 0x0 */
        /*0040*/                   IADD3 R3, R3, -0x1, RZ ;                    /* 0x0 */
        /*0050*/              @P0 BRA 0x30 ;                                   /* 0x0 */
        /*0060*/                   ISETP.GT.AND P2, PT, R4, RZ, PT ;           /* 0x0 */
        /*0070*/              @P2 BRA 0x20 ;                                   /* 0x0 */
        /*0080*/                   EXIT ;                                      /* 0x0 */
        /*0090*/                   BRA 0x40;                                   /* 0x0 */
        /*00a0*/                   NOP;                                        /* 0x0 */
"""
SASS = f"""
\tcode for sm_90
\t\tFunction : _Z5otherv
\t.headerflags\t@"EF_CUDA_SM90"
        /*0000*/                   EXIT ;                                      /* 0x0 */
\t\tFunction : {NAME}
\t.headerflags\t@"EF_CUDA_SM90"
{LOOPS}"""
ELF = f"""\
.nv.info._Z5otherv
\t<0x1>
\tAttribute:\tEIATTR_REGCOUNT
\tFormat:\tEIFMT_HVAL
\tValue:\t0x8
.nv.info.{NAME}
\t<0x1>
\tAttribute:\tEIATTR_MAX_THREADS
\tFormat:\tEIFMT_SVAL
\tValue:\t0x100 0x1 0x1
"""


def test_instructions_and_innermost_loops():
    assert count(LOOPS) == (10, (3,))


def test_a_compiled_file_is_read():
    other, small = parse(PTXAS, SASS, ELF, "90")
    assert (other.name, other.registers, other.spill_bytes, other.static_shared) == ("_Z5otherv", 8, 0, 0)
    assert (other.instructions, other.loops, other.threads) == (1, (), None)
    assert (small.name, small.registers, small.spill_bytes, small.static_shared) == (NAME, 72, 12, 1024)
    assert (small.instructions, small.loops, small.threads) == (10, (3,), 256)


def test_a_kernel_without_code_is_named():
    with pytest.raises(ValueError, match=rf"expected a function {NAME}, got _Z5otherv"):
        parse(PTXAS, SASS.split(f"\t\tFunction : {NAME}")[0], ELF, "90")


# By hand. 72 registers: 2,304 a warp, 16,384 / 2,304 = 7 warps a partition, 28 of 8 warps each: 3 blocks.
@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "expected"),
    [
        ("90", 256, 72, 0, 3),
        ("90", 256, 72, 74 * 1024, 3),  # 75 KiB with the system's: 228 / 75 = 3.04
        ("90", 256, 72, 76 * 1024, 2),
        ("86", 256, 72, 76 * 1024, 1),  # 100 / 77
        ("86", 256, 72, 100 * 1024, 0),
        ("90", 256, 32, 0, 8),  # 2,048 threads; registers would allow 16 warps a partition
        ("86", 256, 32, 0, 6),  # 1,536 threads
        ("90", 32, 24, 0, 32),  # the most blocks there may be
        ("86", 32, 24, 0, 16),
        ("90", 128, 149, 0, 3),  # 152 by units of 8: 4,864 a warp, 3 a partition, 12 of 4 warps each
        ("90", 1024, 72, 0, 0),
    ],
)
def test_blocks_of_a_multiprocessor(arch, threads, registers, shared, expected):
    assert blocks_per_multiprocessor(CARDS[arch], threads, registers, shared) == expected


def test_shared_memory_is_the_most_with_which_as_many_blocks_fit():
    card = CARDS["90"]
    for blocks in (1, 2, 3, 5):
        shared = shared_for(card, blocks, static=1024) + 1024
        assert blocks_per_multiprocessor(card, 32, 24, shared) == blocks
        assert blocks_per_multiprocessor(card, 32, 24, shared + cuda_resources.SHARED_UNIT) == max(0, blocks - 1)


def test_the_table_names_what_it_counts():
    lines = cuda_resources.table(parse(PTXAS, SASS, ELF, "90"), {"90": CARDS["90"]}).splitlines()
    assert lines[2].split("|")[2:] == [" 90 ", " 8 ", " 0 ", " 1 ", " - ", " - ", " - ", ""]
    assert lines[3].split("|")[2:] == [" 90 ", " 72 ", " 12 ", " 10 ", " 3 ", " 256 ", " 3, 74.0 ", ""]


def test_a_missing_compiler_is_one_message(monkeypatch, tmp_path, capsys):
    for name in ("PATH", "CUDA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(cuda_resources.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["cuda_resources"])
    with pytest.raises(SystemExit):
        cuda_resources.main()
    message = capsys.readouterr().err.strip()
    assert "expected nvcc of the CUDA toolkit" in message
    assert "\n" not in message
