import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Tests, and the programs that they start, keep their annotation indices away from the user's."""
    before = os.environ.get("DFMAMBA_CACHE_DIR")
    os.environ["DFMAMBA_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["DFMAMBA_CACHE_DIR"]
    else:
        os.environ["DFMAMBA_CACHE_DIR"] = before
