#!/usr/bin/env bash
# Build the operators for the GPU at hand, test them, look for bad accesses and races, measure operators and models.
#
#   tools/gpu_check.sh [build] [tests] [sanitizer] [benchmark] [models]     all without an argument, in this order
#   tools/gpu_check.sh triton            the Triton backend: needs no build, but Triton compiles for minutes
#
# Needs python3 with torch and pytest, nvcc, compute-sanitizer; downloads and installs nothing. Logs and tables go to
# $OUT (work_dirs/gpu_check unless set), a summary to the end of the output. Ends with 1 if a step failed; one that the
# machine does not allow is 'skipped' with the reason, and no failure. Changes no setting of the card. Each step has a
# time limit; the first four together stay under ten minutes.
#
# `models` measures what docs/benchmark.md shows of a CPU, in the same form: $OUT/models_*/benchmark.md.

set -uo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-$PWD/work_dirs/gpu_check}
mkdir -p "$OUT"
export PYTHONPATH=$PWD/projects PYTHONUNBUFFERED=1
summary=$OUT/summary.txt
failures=0
: > "$summary"

run_step() {  # name, seconds, command...
  local name=$1 limit=$2 start=$SECONDS code
  shift 2
  echo "== $name"
  timeout "$limit" "$@" > "$OUT/$name.log" 2>&1
  code=$?
  if [ "$code" -ne 0 ]; then
    failures=$((failures + 1))
    tail -n 40 "$OUT/$name.log"
  fi
  printf '%-10s exit %3d  %4d s  %s\n' "$name" "$code" "$((SECONDS - start))" "$(tail -n 1 "$OUT/$name.log")" >> "$summary"
}

machine() {
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu --format=csv
  nvcc --version | tail -n 2
  python3 -c 'import sys, torch; print(sys.version); print(torch.__version__, torch.cuda.get_device_name())'
}

build() {
  FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST:-9.0} MAX_JOBS=${MAX_JOBS:-$(nproc)} \
    python3 setup.py build_ext --inplace &&
    python3 -c '
from dfmamba.ops import available_backends
reason = available_backends()["cuda"]
assert reason is None, reason
print("cuda backend is there")'
}

tests() {
  local workers=()
  python3 -c 'import xdist' 2> /dev/null && workers=(-n 8)
  # The emulation and the tests that compile show nothing here that the kernels themselves do not.
  OMP_NUM_THREADS=2 DFMAMBA_FUZZ_CASES=${DFMAMBA_FUZZ_CASES:-500} \
    python3 -m pytest tests/ops -q "${workers[@]}" -p no:cacheprovider --durations=5 -k "not triton" \
    --ignore=tests/ops/test_cuda_emulation.py --ignore=tests/ops/test_cuda_build.py --ignore=tests/ops/test_build.py
}

triton() {
  local workers=()
  python3 -c 'import xdist' 2> /dev/null && workers=(-n 8)
  python3 -c '
from dfmamba.ops import available_backends
reason = available_backends()["triton"]
assert reason is None, reason' &&
    OMP_NUM_THREADS=2 python3 -m pytest tests/ops -q "${workers[@]}" -p no:cacheprovider --durations=5 -k triton
}

# Small shapes that reach every kernel, and every number of threads a channel.
exercise() {
  cat << 'PYTHON'
import itertools

import torch

from dfmamba.ops import dssm

torch.manual_seed(0)
shapes = [((4, 5), 64, 1, 9), ((5, 9), 66, 1, 9), ((3, 4), 6, 2, 25), ((33,), 128, 1, 5)]
for (size, channels, groups, anchors), states, dtype in itertools.product(
    shapes, (3, 8, 16, 20), (torch.float32, torch.bfloat16, torch.float64)
):
    batch, length = 2, size[0] * (size[1] if len(size) == 2 else 1)
    work = torch.promote_types(dtype, torch.float32)
    randn = lambda *shape, dtype=dtype: torch.randn(*shape, device="cuda").to(dtype)
    offset = randn(batch, length, groups, anchors, len(size), dtype=work) * 3
    offset.flatten()[::11] = float("nan")
    offset.flatten()[::13] = 1e30
    arguments = [
        randn(batch, length, channels), offset, randn(batch, length, groups, anchors), randn(batch, length, channels),
        -torch.rand(channels, states, device="cuda", dtype=work), randn(batch, length, states),
        randn(batch, length, states), randn(channels, dtype=work), randn(channels, dtype=work),
    ]
    for argument in arguments:
        argument.requires_grad_()
    y = dssm(*arguments, size=size, backend="cuda")
    y.sum().backward()
    assert torch.isfinite(y).all() and all(torch.isfinite(argument.grad).all() for argument in arguments)
torch.cuda.synchronize()
print("done")
PYTHON
}

sanitizer() {
  local tool code=0
  # Errors that torch's own calls return and handle, such as a query for a peer, are none of ours.
  local check=(compute-sanitizer --error-exitcode 9 --report-api-errors no)
  local probe='import torch; torch.ones(1, device="cuda").item()'
  if ! command -v compute-sanitizer > /dev/null; then
    echo "skipped: compute-sanitizer is not installed"
    return 0
  fi
  if python3 -c "$probe" && ! "${check[@]}" --tool memcheck python3 -c "$probe" > "$OUT/probe.log" 2>&1; then
    grep '=====' "$OUT/probe.log" | tail -n 3
    echo "skipped: compute-sanitizer is not supported in this container (it fails where one number is made)"
    return 0
  fi
  exercise > "$OUT/exercise.py"
  for tool in memcheck racecheck synccheck initcheck; do
    echo "-- $tool"
    # Without torch's cache every tensor has bounds of its own.
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 "${check[@]}" --tool "$tool" \
      --kernel-name kernel_substring=dfmamba python3 "$OUT/exercise.py" || code=1
  done
  rm "$OUT/exercise.py"
  [ "$code" -eq 0 ] && echo "no errors"
  return "$code"
}

benchmark() {
  local folder
  folder=$(mktemp -d)
  python3 tools/benchmark_ops.py --device cuda --dtype float32 --out "$OUT" &&
    python3 tools/benchmark_ops.py --device cuda --dtype bfloat16 --out "$folder" &&
    cat "$folder"/*.md  # the tables for bfloat16 are in the log only: few files come back
}

# The models and batches of docs/benchmark.md.
models() {
  local folder=configs/baselines whole backbones
  whole=($folder/resnet50_interhand.py configs/dfmamba_interhand.py
    $folder/{vit_s,swin_t,convnext_t,vmamba_t,spatial_mamba_t}_interhand.py)
  backbones=("${whole[@]/%/:backbone}")
  local common=(--device cuda --threads 2 --batch 1 8 --dtypes float32 bfloat16 --rounds 9)
  python3 tools/benchmark.py --models "${backbones[@]}" "${common[@]}" --out "$OUT/models_backbones" &&
    python3 tools/benchmark.py --models "${whole[@]}" "${common[@]}" --out "$OUT/models_whole"
}

export -f machine build tests triton exercise sanitizer benchmark models
export OUT

timeout 20 bash -c machine 2>&1 | tee "$summary"
[ $# -eq 0 ] && set -- build tests sanitizer benchmark models
for step in "$@"; do
  case $step in
    build) run_step build 150 bash -c build ;;
    tests) run_step tests 170 bash -c tests ;;
    triton) run_step triton 560 bash -c triton ;;
    sanitizer) run_step sanitizer 160 bash -c sanitizer ;;
    benchmark) run_step benchmark 110 bash -c benchmark ;;
    models) run_step models 600 bash -c models ;;
    *) echo "$0: expected build, tests, triton, sanitizer, benchmark or models, got '$step'" >&2; exit 2 ;;
  esac
done
echo
cat "$summary"
exit $((failures > 0))
