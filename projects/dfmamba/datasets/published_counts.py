"""How many records the published data sets have, to see whether a copy is whole.

A record is what an adapter's parser goes through, used or skipped: an annotation, or a frame. Sources: InterHand2.6M's
home page (v1.0, 5 frames a second, human and machine annotation together; the paper's numbers belong to it); RHD's and
NYU's official readers; the toolkit's issue tracker for DexYCB, whose images without a hand count too. Nobody has
published how DexYCB's other setups or AssemblyHands divide into splits.
"""

from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.dexycb import DexYCBDataset

PUBLISHED_RECORDS = {
    ("InterHand26MDataset", "train"): 1_361_062,
    ("InterHand26MDataset", "val"): 380_125,
    ("InterHand26MDataset", "test"): 849_160,
    ("RHPDataset", "train"): 41_258,
    ("RHPDataset", "test"): 2_728,
    ("NYUDataset", "train"): 72_757,
    ("NYUDataset", "test"): 8_252,
    ("DexYCBDataset", "s0 train"): 465_504,
}


def published_records(dataset: HandDataset) -> int | None:
    """Return the published number of records of a data set's split; None where there is none.

    A part of DexYCB that `subjects`, `serials` or `sequences` choose has no published number.
    """
    split = getattr(dataset, "split", "")
    if isinstance(dataset, DexYCBDataset):
        if {"subjects", "serials", "sequences", "sequences_per_subject"} & set(dataset.describe_source()):
            return None
        split = f"{dataset.setup} {split}"
    return PUBLISHED_RECORDS.get((type(dataset).__name__, split))
