import shutil
from pathlib import Path

import assemblyhands_fixture
import nyu_fixture
import pytest
from dexycb_fixture import write_dexycb
from interhand_fixture import contents, write_annotations, write_images
from rhp_fixture import write_rhp

import dfmamba.register  # noqa: F401, fills mmpose's registries with ours

REAL_SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "interhand26m"


@pytest.fixture
def interhand_root(tmp_path):
    """A folder in the official layout, with the split `test`."""
    write_annotations(tmp_path, contents())
    write_images(tmp_path, contents())
    return tmp_path


@pytest.fixture
def real_samples():
    """Arguments that load the four published samples, whose files have other names and lie in one folder."""
    if not REAL_SAMPLES.is_dir():
        pytest.skip(f"the four published samples are not at {REAL_SAMPLES}")
    return {
        "data_root": str(REAL_SAMPLES),
        "ann_file": "test_interhand2.6m_data.json",
        "camera_file": "test_interhand2.6m_camera.json",
        "joint_file": "test_interhand2.6m_joint_3d.json",
        "data_prefix": {"img": ""},
    }


@pytest.fixture
def rhp_root(tmp_path):
    """RHD in its official layout, with the split `test`."""
    write_rhp(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def whole_dexycb(tmp_path_factory):
    """A small DexYCB in its official layout, written once."""
    root = tmp_path_factory.mktemp("dexycb") / "set"
    write_dexycb(root)
    return root


@pytest.fixture
def dexycb_root(whole_dexycb, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(whole_dexycb, tmp_path / "DexYCB")


@pytest.fixture
def nyu_root(tmp_path):
    """NYU in its official layout, with the split `test`."""
    nyu_fixture.write_annotations(tmp_path, nyu_fixture.contents())
    nyu_fixture.write_images(tmp_path)
    return tmp_path


@pytest.fixture
def assemblyhands_root(tmp_path):
    """AssemblyHands in its official layout, with the split `val`."""
    assemblyhands_fixture.write_annotations(tmp_path, assemblyhands_fixture.contents())
    assemblyhands_fixture.write_images(tmp_path, assemblyhands_fixture.contents())
    return tmp_path
