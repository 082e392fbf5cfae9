import pytest
from config_cases import WRITERS


@pytest.fixture(scope="session")
def synthetic_set(tmp_path_factory):
    """Return a function that gives the folder of a small SYNTHETIC set for a type of data set, written once."""
    folders = {}

    def folder_of(kind):
        if kind not in folders:
            write, counts = WRITERS[kind]
            folders[kind] = tmp_path_factory.mktemp(kind)
            write(folders[kind], counts, seed=0, view_spread_deg=30)
        return folders[kind]

    return folder_of
