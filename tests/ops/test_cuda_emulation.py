"""The CUDA kernels' own sources, run thread by thread on the CPU, against the reference in float64.

`cuda_emulation/emulate.h` says what this shows and how. On top of it, every array lies between margins of NaN: a read
outside spoils the result, a write outside is seen. What only a GPU can show stays open: launches, speed, its own exp.
"""

import ctypes
import itertools
import math
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from dfmamba.ops import reference

pytestmark = pytest.mark.slow  # compiling takes some 20 seconds

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "projects" / "dfmamba" / "ops" / "csrc" / "cuda"
DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
ORDERS = (0, 1, 2)  # of the threads; emulate.h describes them
# relative L2 errors of results and of gradients
TOLERANCES = {
    torch.float32: (1e-5, 5e-5),
    torch.float64: (1e-13, 1e-12),
    torch.float16: (1e-3, 5e-3),
    torch.bfloat16: (5e-3, 1e-2),
}
MARGIN_BYTES = 4096
SCAN_INPUTS = ("u", "delta", "A", "B", "C", "D", "delta_bias", "x")


@pytest.fixture(scope="session")
def emulation(tmp_path_factory):
    """Compile all kernels and return them as a library."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ to compile the CUDA sources for the CPU")
    folder = tmp_path_factory.mktemp("cuda_emulation")
    flags = [
        "-std=c++17",
        "-O1",
        "-fPIC",
        "-DDFMAMBA_EMULATE",
        "-Wall",
        "-Werror",
        "-Wno-unknown-pragmas",
        "-fsanitize=undefined,float-cast-overflow",
        "-fno-sanitize-recover=all",
        f"-I{HERE / 'cuda_emulation'}",
        f"-I{SOURCES}",
    ]
    objects, running = [], []
    for source in (*sorted(SOURCES.glob("*.cu")), HERE / "cuda_emulation" / "entry.cpp"):
        objects.append(folder / f"{source.stem}.o")
        command = [compiler, *flags, "-x", "c++", "-c", source, "-o", objects[-1]]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    for process in running:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    path = folder / "emulation.so"
    subprocess.run([compiler, "-shared", "-fsanitize=undefined", *objects, "-o", path], check=True)
    library = ctypes.CDLL(str(path))
    library.failure.restype = ctypes.c_char_p
    library.scan_workspace.restype = library.least_allowed.restype = ctypes.c_int64
    return library


@pytest.fixture
def device(emulation):
    """Return a function that makes the emulated device another one, for one test."""

    def become(shared_kib, multiprocessors=132, attributes_fail=False):
        emulation.set_device(shared_kib * 1024, multiprocessors, attributes_fail)

    yield become
    become(227)


class Guarded:
    """An array between margins of NaN."""

    def __init__(self, shape, dtype, values=None, misaligned=False):
        count = math.prod(shape)
        self.bytes = count * dtype.itemsize
        self.buffer = torch.full((2 * MARGIN_BYTES + self.bytes + 512,), 255, dtype=torch.uint8)
        self.start = MARGIN_BYTES + -(self.buffer.data_ptr() + MARGIN_BYTES) % 256
        self.start += dtype.itemsize if misaligned else 0
        self.array = self.buffer[self.start : self.start + self.bytes].view(dtype).view(shape)
        if values is not None:
            self.array.copy_(values)
        self.pointer = self.buffer.data_ptr() + self.start

    def check_margins(self):
        assert (self.buffer[: self.start] == 255).all()
        assert (self.buffer[self.start + self.bytes :] == 255).all()


def integers(values):
    return (ctypes.c_int64 * len(values))(*values)


def call(library, function, dtype, sizes, inputs, output_shapes, wide=(0, 0, 0, 0), misaligned=False):
    """Run a launcher in every order of threads; return its outputs, which must be the same bits each time.

    `inputs` are tensors or None; `output_shapes` are (shape, dtype), or None for an output that is not asked for.
    """
    results = []
    for order in ORDERS:
        library.set_order(order)
        arrays = [None if t is None else Guarded(t.shape, t.dtype, t, misaligned) for t in inputs]
        outputs = [None if spec is None else Guarded(*spec, misaligned=misaligned) for spec in output_shapes]
        pointers = [None if array is None else array.pointer for array in (*arrays, *outputs)]
        code = getattr(library, function)(
            DTYPES[dtype],
            *(integers(s) for s in sizes),
            (ctypes.c_void_p * len(pointers))(*pointers),
            (ctypes.c_int * len(wide))(*wide),
        )
        assert code == 0, library.failure().decode()
        for array in (*arrays, *outputs):
            if array is not None:
                array.check_margins()
        for given, array in zip(inputs, arrays, strict=True):
            assert given is None or torch.equal(given.view(torch.uint8), array.array.view(torch.uint8))
        results.append([None if output is None else output.array for output in outputs])
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert first is None or torch.equal(first.view(torch.uint8), second.view(torch.uint8))
    return results[0]


def assert_close(actual, expected, tolerance, name=""):
    assert torch.isfinite(actual).all(), name
    error = (actual.double() - expected).norm()
    assert error <= tolerance * expected.norm() + 1e-30, f"{name}: {(error / expected.norm()).item():.2e}"


def work_dtype(dtype):
    return torch.promote_types(dtype, torch.float32)


def sample_arguments(batch, size, channels, groups, anchors, dtype, weight_dtype=None):
    """Return x, offset, weight with offsets off the lattice, some far outside, and some hostile ones."""
    length, axes = math.prod(size), len(size)
    offset = torch.randint(-3, 3, (batch, length, groups, anchors, axes)) + torch.rand(1) * 0.9 + 0.05
    offset = offset.to(work_dtype(dtype))
    flat = offset.flatten()
    for hostile in (math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**31, -(2.0**31), -(2.0**63)):
        flat[torch.randint(flat.numel(), (1,))] = hostile
    flat[torch.randint(flat.numel(), (max(1, flat.numel() // 8),))] = 0  # the lattice, borders included
    x = torch.randn(batch, length, channels).to(dtype)
    weight = torch.randn(batch, length, groups, anchors).to(weight_dtype or dtype)
    weight[~offset.isfinite().all(-1)] = math.nan  # off the map, where the weight does not matter
    return x, offset, weight


def sample_sizes(batch, size, channels, groups, anchors):
    height, width = size if len(size) == 2 else (1, size[0])
    return [batch, height, width, len(size), channels, groups, anchors]


SAMPLE_CASES = [
    (2, (4, 5), 6, 2, 9),
    (1, (1, 6), 16, 8, 25),
    (2, (5, 1), 3, 1, 1),
    (1, (1, 1), 71, 1, 9),
    (2, (7,), 10, 2, 5),
    (1, (6,), 30, 3, 1),
    (1, (2, 3), 4, 1, 49),
    (1, (3, 4), 128, 2, 9),
    (1, (3, 3), 160, 1, 9),
    (1, (2, 3), 132, 1, 9),
    (2, (5, 9), 66, 1, 9),
]


def check_sample(library, case, dtype, weight_dtype=None, misaligned=False):
    x, offset, weight = sample_arguments(*case, dtype, weight_dtype)
    size = case[1]
    wide = (int(weight.dtype != dtype),) * 4
    sizes = [sample_sizes(*case)]
    arguments = [t.double().requires_grad_() for t in (x, offset, weight)]
    expected = reference.deform_sample(*arguments, size)
    tolerance, grad_tolerance = TOLERANCES[dtype]
    (u,) = call(library, "run_sample", dtype, sizes, [x, offset, weight], [(x.shape, dtype)], wide, misaligned)
    assert_close(u, expected.detach(), tolerance, "u")

    grad_u = torch.randn(x.shape).to(dtype)
    grads = torch.autograd.grad(expected, arguments, grad_u.double())
    D, grad_y = torch.randn(x.shape[-1]).to(work_dtype(dtype)), torch.randn(x.shape).to(dtype)
    for skip in ([None, None], [D, grad_y]):
        shapes = [(x.shape, dtype), (offset.shape, offset.dtype), (weight.shape, weight.dtype)]
        inputs = [grad_u, x, offset, weight, *skip]
        ours = call(library, "run_sample_backward", dtype, sizes, inputs, shapes, wide, misaligned)
        expected_x = grads[0] if skip[0] is None else grads[0] + D.double() * grad_y.double()
        for name, actual, gradient in zip(("x", "offset", "weight"), ours, (expected_x, *grads[1:]), strict=True):
            assert_close(actual, gradient, grad_tolerance, f"grad_{name}")


@pytest.mark.parametrize("case", SAMPLE_CASES)
def test_sample(emulation, case):
    torch.manual_seed(0)
    check_sample(emulation, case, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [6, 128, 256])
def test_sample_dtypes(emulation, dtype, channels):
    torch.manual_seed(1)
    check_sample(emulation, (1, (3, 4), channels, 2, 9), dtype)
    check_sample(emulation, (1, (2, 3), channels, 1, 9), dtype, weight_dtype=work_dtype(dtype))


def test_sample_with_odd_addresses(emulation):
    torch.manual_seed(2)
    check_sample(emulation, (1, (3, 4), 128, 2, 9), torch.float32, misaligned=True)


def test_sample_large_map(emulation):
    torch.manual_seed(3)
    check_sample(emulation, (1, (64, 65), 2, 1, 1), torch.float32)


def test_sample_on_the_lattice_and_the_borders(emulation):
    x = torch.tensor([3.0, 5.0, 11.0]).view(1, 3, 1)
    weight = torch.ones(1, 3, 1, 1)
    offset = torch.zeros(1, 3, 1, 1, 1)
    offset[0, 0] = -1.0
    sizes = [[1, 1, 3, 1, 1, 1, 1]]
    shapes = [(t.shape, t.dtype) for t in (x, offset, weight)]
    inputs = [torch.ones_like(x), x, offset, weight, None, None]
    _, grad_offset, _ = call(emulation, "run_sample_backward", torch.float32, sizes, inputs, shapes)
    assert grad_offset.flatten().tolist() == [3.0, 11.0 - 5.0, 0.0 - 11.0]


def scan_arguments(batch, length, channels, states, dtype, wide_dtype=None, absent=()):
    randn, work = torch.randn, work_dtype(dtype)
    other = wide_dtype or dtype
    arguments = {
        "u": randn(batch, length, channels).to(dtype),
        "delta": (randn(batch, length, channels) * 2).to(other),
        "A": -torch.rand(channels, states).to(work) * 2 - 0.05,
        "B": randn(batch, length, states).to(other),
        "C": randn(batch, length, states).to(other),
        "D": randn(channels).to(work),
        "delta_bias": randn(channels).to(work),
        "x": randn(batch, length, channels).to(dtype),
    }
    arguments["delta"].flatten()[::7] = 25  # past the threshold of softplus
    return {name: None if name in absent else value for name, value in arguments.items()}


def reference_scan(u, delta, A, B, C, D, delta_bias, x, softplus):
    y = reference.selective_scan(u, delta, A, B, C, None, delta_bias, softplus)
    return y if D is None else y + D * (u if x is None else x)


def scan_sizes(batch, length, channels, states, softplus=True, gaps=(0, 0)):
    return [batch, length, channels, states, int(softplus), states + gaps[0], states + gaps[1]]


def check_scan(library, case, dtype, softplus=True, wide_dtype=None, absent=(), gaps=(0, 0)):
    arguments = scan_arguments(*case, dtype, wide_dtype, absent)
    wide = [int(wide_dtype is not None and wide_dtype != dtype)] * 4
    sizes = [scan_sizes(*case, softplus, gaps)]
    doubles = [None if t is None else t.double().requires_grad_() for t in arguments.values()]
    shapes = [None if t is None else (t.shape, t.dtype) for t in arguments.values()]
    for name, gap in zip("BC", gaps, strict=True):  # between rows lies what is not ours
        arguments[name] = torch.nn.functional.pad(arguments[name], (0, gap), value=math.nan)
    inputs = list(arguments.values())
    expected = reference_scan(*doubles, softplus)
    tolerance, grad_tolerance = TOLERANCES[dtype]
    shape = arguments["u"].shape
    (y,) = call(library, "run_scan", dtype, sizes, inputs, [(shape, dtype)], wide)
    assert_close(y, expected.detach(), tolerance, "y")

    grad_y = torch.randn(shape).to(dtype)
    leaves = [t for t in doubles if t is not None]
    given = iter(torch.autograd.grad(expected, leaves, grad_y.double(), allow_unused=True))
    workspace = library.scan_workspace(DTYPES[dtype], integers(sizes[0]))
    outputs = [*shapes, ((workspace,), torch.uint8)]
    ours = call(library, "run_scan_backward", dtype, sizes, [*inputs, grad_y], outputs, wide)
    for name, leaf, actual in zip(SCAN_INPUTS, doubles, ours[:-1], strict=True):
        if leaf is None:
            continue
        gradient = next(given)
        assert_close(actual, torch.zeros_like(leaf) if gradient is None else gradient, grad_tolerance, f"grad_{name}")


SCAN_CASES = [
    (1, 1, 1, 1),
    (2, 5, 6, 3),
    (1, 33, 33, 4),
    (1, 32, 8, 5),
    (2, 40, 30, 8),
    (1, 70, 71, 13),
    (2, 31, 32, 16),
    (1, 20, 8, 17),
    (1, 35, 36, 4),
    (1, 12, 33, 64),
    (1, 34, 36, 64),
    (1, 9, 3, 32),
]


@pytest.mark.parametrize("case", SCAN_CASES)
def test_scan(emulation, case):
    torch.manual_seed(4)
    check_scan(emulation, case, torch.float32)


@pytest.mark.parametrize("absent", [c for n in range(4) for c in itertools.combinations(("D", "delta_bias", "x"), n)])
@pytest.mark.parametrize("softplus", [True, False])
def test_scan_options(emulation, absent, softplus):
    torch.manual_seed(5)
    check_scan(emulation, (1, 6, 5, 3), torch.float64 if softplus else torch.float32, softplus, absent=absent)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("states", [2, 8, 11, 20])
def test_scan_dtypes(emulation, dtype, states):
    torch.manual_seed(6)
    check_scan(emulation, (1, 10, 7, states), dtype)
    check_scan(emulation, (1, 10, 7, states), dtype, wide_dtype=work_dtype(dtype))


def test_scan_of_slices(emulation):
    torch.manual_seed(9)
    check_scan(emulation, (2, 9, 5, 6), torch.float32, gaps=(5, 2))


@pytest.mark.parametrize("case", [(0, 4, 5, 3), (2, 0, 5, 3)])
def test_scan_of_nothing(emulation, case):
    inputs = list(scan_arguments(*case, torch.float32).values())
    outputs = [(t.shape, t.dtype) for t in inputs] + [((4096,), torch.uint8)]
    sizes = [scan_sizes(*case)]
    call(emulation, "run_scan", torch.float32, sizes, inputs, [(inputs[0].shape, torch.float32)])
    ours = call(emulation, "run_scan_backward", torch.float32, sizes, [*inputs, inputs[0]], outputs)
    for gradient in ours[:-1]:
        assert (gradient == 0).all()
    assert emulation.scan_workspace(0, integers(sizes[0])) <= 4096


def test_scan_infinite_input_stays_where_it_is(emulation):
    arguments = scan_arguments(1, 6, 3, 3, torch.float32)
    arguments["u"][0, 2, 1] = math.inf
    expected = reference_scan(*arguments.values(), True)
    (y,) = call(
        emulation,
        "run_scan",
        torch.float32,
        [scan_sizes(1, 6, 3, 3)],
        list(arguments.values()),
        [(expected.shape, torch.float32)],
    )
    torch.testing.assert_close(y, expected, equal_nan=True)


FUSED_CASES = [
    (2, (4, 5), 64, 1, 9, 4),
    (1, (5, 7), 64, 2, 9, 8),
    (1, (1, 33), 32, 1, 25, 16),
    (1, (9,), 96, 1, 5, 3),
    (1, (1, 1), 32, 1, 1, 1),
    (1, (3, 4), 32, 1, 9, 20),
    (1, (3, 4), 32, 1, 9, 64),
    (1, (7, 1), 64, 1, 9, 16),
    (1, (1, 7), 32, 1, 9, 8),
    (1, (9, 11), 32, 1, 1, 8),
]


def check_dssm(library, case, dtype, wide_dtype=None, absent=()):
    *sampling, states = case
    batch, size, channels = sampling[:3]
    x, offset, weight = sample_arguments(*sampling, dtype, wide_dtype)
    arguments = scan_arguments(batch, math.prod(size), channels, states, dtype, wide_dtype, absent)
    arguments |= {"u": None, "x": x}
    sizes = [sample_sizes(*sampling), scan_sizes(batch, math.prod(size), channels, states)]
    assert library.run_fits(DTYPES[dtype], *map(integers, sizes), None)
    doubles = {name: None if t is None else t.double() for name, t in arguments.items()}
    u = reference.deform_sample(x.double(), offset.double(), weight.double(), size)
    expected = reference_scan(**(doubles | {"u": u}), softplus=True)
    wide = [int(wide_dtype is not None and wide_dtype != dtype)] * 4
    (y,) = call(library, "run_dssm", dtype, sizes, [*arguments.values(), offset, weight], [(x.shape, dtype)], wide)
    assert_close(y, expected, TOLERANCES[dtype][0], "y")


@pytest.mark.parametrize("case", FUSED_CASES)
def test_dssm(emulation, case):
    torch.manual_seed(7)
    check_dssm(emulation, case, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dssm_dtypes(emulation, dtype):
    torch.manual_seed(8)
    check_dssm(emulation, (1, (3, 4), 32, 1, 9, 8), dtype)
    check_dssm(emulation, (1, (3, 4), 32, 1, 9, 8), dtype, work_dtype(dtype), absent=("D", "delta_bias"))


def test_dssm_falls_back(emulation):
    scan = integers(scan_sizes(1, 12, 48, 8))
    assert not emulation.run_fits(0, integers([1, 3, 4, 2, 48, 1, 9]), scan, None)  # a slice must lie in one group
    assert not emulation.run_fits(0, integers([1, 3, 4, 2, 32, 1, 9]), scan, ctypes.c_void_p(4))  # odd address
    long = integers(scan_sizes(1, 4096, 32, 8))
    assert not emulation.run_fits(0, integers([1, 64, 64, 2, 32, 1, 9]), long, None)  # too large for shared memory


def test_dssm_falls_back_where_one_block_would_be_alone_on_a_multiprocessor(emulation, device):
    def fits(batch, size):  # 64 channels: two blocks an image
        sizes = integers(scan_sizes(batch, size * size, 64, 16))
        return bool(emulation.run_fits(0, integers([batch, size, size, 2, 64, 1, 9]), sizes, None))

    device(227, multiprocessors=4)
    assert fits(3, 16)  # two of 74 KiB fit
    assert not fits(3, 32)  # one of 170 KiB; six blocks
    assert fits(2, 32)  # one of four for each multiprocessor, no more to come


# Whole maps in a block, windows of a map, and maps whose lists of points do not fit in shared memory.
@pytest.mark.parametrize(("shared_kib", "multiprocessors"), [(227, 1), (227, 132), (16, 132)])
@pytest.mark.parametrize("case", [(2, (5, 9), 72, 2, 9), (1, (9, 11), 44, 1, 9)])
def test_sample_of_nine_anchors(emulation, device, case, shared_kib, multiprocessors):
    device(shared_kib, multiprocessors)
    torch.manual_seed(12)
    check_sample(emulation, case, torch.float32)


@pytest.mark.parametrize(("shared_kib", "multiprocessors"), [(227, 1), (227, 132), (16, 132)])
def test_sample_backward_with_all_points_on_one_pixel(emulation, device, shared_kib, multiprocessors):
    device(shared_kib, multiprocessors)
    torch.manual_seed(11)
    height, width = 6, 7
    x, weight = torch.randn(1, 42, 32), torch.randn(1, 42, 1, 9)
    token, anchor = torch.arange(42)[:, None], torch.arange(9)
    base = torch.stack([token // width + anchor // 3 - 1, token % width + anchor % 3 - 1], -1)
    offset = (torch.tensor([2.25, 3.5]) - base)[None, :, None]
    arguments = [t.double().requires_grad_() for t in (x, offset, weight)]
    grad_u = torch.randn(x.shape)
    grads = torch.autograd.grad(reference.deform_sample(*arguments, (height, width)), arguments, grad_u.double())
    shapes = [(t.shape, t.dtype) for t in (x, offset, weight)]
    sizes = [sample_sizes(1, (height, width), 32, 1, 9)]
    inputs = [grad_u, x, offset, weight, None, None]
    ours = call(emulation, "run_sample_backward", torch.float32, sizes, inputs, shapes)
    for actual, gradient in zip(ours, grads, strict=True):
        assert_close(actual, gradient, 5e-5)


def test_every_launch_may_have_all_the_shared_memory_there_is(emulation, device):
    # Not what the launch itself needs: between asking and launching, another thread may ask for less.
    device(160)
    check_dssm(emulation, (1, (3, 4), 32, 1, 9, 8), torch.float32)
    check_dssm(emulation, (1, (16, 16), 32, 1, 9, 8), torch.float32)
    assert emulation.least_allowed() == 160 * 1024


def test_an_error_is_returned_and_does_not_stay_pending(emulation, device):
    device(227, attributes_fail=True)
    with pytest.raises(AssertionError):
        check_dssm(emulation, (1, (16, 16), 32, 1, 9, 8), torch.float32)
    assert emulation.pending_error() == 0


# KiB that a block may have: 99 on 8.6, 8.9 and 12.0, 64 on 7.5
@pytest.mark.parametrize("shared_kib", [99, 64])
@pytest.mark.parametrize("states", [3, 16, 64])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_scan_where_there_is_less_shared_memory(emulation, device, shared_kib, states, dtype):
    device(shared_kib)
    torch.manual_seed(10)
    case = (1, 35, 33, states)
    if (dtype, states, shared_kib) == (torch.float32, 64, 64):
        with pytest.raises(AssertionError):  # backwards, with more than 16 states: an error, not a wrong result
            check_scan(emulation, case, dtype)
        assert emulation.pending_error() == 0
    else:
        check_scan(emulation, case, dtype)
