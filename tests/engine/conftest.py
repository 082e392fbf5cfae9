"""The toy project is imported by name, as custom_imports in its config does."""

import sys
from pathlib import Path

import pytest
from mmengine.config import Config

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))


@pytest.fixture
def toy_config_path() -> Path:
    return FOLDER / "toy_config.py"


@pytest.fixture
def toy_config(toy_config_path, tmp_path) -> Config:
    """The toy config, with a fresh work folder and a runner name that no other test has."""
    from dfmamba.engine import load_config

    config = load_config(toy_config_path)
    config.work_dir = str(tmp_path / "work")
    config.experiment_name = f"toy_{tmp_path.name}"
    return config
