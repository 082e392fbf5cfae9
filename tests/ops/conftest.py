"""The operators of every backend that is here."""

import pytest
from operator_cases import operators_of


@pytest.fixture(params=["reference", "cpu", "cuda", "triton"])
def operators(request):
    """Every implementation that is here, the definition among them."""
    return operators_of(request.param)


@pytest.fixture(params=["cpu", "cuda", "triton"])
def native(request):
    """Every implementation by kernels that is here."""
    return operators_of(request.param)
