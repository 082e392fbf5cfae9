"""What all tests share. It imports nothing but pytest: the operators' tests also run where there is torch alone."""

import logging
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


@pytest.fixture
def log(caplog):
    """Catch what goes to mmengine's logger, which does not propagate."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level  # a tool that another test called may have made it quiet
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    yield caplog
    logger.setLevel(level)
    logger.removeHandler(caplog.handler)
