"""The protocols as mmengine metrics: they collect joints, and the protocol of a data set does the arithmetic."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpose.registry import METRICS
from numpy.typing import NDArray

from dfmamba.datasets import spec
from dfmamba.datasets.sample import lift
from dfmamba.evaluation.protocol import JointTable, Protocol, Scores, stack_fields
from dfmamba.evaluation.report import format_scores, write_json
from dfmamba.io.outputs import check_output_file


@METRICS.register_module()
class HandMetric(BaseMetric):
    """A data set's protocol as a metric; the base of those that need more than the joints.

    It collects predicted and true joints of each sample, scores them together, and logs the table.

    Reads from each data sample, K joints: `pred_instances.keypoints_cam` (1, K, 3) in mm; or, where it is missing,
    `pred_instances.keypoints` (1, K, 3), x and y in px of the original image, z in mm relative to `root_depth`, which
    are lifted with the meta keys `root_depth` (K,), `focal` and `principal_pt` (2,). The ground truth is
    `gt_instances.keypoints_cam` (1, K, 3) and `keypoints_visible` (1, K), and decides what counts. `id` names a sample.

    Several processes give the same numbers as one: mmengine brings the samples of all into the order of the data set
    and drops those that a sampler added.

    Args:
        data_set: Name of the data set in its registry, `dfmamba.datasets.spec`; a subclass has its own.
        result_file: Write the predictions to this file, in the format that people exchange for this data set (see
            `results.py` of the data set).
        details_file: Write per-joint and per-finger errors, counts, protocol and data source to this JSON file.
        collect_device: 'cpu' or 'gpu', where several processes exchange their results.
        collect_dir: Folder for that exchange on the CPU.
        prefix: Prefix of the names of the metrics.

    Raises:
        UserError: One of the files could not be written.
    """

    data_set_name: str = ""  # in the registry; empty where the protocol belongs to no data set

    def __init__(
        self,
        data_set: str | None = None,
        result_file: str | None = None,
        details_file: str | None = None,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
        prefix: str | None = None,
    ) -> None:
        self.data_set_name = data_set or self.data_set_name
        if not self.data_set_name and type(self) is HandMetric:
            raise ValueError("data_set: expected the name of a data set in the registry, got none")
        if prefix is None and self.default_prefix is None:
            prefix = self.protocol.prefix
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        for name, path in (("result_file", result_file), ("details_file", details_file)):
            if path is not None:
                check_output_file(name, path)  # rather now than after the test
        self.result_file, self.details_file = result_file, details_file

    @property
    def protocol(self) -> Protocol:
        """The protocol by which this metric scores."""
        return spec.data_set(self.data_set_name).protocol

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Store the joints of each sample."""
        count = self.protocol.skeleton.num_joints
        for sample in data_samples:
            gt_fields, pred_fields = self.read_fields(sample)
            self.results.append(
                {
                    "id": sample.get("id"),
                    "pred": self.read_prediction(sample).astype(np.float32),
                    "gt": self.array(sample["gt_instances"], "keypoints_cam", (count, 3)).astype(np.float32),
                    "valid": self.array(sample["gt_instances"], "keypoints_visible", (count,)) > 0,
                    "gt_fields": gt_fields,
                    "pred_fields": pred_fields,
                }
            )

    def read_prediction(self, sample: Mapping[str, Any]) -> NDArray[np.floating]:
        """Return the predicted joints in camera space, (K, 3) in mm."""
        count = self.protocol.skeleton.num_joints
        if "keypoints_cam" in sample["pred_instances"]:
            return self.array(sample["pred_instances"], "keypoints_cam", (count, 3))
        joints = self.array(sample["pred_instances"], "keypoints", (count, 3))
        return lift(
            joints,
            self.read_root_depth(sample),
            self.array(sample, "focal", (2,)),
            self.array(sample, "principal_pt", (2,)),
        )

    def read_root_depth(self, sample: Mapping[str, Any]) -> NDArray[np.floating]:
        """Return the depth in mm that each joint is lifted with, (K,)."""
        return self.array(sample, "root_depth", (self.protocol.skeleton.num_joints,))

    def read_fields(self, sample: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return what the protocol or its result file needs beside the joints, of ground truth and prediction."""
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

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Score all samples together; write the files."""
        pred, gt = self.make_tables(results)
        scores = self.protocol.score(pred, gt)
        self._warn(pred, gt, scores)
        logger = MMLogger.get_current_instance()
        logger.info(f"{self.protocol.description['name']}\n{format_scores(self.protocol, scores.metrics)}")
        if self.result_file:
            self._write_predictions(Path(self.result_file), pred)
        if self.details_file:
            self._write_details(Path(self.details_file), scores)
            logger.info(f"{type(self).__name__}: details written to {Path(self.details_file).absolute()}")
        return scores.metrics

    def make_tables(self, results: list[dict[str, Any]]) -> tuple[JointTable, JointTable]:
        """Return the predictions and the ground truth of all samples."""
        shape = (len(results), self.protocol.skeleton.num_joints)
        ids = [result["id"] for result in results]
        pred, gt = (
            np.array([result[name] for result in results], np.float32).reshape(*shape, 3) for name in ("pred", "gt")
        )
        valid = np.array([result["valid"] for result in results], dtype=bool).reshape(shape)
        return (
            JointTable(ids, pred, np.ones_like(valid), stack_fields([result["pred_fields"] for result in results])),
            JointTable(
                ids,
                gt,
                valid,
                stack_fields([result["gt_fields"] for result in results]),
                has_every_record=self.has_every_record(len(ids)),
            ),
        )

    def has_every_record(self, count: int) -> bool:
        """Say whether this number of samples is every record of the annotation, also those without a valid joint."""
        return False

    def for_result_file(self, pred: JointTable) -> JointTable:
        """Return the predictions as the result file wants them."""
        return pred

    def _warn(self, pred: JointTable, gt: JointTable, scores: Scores) -> None:
        """Say what is wrong with predictions, and which joints have no valid sample."""
        name, logger = type(self).__name__, MMLogger.get_current_instance()
        broken = (gt.valid & ~np.isfinite(pred.joints_mm).all(axis=2)).any(axis=1).sum()
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
            spec.data_set(self.data_set_name).results.write_table(path, self.for_result_file(pred))
        except (ValueError, OSError) as error:
            MMLogger.get_current_instance().error(f"{type(self).__name__}: the predictions were not written: {error}")
        else:
            MMLogger.get_current_instance().info(f"{type(self).__name__}: predictions written to {path.absolute()}")

    def _write_details(self, path: Path, scores: Scores) -> None:
        """Write errors by joint and all that is needed to know what they mean."""
        source = dict((self.dataset_meta or {}).get("data_source", {}))
        protocol = {**self.protocol.description, "depth source": source.get("root_depth", "that of the samples")}
        write_json(path, {"protocol": protocol, "data": source, "metrics": scores.metrics, "details": scores.details})
