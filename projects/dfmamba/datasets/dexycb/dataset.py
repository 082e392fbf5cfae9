"""DexYCB as an mmpose data set."""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpose.registry import DATASETS
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import Index
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.dexycb.annotations import (
    BOXES,
    EMPTY_RECORDING,
    IMAGE_SIZE,
    PARSER_VERSION,
    parse_dexycb,
    tip_first_wrist_last,
)
from dfmamba.datasets.dexycb.calibration import intrinsics_file, intrinsics_path
from dfmamba.datasets.dexycb.recordings import Selection, list_meta_files
from dfmamba.datasets.dexycb.splits import SEQUENCES_PER_SUBJECT, SERIALS, SUBJECTS, get_split
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.sample import build_sample
from dfmamba.geometry import xywh_to_xyxy
from dfmamba.io.files import read_npz
from dfmamba.skeleton import ONE_HAND, SIDES, WRIST, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors


@DATASETS.register_module()
class DexYCBDataset(HandDataset):
    """DexYCB: one sample for every image with a hand, 21 joints in canonical order; left hands stay left hands.

    Samples come in the toolkit's order: subject, recording, camera, frame. `id` and `img_id` are its index, which
    counts the images without a hand too and is the image id in result files. `capture` is the recording's position
    among those of its subject (object number times 5 plus trial), `subject` the position in the official list (-1 for
    another folder), `camera` the serial number. Root depth is the true depth of the wrist.

    The index is rebuilt when a YAML file changes, or the names, sizes or times of change of the files of a view do.

    Args:
        setup: 's0' (default of the toolkit), 's1' (unseen subjects), 's2' (unseen cameras) or 's3' (unseen grasped
            objects).
        split: 'train', 'val' or 'test'.
        data_root: The folder with the subjects and `calibration`.
        data_prefix: `dict(img=...)`, the folder with the subjects, relative to `data_root`; by default that itself.
        subjects: Names of the subjects' folders, instead of the split's.
        serials: Serial numbers of cameras, instead of the split's.
        sequences: Positions of recordings among those of their subject, instead of the split's.
        sequences_per_subject: How many recordings each subject has; other numbers than 100 are for parts of the set,
            where the rule of the split (such as i % 5 != 4) holds for the positions that are there.
        box: 'joints' or 'segmentation', see `parse_dexycb`.
        index_workers: Processes that read label files while the index is built; by default the number of cores, at
            most 8.
        **kwargs: See `HandDataset`; there is no `ann_file`.

    Raises:
        FileNotFoundError: A file or folder does not exist.
        ValueError: An argument or a record is faulty, see `parse_dexycb`.
    """

    # The toolkit's issue tracker; images without a hand count too. Nobody has published how the others divide.
    PUBLISHED_RECORDS: ClassVar[dict[str, int]] = {"s0 train": 465_504}
    UNCOUNTED: ClassVar[frozenset[str]] = frozenset({EMPTY_RECORDING})
    METAINFO: ClassVar[dict[str, Any]] = mmpose_metainfo(ONE_HAND, "dexycb", joint_colors(ONE_HAND))
    EXPECTED_LAYOUT: ClassVar[str] = """\
  20200709-subject-01/ ... 20201022-subject-10/               10 subjects, 100 recordings each
  <subject>/<recording>/meta.yml                              <recording> such as 20200709_141754
  <subject>/<recording>/<serial>/color_000000.jpg             8 cameras
  <subject>/<recording>/<serial>/labels_000000.npz
  <subject>/<recording>/<serial>/aligned_depth_to_color_000000.png (not read)
  calibration/intrinsics/<serial>_640x480.yml"""

    def __init__(
        self,
        setup: str = "s0",
        split: str = "train",
        data_root: str = "",
        data_prefix: dict[str, str] | None = None,
        subjects: Sequence[str] | None = None,
        serials: Sequence[str] | None = None,
        sequences: Sequence[int] | None = None,
        sequences_per_subject: int = SEQUENCES_PER_SUBJECT,
        box: str = "joints",
        index_workers: int | None = None,
        **kwargs: Any,
    ) -> None:
        official = get_split(setup, split)
        if box not in BOXES:
            raise ValueError(f"box: expected one of {BOXES}, got {box!r}")
        if sequences is not None and not all(0 <= i < sequences_per_subject for i in sequences):
            raise ValueError(f"sequences: expected positions from 0 to {sequences_per_subject - 1}, got {sequences}")
        if index_workers is not None and index_workers < 1:
            raise ValueError(f"index_workers: expected at least 1, got {index_workers}")
        self.setup, self.split, self.box = setup, split, box
        self.index_workers = index_workers or min(os.cpu_count() or 1, 8)
        self.selection = Selection(
            tuple(subjects if subjects is not None else (SUBJECTS[i] for i in official.subjects)),
            tuple(serials if serials is not None else (SERIALS[i] for i in official.cameras)),
            tuple(sequences if sequences is not None else official.sequences),
            sequences_per_subject,
        )
        self.index: Index
        super().__init__(data_root=data_root, data_prefix=data_prefix or {"img": ""}, **kwargs)

    def load_annotations(self) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Open the index; see `HandDataset`."""
        root = self.require("data_root", self.data_root)
        self.require("data_root", root / "calibration" / "intrinsics")
        for subject in self.selection.subjects:
            self.require("data_root", root / subject, "a subject")
        meta_files = [path for path, _ in list_meta_files(root, self.selection)]
        sources = [
            *(intrinsics_file(root, serial) for serial in self.selection.serials),
            *meta_files,
            *(path.parent / serial for path in meta_files for serial in self.selection.serials),
        ]
        names = "".join(f"{path.parent.relative_to(root)}\n" for path in meta_files)  # the index holds them, too
        self.index = self.open_index(
            "dexycb",
            PARSER_VERSION,
            sources,
            lambda: parse_dexycb(root, self.selection, self.box, RecordErrorPolicy(self.faulty), self.index_workers),
            {"box": self.box, "recordings": sha256(names.encode()).hexdigest()}
            | {name: repr(value) for name, value in self.selection._asdict().items()},
        )
        return np.arange(len(self.index.columns["image_id"])), self.index.skipped

    def needed_paths(self) -> dict[str, Path]:
        """See `HandDataset`."""
        root = Path(self.data_root)
        return (
            {f"serial {serial}": intrinsics_path(root, serial) for serial in self.selection.serials}
            | {f"subject {subject}": root / subject for subject in self.selection.subjects}
            | super().needed_paths()
        )

    def describe_source(self) -> dict[str, Any]:
        """See `HandDataset`; the selection is spelled out where it is not the split's."""
        official = get_split(self.setup, self.split)
        description = super().describe_source() | {
            "root_depth": "gt",
            "setup": self.setup,
            "split": self.split,
            "box": self.box,
        }
        parts = {
            "subjects": tuple(SUBJECTS[i] for i in official.subjects),
            "serials": tuple(SERIALS[i] for i in official.cameras),
            "sequences": official.sequences,
            "sequences_per_subject": SEQUENCES_PER_SUBJECT,
        }
        own = self.selection._asdict()
        return description | {key: own[key] for key, value in parts.items() if own[key] != value}

    def published_records(self) -> int | None:
        """See `HandDataset`; a part that `subjects`, `serials` or `sequences` choose has no published number."""
        if {"subjects", "serials", "sequences", "sequences_per_subject"} & set(self.describe_source()):
            return None
        return self.PUBLISHED_RECORDS.get(f"{self.setup} {self.split}")

    def read_image_points(self, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """See `HandDataset`: the label files have `joint_2d`."""
        points_px = super().read_image_points(samples)
        for number, sample in enumerate(samples):
            labels = Path(sample["img_path"]).parent / f"labels_{sample['frame_idx']:06d}.npz"
            points_px[number] = tip_first_wrist_last(read_npz(labels, ["joint_2d"])["joint_2d"][0])
        return points_px

    def image_names(self, rows: NDArray[np.int64]) -> list[str]:
        """See `HandDataset`."""
        table = self.index.columns
        names, serials = table["sequence_name"][table["sequence"][rows]], table["serial"][table["camera"][rows]]
        return [
            f"{name.decode()}/{serial.decode()}/color_{frame:06d}.jpg"
            for name, serial, frame in zip(
                names.tolist(), serials.tolist(), table["frame_idx"][rows].tolist(), strict=True
            )
        ]

    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row; see the table in `dfmamba.datasets.base`."""
        table = self.index.columns
        sequence, camera, frame = int(table["sequence"][row]), int(table["camera"][row]), int(table["frame_idx"][row])
        joints_cam, image_id = np.array(table["joints_cam_mm"][row]), int(table["image_id"][row])
        sides = np.arange(len(SIDES)) == table["sequence_side"][sequence]  # [right, left]
        return build_sample(
            joints_cam,
            np.ones(ONE_HAND.num_joints, dtype=bool),
            root_depth_mm=joints_cam[WRIST, 2],
            abs_depth_mm=sides * joints_cam[WRIST, 2],
            focal_px=table["focal_px"][camera],
            principal_point_px=table["principal_point_px"][camera],
            hand_type=sides,
            bbox_xyxy=xywh_to_xyxy(table["bbox_xywh"][row]),
            image_size=IMAGE_SIZE,
            img_id=image_id,
            id=image_id,
            seq_name=table["sequence_name"][sequence].decode(),
            camera=table["serial"][camera].decode(),
            capture=int(table["sequence_number"][sequence]),
            subject=int(table["sequence_subject"][sequence]),
            frame_idx=frame,
        )
