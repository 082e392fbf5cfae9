"""The protocols as mmengine metrics: they collect joints, and `dfmamba.evaluation.protocols` does the arithmetic."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpose.registry import METRICS
from numpy.typing import NDArray

from dfmamba.evaluation.protocols import PROTOCOLS
from dfmamba.evaluation.protocols.interhand26m import lift_wrists
from dfmamba.evaluation.report import format_scores, write_json
from dfmamba.evaluation.result_files import write_result_file
from dfmamba.evaluation.result_files.assemblyhands_json import camera_to_world
from dfmamba.evaluation.scores import JointTable, Protocol, Scores, stack_fields
from dfmamba.geometry import back_project
from dfmamba.io.outputs import check_output_file
from dfmamba.skeleton import NUM_HAND_JOINTS, RIGHT, TWO_HANDS, hand_slice


class HandMetric(BaseMetric):
    """Base of the metrics: collects predicted and true joints of each sample, scores them together, logs the table.

    Reads from each data sample, K joints: `pred_instances.keypoints_cam` (1, K, 3) in mm; or, where it is missing,
    `pred_instances.keypoints` (1, K, 3), x and y in px of the original image, z in mm relative to `root_depth`, which
    are lifted with the meta keys `root_depth` (K,), `focal` and `principal_pt` (2,). The truth is
    `gt_instances.keypoints_cam` (1, K, 3) and `keypoints_visible` (1, K), and decides what counts. `id` names a sample.

    Several processes give the same numbers as one: mmengine brings the samples of all into the order of the data set
    and drops those that a sampler added.

    Args:
        result_file: Write the predictions to this file, in the format that people exchange for this data set (see
            `dfmamba.evaluation.result_files`).
        details_file: Write per-joint and per-finger errors, counts, protocol and data source to this JSON file.
        collect_device: 'cpu' or 'gpu', where several processes exchange their results.
        collect_dir: Folder for that exchange on the CPU.
        prefix: Prefix of the names of the metrics.

    Raises:
        UserError: One of the files could not be written.
    """

    protocol_name: ClassVar[str]

    def __init__(
        self,
        result_file: str | None = None,
        details_file: str | None = None,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        for name, path in (("result_file", result_file), ("details_file", details_file)):
            if path is not None:
                check_output_file(name, path)  # rather now than after the test
        self.result_file, self.details_file = result_file, details_file

    @property
    def protocol(self) -> Protocol:
        """The protocol by which this metric scores."""
        return PROTOCOLS[self.protocol_name]

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the joints of each sample."""
        count = self.protocol.skeleton.num_joints
        for sample in data_samples:
            truth_fields, pred_fields = self.read_fields(sample)
            self.results.append(
                {
                    "id": sample.get("id"),
                    "pred": self.read_prediction(sample).astype(np.float32),
                    "truth": self.array(sample["gt_instances"], "keypoints_cam", (count, 3)).astype(np.float32),
                    "valid": self.array(sample["gt_instances"], "keypoints_visible", (count,)) > 0,
                    "truth_fields": truth_fields,
                    "pred_fields": pred_fields,
                }
            )

    def read_prediction(self, sample: Mapping) -> NDArray[np.floating]:
        """Return the predicted joints in camera space, (K, 3) in mm."""
        count = self.protocol.skeleton.num_joints
        if "keypoints_cam" in sample["pred_instances"]:
            return self.array(sample["pred_instances"], "keypoints_cam", (count, 3))
        joints = self.array(sample["pred_instances"], "keypoints", (count, 3))
        return back_project(
            joints[:, :2],
            joints[:, 2] + self.read_root_depth(sample),
            self.array(sample, "focal", (2,)),
            self.array(sample, "principal_pt", (2,)),
        )

    def read_root_depth(self, sample: Mapping) -> NDArray[np.floating]:
        """Return the depth in mm that each joint is lifted with, (K,)."""
        return self.array(sample, "root_depth", (self.protocol.skeleton.num_joints,))

    def read_fields(self, sample: Mapping) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Return what the protocol or its result file needs beside the joints, of the truth and of the prediction."""
        return {}, {}

    def require(self, fields: Any, name: str) -> Any:
        """Return a field of a data sample.

        Raises:
            ValueError: There is no such field.
        """
        if name not in fields:
            raise ValueError(
                f"{type(self).__name__}: expected {name!r} in the data sample, got only "
                f"{sorted(fields.keys())}. A meta key must be named in the meta_keys of PackPoseInputs."
            )
        return fields[name]

    def array(self, fields: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.floating]:
        """Return a field of a data sample, array or tensor, in float64 and without its instance axis.

        Raises:
            ValueError: There is no such field, or it has another size.
        """
        value = self.require(fields, name)
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, dtype=np.float64)
        if array.size != np.prod(shape):
            raise ValueError(f"{type(self).__name__}: {name}: expected shape (1, {str(shape)[1:]}, got {array.shape}")
        return array.reshape(shape)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score all samples together; write the files."""
        pred, truth = self.make_tables(results)
        scores = self.protocol.score(pred, truth)
        self._warn(pred, truth, scores)
        logger = MMLogger.get_current_instance()
        logger.info(f"{self.protocol.description['name']}\n{format_scores(self.protocol, scores.metrics)}")
        if self.result_file:
            self._write_predictions(Path(self.result_file), pred)
        if self.details_file:
            self._write_details(Path(self.details_file), scores)
            logger.info(f"{type(self).__name__}: details written to {Path(self.details_file).absolute()}")
        return scores.metrics

    def make_tables(self, results: list[dict]) -> tuple[JointTable, JointTable]:
        """Return the predictions and the truth of all samples."""
        shape = (len(results), self.protocol.skeleton.num_joints)
        ids = [result["id"] for result in results]
        pred, truth = (
            np.array([result[name] for result in results], np.float32).reshape(*shape, 3) for name in ("pred", "truth")
        )
        valid = np.array([result["valid"] for result in results], dtype=bool).reshape(shape)
        return (
            JointTable(ids, pred, np.ones_like(valid), stack_fields([result["pred_fields"] for result in results])),
            JointTable(
                ids,
                truth,
                valid,
                stack_fields([result["truth_fields"] for result in results]),
                has_every_record=self.has_every_record(len(ids)),
            ),
        )

    def has_every_record(self, count: int) -> bool:
        """Say whether these samples, so many, are every record of the annotation, also those without a valid joint."""
        return False

    def for_result_file(self, pred: JointTable) -> JointTable:
        """Return the predictions as the result file wants them."""
        return pred

    def _warn(self, pred: JointTable, truth: JointTable, scores: Scores) -> None:
        """Say what is wrong with predictions, and which joints have no valid sample."""
        name, logger = type(self).__name__, MMLogger.get_current_instance()
        broken = (truth.valid & ~np.isfinite(pred.joints_mm).all(axis=2)).any(axis=1).sum()
        if broken:
            logger.warning(
                f"{name}: {broken} of {len(pred.ids)} samples have predictions that are NaN or infinite; so "
                "are the errors. Has the training diverged?"
            )
        for subset, details in scores.details.items():
            missing = [joint for joint, count in details["valid_samples"].items() if count == 0]
            if len(missing) == len(details["valid_samples"]):
                logger.warning(f"{name}: the subset '{subset}' has no valid joint; its errors are NaN")
            elif missing:
                logger.warning(
                    f"{name}: in the subset '{subset}' {len(missing)} joints have no valid sample and are "
                    f"left out of the macro mean: {', '.join(missing)}"
                )

    def _write_predictions(self, path: Path, pred: JointTable) -> None:
        """Write the result file. A failure is logged: the other processes wait for the numbers."""
        try:
            write_result_file(self.protocol_name, path, self.for_result_file(pred))
        except (ValueError, OSError) as error:
            MMLogger.get_current_instance().error(f"{type(self).__name__}: the predictions were not written: {error}")
        else:
            MMLogger.get_current_instance().info(f"{type(self).__name__}: predictions written to {path.absolute()}")

    def _write_details(self, path: Path, scores: Scores) -> None:
        """Write errors by joint and all that is needed to know what they mean."""
        source = dict((self.dataset_meta or {}).get("data_source", {}))
        protocol = {**self.protocol.description, "depth source": source.get("root_depth", "that of the samples")}
        write_json(path, {"protocol": protocol, "data": source, "metrics": scores.metrics, "details": scores.details})


@METRICS.register_module()
class InterHandMPJPE(HandMetric):
    """InterHand2.6M's MPJPE, and MRRPE and handedness accuracy where the model predicts what they need.

    See `HandMetric` and `dfmamba.evaluation.protocols.interhand26m`. Joints are lifted with `abs_depth` (2,), the depth
    of each hand's root, true or RootNet's, in place of `root_depth`. Also reads the meta keys `hand_type` (1, 2) and
    `hand_type_valid`, which is optional; and of the prediction `rel_root_depth` (1,) in mm, left minus right, for MRRPE
    and `hand_type` (1, 2), probabilities of a right and a left hand, for the accuracy.

    Returns for each subset (single: one hand is labelled; two: both; all):
        MPJPE_rr_macro_{subset}_mm: The published number: mean over joints of per-joint means, wrists included.
        MPJPE_rr_micro_{subset}_mm: Mean over all valid joints, as mmpose's `InterHandMetric`.
        constant_pose_macro_{subset}_mm: The macro error of the best constant pose, a yardstick.
        samples_{subset}: Number of samples.
    A subset without valid joints gives NaN, and a warning. And MRRPE_mm, handedness_accuracy_annotated; and
    handedness_accuracy, the official one, where the data set has `keep_unannotated=True`: it counts records without a
    valid joint, which the model must then be run on.
    """

    default_prefix = "interhand"
    protocol_name = "interhand26m"

    def read_root_depth(self, sample: Mapping) -> NDArray[np.floating]:
        """Return the depth in mm of each joint's root, (42,)."""
        return np.repeat(self.array(sample, "abs_depth", (2,)), TWO_HANDS.num_joints // 2)

    def read_fields(self, sample: Mapping) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Return the labelled hands; the predicted wrists and hands where there are any."""
        truth = {"hand_type": self.array(sample, "hand_type", (2,)) > 0}
        if "hand_type_valid" in sample:
            truth["hand_type_valid"] = self.array(sample, "hand_type_valid", (1,))[0] > 0
        pred: dict[str, NDArray] = {}
        if "rel_root_depth" in sample["pred_instances"]:
            pred["roots_mm"] = self._lift_wrists(sample)
        if "hand_type" in sample["pred_instances"]:
            pred["handedness"] = self.array(sample["pred_instances"], "hand_type", (2,))
        return truth, pred

    def _lift_wrists(self, sample: Mapping) -> NDArray[np.floating]:
        """Return right and left wrist in camera space, (2, 3), for MRRPE."""
        wrists = self.array(sample["pred_instances"], "keypoints", (TWO_HANDS.num_joints, 3))[list(TWO_HANDS.roots)]
        return lift_wrists(
            wrists,
            self.array(sample, "abs_depth", (2,))[RIGHT],
            self.array(sample["pred_instances"], "rel_root_depth", (1,))[0],
            self.array(sample, "focal", (2,)),
            self.array(sample, "principal_pt", (2,)),
        )

    def has_every_record(self, count: int) -> bool:
        """Say whether the data set keeps all records, and all are here: joined ones are described by their first."""
        source = (self.dataset_meta or {}).get("data_source", {})
        return bool(source.get("has_every_record", False)) and source.get("num_samples") == count


@METRICS.register_module()
class RHPEPE(HandMetric):
    """RHP's EPE, and hand3d's errors and AUC: see `HandMetric` and `dfmamba.evaluation.protocols.rhp`.

    K is 42; the 21 valid joints of the chosen hand count. The meta key `hand_type` (1, 2) says which it is. hand3d's
    own numbers need the meta keys `all_joints_cam` (21, 3) and `joints_seen` (21,), see `RHPDataset`.
    """

    default_prefix = "rhp"
    protocol_name = "rhp"

    def read_fields(self, sample: Mapping) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Return which hand it is, for the result file; and all its joints, for hand3d's numbers."""
        hand = self.array(sample, "hand_type", (2,)) > 0
        if "all_joints_cam" not in sample or "joints_seen" not in sample:
            return {"hand_type": hand}, {"hand_type": hand}
        both, seen = np.zeros((TWO_HANDS.num_joints, 3)), np.zeros(TWO_HANDS.num_joints, dtype=bool)
        part = hand_slice(int(np.argmax(hand)))
        both[part] = self.array(sample, "all_joints_cam", (NUM_HAND_JOINTS, 3))
        seen[part] = self.array(sample, "joints_seen", (NUM_HAND_JOINTS,)) > 0
        return {"hand_type": hand, "all_joints_mm": both, "seen": seen}, {"hand_type": hand}


@METRICS.register_module()
class NYUMeanError(HandMetric):
    """NYU's absolute mean error and success rates: see `HandMetric` and `dfmamba.evaluation.protocols.nyu`.

    K is 14, NYU's own joints.
    """

    default_prefix = "nyu"
    protocol_name = "nyu"


@METRICS.register_module()
class DexYCBMPJPE(HandMetric):
    """DexYCB's three MPJPEs and AUCs: see `HandMetric` and `dfmamba.evaluation.protocols.dexycb`.

    K is 21. `id` is the toolkit's image id.

    Args:
        pred_frame: 'absolute', or 'root_relative' for a model whose `keypoints_cam` are relative to the wrist: then the
            absolute numbers are left out. A model whose joints are lifted with the true depth of the wrist
            (`root_depth`) gives absolute numbers that know this depth.
        **arguments: Of `HandMetric`.
    """

    default_prefix = "dexycb"
    protocol_name = "dexycb"

    def __init__(self, pred_frame: str = "absolute", **arguments: Any) -> None:
        if pred_frame not in ("absolute", "root_relative"):
            raise ValueError(f"pred_frame: expected 'absolute' or 'root_relative', got {pred_frame!r}")
        super().__init__(**arguments)
        self.pred_frame = pred_frame

    def read_fields(self, sample: Mapping) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Return whether the prediction is root-relative."""
        return {}, {"root_relative": np.array(True)} if self.pred_frame == "root_relative" else {}


@METRICS.register_module()
class AssemblyHandsMPJPE(HandMetric):
    """AssemblyHands' MPJPE, and S2DHand's errors and AUC.

    See `HandMetric` and `dfmamba.evaluation.protocols.assemblyhands`. K is 42; the 21 joints of the sample's hand are
    valid.

    The numbers count hands in camera images, as the toolkit. The result file is in world coordinates, with one entry a
    frame, as the HANDS challenge asks for: a hand that several cameras see gets the mean of their predictions; beside
    it each camera's own are kept, so that `tools/score.py` can count both ways. It needs the meta keys `hand_type`
    (1, 2), `seq_name`, `frame_idx`, `camera`, and `extrinsic` (3, 4), [R|t] from world to camera in mm.
    """

    default_prefix = "assemblyhands"
    protocol_name = "assemblyhands"

    def read_fields(self, sample: Mapping) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Return frame, camera and hand, for the result file."""
        if not self.result_file:
            return {}, {}
        recording, frame, camera = (self.require(sample, name) for name in ("seq_name", "frame_idx", "camera"))
        return {}, {
            "frame": np.array(f"{recording}/{int(frame):06d}"),
            "camera": np.array(camera),
            "extrinsic": self.array(sample, "extrinsic", (3, 4)),
            "hand_type": self.array(sample, "hand_type", (2,)) > 0,
        }

    def for_result_file(self, pred: JointTable) -> JointTable:
        """Return the predictions in the world, with the frames as ids."""
        world = np.array(
            [
                camera_to_world(joints, extrinsic)
                for joints, extrinsic in zip(pred.joints_mm, pred.fields["extrinsic"], strict=True)
            ]
        )
        hand = np.repeat(pred.fields["hand_type"], TWO_HANDS.num_joints // 2, axis=1)
        return JointTable(
            [str(frame) for frame in pred.fields["frame"]], world, hand, {"camera": pred.fields["camera"]}
        )
