"""Scoring predictions against a ground truth, both from files: matching of samples, checks, scores."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dfmamba.datasets.spec import data_set
from dfmamba.evaluation.protocol import JointTable, Protocol, Scores
from dfmamba.evaluation.units import doubt_about_mm

NAMED = 5  # ids named in a message


class Pair(NamedTuple):
    """Prediction and ground truth of the same samples, row by row.

    Attributes:
        pred: The predictions.
        gt: The ground truth; joints of hands that were not predicted are not valid.
        notes: What was left out, in words.
    """

    pred: JointTable
    gt: JointTable
    notes: list[str]


def score_tables(name: str, pred: JointTable, gt: JointTable, *, partial: bool = False) -> tuple[Scores, list[str]]:
    """Score predictions by the protocol of a data set.

    Args:
        name: Of the data set.
        pred: The predictions, in any order.
        gt: The ground truth.
        partial: Score what both have, and say what is left out; else anything missing is an error.

    Returns:
        The scores, and notes on what was left out or looks odd.

    Raises:
        ValueError: Samples or hands are missing or unknown, or the ground truth is not in mm, or holds no annotated
            joint.
    """
    protocol, notes = protocol_of(name, gt), []
    _check_gt(protocol, gt)
    if "camera" in gt.fields and "camera" not in pred.fields:
        pred = spread_over_cameras(pred, gt)
        notes.append(f"{pred.source}: has no predictions by camera; each frame's counts in all of its images")
    pair = match(pred, gt, partial=partial, ignore_unknown=protocol.ignores_unknown)
    doubts = {
        "may not be in mm": doubt_about_mm(pair.pred.joints_mm, pair.gt.valid),
        **protocol.doubts(pair.pred, pair.gt),
    }
    notes += [*pair.notes, *(f"{pred.source}: the predictions {what}: {why}" for what, why in doubts.items() if why)]
    return protocol.score(pair.pred, pair.gt), notes


def spread_over_cameras(pred: JointTable, gt: JointTable) -> JointTable:
    """Return predictions by frame as ones by camera image: each frame's for all of its images (ids)."""
    row_of = {str(identity): row for row, identity in enumerate(pred.ids)}
    images = [identity for identity in map(str, gt.ids) if identity.rpartition("/")[0] in row_of]
    table = pred.rows([row_of[identity.rpartition("/")[0]] for identity in images])
    return JointTable(images, table.joints_mm, table.valid, source=pred.source)


def protocol_of(name: str, gt: JointTable) -> Protocol:
    """Return the protocol that scores against a ground truth: there may be one for frames and one for camera images."""
    protocol = data_set(name).protocol
    return protocol.of_frames if protocol.of_frames and "camera" not in gt.fields else protocol


def _check_gt(protocol: Protocol, gt: JointTable) -> None:
    """Refuse a ground truth without annotated joints, or in another unit or other coordinates."""
    if not np.any(gt.valid):
        raise ValueError(f"{gt.source}: expected annotated joints, got none. Are they withheld ([1, 1, 1])?")
    doubt = doubt_about_mm(gt.joints_mm, gt.valid)
    if doubt:
        raise ValueError(f"{gt.source}: expected joints in mm, but {doubt}")
    doubt = protocol.doubt_about_gt(gt)
    if doubt:
        raise ValueError(f"{gt.source}: {doubt}")


def match(pred: JointTable, gt: JointTable, *, partial: bool = False, ignore_unknown: bool = False) -> Pair:
    """Bring the predictions into the order of the ground truth.

    Records of the ground truth without a valid joint may be missing: only InterHand2.6M's handedness accuracy counts
    them.

    Args:
        pred: The predictions.
        gt: The ground truth.
        partial: Leave out what one of them does not have.
        ignore_unknown: Leave out predictions of samples that the ground truth does not have.

    Raises:
        ValueError: Samples or hands are missing or unknown, the two have no sample in common, or another number of
            joints.
    """
    if pred.joints_mm.shape[1] != gt.joints_mm.shape[1]:
        raise ValueError(
            f"{pred.source}: expected {gt.joints_mm.shape[1]} joints as in {gt.source}, got {pred.joints_mm.shape[1]}"
        )
    row_of = {identity: row for row, identity in enumerate(pred.ids)}
    known = set(gt.ids)
    notes = []
    unknown = [identity for identity in pred.ids if identity not in known]
    absent = [row for row, identity in enumerate(gt.ids) if identity not in row_of]
    if len(absent) == len(gt.ids):
        raise ValueError(
            f"{pred.source}: expected ids as in {gt.source}, such as {_some(gt.ids)}, got none of "
            f"them, but {_some(pred.ids)}"
        )
    if unknown:
        text = f"{pred.source}: {len(unknown)} samples that {gt.source} does not have: {_some(unknown)}"
        notes.append(_require(partial or ignore_unknown, text))
    annotated = np.any(gt.valid, axis=1)
    missing = [gt.ids[row] for row in absent if annotated[row]]
    if len(missing) < len(absent) and "handedness" in pred.fields:
        notes.append(
            f"left out: {pred.source}: {len(absent) - len(missing)} records without a valid joint that "
            f"{gt.source} has; handedness_accuracy, which counts them, is not given"
        )
    if missing:
        text = f"{pred.source}: {len(missing)} of {len(gt.ids)} samples of {gt.source} missing: {_some(missing)}"
        notes.append(_require(partial, text))
    rows = [row for row, identity in enumerate(gt.ids) if identity in row_of]
    gt = gt.rows(rows)
    pred = pred.rows([row_of[identity] for identity in gt.ids])
    not_predicted = (gt.valid & ~pred.valid).any(axis=1)
    if not_predicted.any():
        names = [gt.ids[row] for row in np.flatnonzero(not_predicted).tolist()]
        text = f"{pred.source}: hands of {len(names)} samples of {gt.source} were not predicted: {_some(names)}"
        notes.append(_require(partial, text))
        gt = replace(gt, valid=gt.valid & pred.valid)
    return Pair(pred, gt, notes)


def _some(ids: Sequence[int | str]) -> str:
    """Name the first few ids."""
    return ", ".join(map(repr, ids[:NAMED])) + (", ..." if len(ids) > NAMED else "")


def _require(allowed: bool, text: str) -> str:
    """Return the note that something is left out, or raise."""
    if not allowed:
        raise ValueError(f"{text}. To score what both files have, say so (--partial)")
    return f"left out: {text}"
