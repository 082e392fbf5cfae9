"""The operators of every backend that is here."""

import pytest
from operator_cases import operators_of


@pytest.fixture(params=["reference", "cpu", "cuda"])
def operators(request):
    """Every implementation that is here, the definition among them."""
    return operators_of(request.param)


@pytest.fixture(params=["cpu", "cuda"])
def native(request):
    """Every native implementation that is here."""
    return operators_of(request.param)
