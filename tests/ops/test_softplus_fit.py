"""The polynomial in the CUDA kernels' softplus is as near to log1p as its comment says."""

import re
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).parents[2] / "projects" / "dfmamba" / "ops" / "csrc" / "cuda" / "common.cuh"


def coefficients():
    """Return those of log1p(t) / t, the highest power first."""
    body = re.search(r"float ratio = (\S+)f;\n((?:  ratio = .*\n)*)", SOURCE.read_text())
    terms = re.findall(r"ratio \* t ([+-]) (\S+)f;", body[2])
    return [float(body[1]), *(float(sign + number) for sign, number in terms)]


def relative_error(dtype):
    """Return the greatest one of `ratio * t` against log1p(t) over t in (0, 1], computed in this dtype."""
    t = np.concatenate([np.logspace(-30, 0, 100_001), np.linspace(1e-5, 1, 400_001)]).astype(dtype)
    ratio = np.zeros_like(t)
    for coefficient in coefficients():
        # as a fused multiply-add: one rounding
        ratio = (ratio.astype(np.float64) * t + np.float64(dtype(coefficient))).astype(dtype)
    value = (ratio.astype(np.float64) * t).astype(dtype)
    return np.abs(value / np.log1p(t.astype(np.float64)) - 1).max()


def test_it_is_of_degree_7():
    assert len(coefficients()) == 8


def test_greatest_relative_error():
    assert relative_error(np.float64) < 2.3e-7
    assert relative_error(np.float32) < 3.5e-7
