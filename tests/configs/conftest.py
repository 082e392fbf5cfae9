import gc

import pytest


@pytest.fixture(autouse=True)
def free_models(request):
    """Whole models are parts of cycles, and gigabytes would wait for Python to look for these."""
    yield
    if request.node.get_closest_marker("slow"):
        gc.collect()
