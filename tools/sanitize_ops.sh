#!/usr/bin/env bash
# Runs a slice of the fuzz cases on CPU kernels built with AddressSanitizer and UndefinedBehaviorSanitizer, once for
# every build of the kernels that this processor has. Usage: tools/sanitize_ops.sh [cases, default 150]
# PYTHON names the interpreter (default .venv/bin/python); GCC is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r setup.py pyproject.toml README.md LICENSE projects tests "$copy"
cd "$copy"
find projects -name '*.so' -delete

# float-cast-overflow: a coordinate that becomes an integer before it was found to be on the map
flags="-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer"
CC=gcc CXX=g++ CFLAGS="$flags" LDFLAGS="$flags" "$python" setup.py build_ext --inplace > build.log 2>&1 \
  || { tail -20 build.log; exit 1; }
grep -q __asan projects/dfmamba/_C*.so && grep -q __ubsan projects/dfmamba/_C*.so  # the flags have arrived

preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
for capability in portable avx2 avx512; do
  echo "sanitize: $capability"
  # Python itself frees little before it exits: leaks are not looked for.
  LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH="$copy/projects" \
    DFMAMBA_CPU_CAPABILITY=$capability DFMAMBA_FUZZ_CASES="${1:-150}" \
    "$python" -c "
import sys, torch, dfmamba.ops
assert dfmamba.__file__.startswith('$copy'), dfmamba.__file__
assert dfmamba.ops.available_backends()['cpu'] is None, dfmamba.ops.available_backends()['cpu']
try:
    torch.ops.dfmamba.cpu_capability()
except RuntimeError:
    print('not on this processor')
    sys.exit()
import pytest
sys.exit(pytest.main(['-q', '-s', '-p', 'no:cacheprovider', '-k', 'cpu and not cuda',
                      'tests/ops/test_fuzz.py', 'tests/ops/test_attention_operator.py::test_random_case']))
"
done
