"""The splits of DexYCB against the table of the specification."""

import pytest

from dfmamba.datasets.dexycb.splits import SETUPS, get_split


def members(setup, split):
    """The triples (subject, camera, recording) of a split, by the table of the specification."""
    everything = [(subject, camera, i) for subject in range(10) for camera in range(8) for i in range(100)]
    rules = {
        ("s0", "train"): lambda s, c, i: i % 5 != 4,
        ("s0", "val"): lambda s, c, i: s in (0, 1) and i % 5 == 4,
        ("s0", "test"): lambda s, c, i: s >= 2 and i % 5 == 4,
        ("s1", "train"): lambda s, c, i: s <= 5 or s == 9,
        ("s1", "val"): lambda s, c, i: s == 6,
        ("s1", "test"): lambda s, c, i: s in (7, 8),
        ("s2", "train"): lambda s, c, i: c <= 5,
        ("s2", "val"): lambda s, c, i: c == 6,
        ("s2", "test"): lambda s, c, i: c == 7,
        ("s3", "train"): lambda s, c, i: i // 5 not in (3, 7, 11, 15, 19),
        ("s3", "val"): lambda s, c, i: i // 5 in (3, 19),
        ("s3", "test"): lambda s, c, i: i // 5 in (7, 11, 15),
    }
    return {triple for triple in everything if rules[setup, split](*triple)}


@pytest.mark.parametrize("setup", SETUPS)
def test_splits(setup):
    parts = []
    for name in ("train", "val", "test"):
        split = get_split(setup, name)
        triples = [(s, c, i) for s in split.subjects for c in split.cameras for i in split.sequences]
        assert len(triples) == len(set(triples))
        assert set(triples) == members(setup, name)
        parts.append(set(triples))
    assert len(set.union(*parts)) == sum(map(len, parts)) == 8000  # disjoint, and nothing is left out
