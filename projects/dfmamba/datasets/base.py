"""What all data sets share: the sample contract, clear errors about files, and the counting of skipped samples.

The sample contract. Every adapter gives dictionaries with these keys to the pipeline. K is the number of joints in
canonical order (`dfmamba.skeleton`); the leading axis of 1 is mmpose's instance axis. The names are those of mmpose's
own `InterHand3DDataset`, so that its heads, codecs and metrics work on our samples.

    key                 shape, type         meaning
    img_path            str                 path of the image; `HandDataset` adds it, from `image_names`
    image_size          (2,) int32          width and height in px that the annotations belong to, 0 (or no such key)
                                            where unknown; compared with the image's when it is loaded, after its
                                            EXIF orientation, as OpenCV and mmcv load colour images
    img_id, id          int                 number of the image, and of the annotation
    dataset_name        str                 name of the data set
    seq_name, camera    str                 recording and camera
    capture, subject    int                 recording session and person
    frame_idx           int                 number of the frame in its recording
    keypoints           (1, K, 3) float32   image u px, v px, and z in mm relative to the root of the joint's own hand
    keypoints_cam       (1, K, 3) float32   absolute camera-space joints in mm
    root_depth          (K,) float32        camera depth in mm that z of `keypoints` is relative to; 0 without a root
    keypoints_visible   (1, K) float32      1 where joint and root are annotated (not: seen), else 0
    hand_type           (1, 2) float32      [right, left], 1 where the hand is there; both for two hands
    hand_type_valid     (1,) float32        1 where `hand_type` may be used as a label
    rel_root_depth      (1,) float32        depth of the left root minus that of the right root in mm
    rel_root_valid      (1,) float32        1 where both roots are annotated
    abs_depth           (2,) float32        [right, left] root depth in mm for back-projection (true, or RootNet's)
    depth_known         (2,) float32        [right, left], 0 where z of that hand's `keypoints` is not known; a data
                                            set that knows all depths has no such key
    space_known         (2,) float32        [right, left], 0 where that hand's `keypoints_cam` are a stand-in; in the
                                            same way
    focal, principal_pt (2,) float32        camera intrinsics in px
    bbox                (1, 4) float32      x0, y0, x1, y1 in px, before the crop's enlargement
    bbox_score          (1,) float32        1
    rotation            int                 0
    flip_indices, ...                       metainfo that mmpose's transforms ask for, see `METAINFO_KEYS`

Where `keypoints_visible` is 0, `keypoints` and `keypoints_cam` are 0; so are `abs_depth` and `root_depth` of a hand
without a root. `keypoints_cam` is x right, y down, z forward, and Z = keypoints[..., 2] + root_depth. The root is the
wrist of the joint's own hand; of NYU it is the center of the crop, for all joints.
"""

import copy
import json
import os
import pickle
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from mmengine.dataset import BaseDataset, Compose, force_full_init
from mmengine.logging import MMLogger
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from numpy.typing import NDArray

from dfmamba.datasets.annotation_index import AnnotationColumns, Index, open_index
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.skipped_samples import (
    IMAGE_DAMAGED,
    IMAGE_MISSING,
    PIPELINE,
    SkippedSamples,
    describe_skipped,
)
from dfmamba.io.files import describe_usage
from dfmamba.io.images import (
    ImageError,
    check_decoded_image,
    check_image_content,
    check_image_file,
    check_image_size,
    check_lossless,
)
from dfmamba.io.regular_files import check_regular

LOGGED_FAULTS = 5  # faulty images that are named in the log, of each data set
METAINFO_KEYS = (
    "dataset_name",
    "upper_body_ids",
    "lower_body_ids",
    "flip_pairs",
    "flip_indices",
    "dataset_keypoint_weights",
    "skeleton_links",
)
MISSING_IMAGE_POLICIES = ("raise", "skip")
UNKNOWN_SIZE = (0, 0)


class CheckedPipeline(Compose):
    """Transforms, one after the other; the image is looked at as soon as one of them has loaded it.

    Raises:
        ImageError: A part of it is missing, see `check_decoded_image`.
    """

    def __call__(self, data: dict[str, Any]) -> Any:
        """Return what the last transform returns; None as soon as one returns None."""
        path, is_loaded = data["img_path"], "img" in data
        for transform in self.transforms:
            data = transform(data)
            if data is None:
                return None
            if not is_loaded and isinstance(data.get("img"), np.ndarray):
                check_decoded_image(path, data["img"])
                is_loaded = True
        return data


class HandDataset(BaseDataset):
    """Base of the adapters: rows of a table that become samples one at a time.

    An adapter says what it holds (`METAINFO`, `EXPECTED_LAYOUT`), opens the index of its annotations
    (`load_annotations`, which calls `open_index`), names the images of rows (`image_names`) and makes the sample of one
    row (`make_sample`). The index is mapped from the disk and shared by all processes, so millions of records open at
    once and cost the workers of a data loader no memory.

    `metainfo` also holds `data_source` for checkpoints and result files: annotation file, number of samples, selection,
    what the adapter adds, and a `fingerprint` of all that, which the log repeats. To join data sets with mmengine's
    `ConcatDataset`, give it `ignore_keys=['data_source']`.

    Args:
        data_root: Folder that the other paths are relative to.
        ann_file: Annotation file; an empty string where an adapter does not need it.
        data_prefix: `img` is the folder of the images.
        pipeline: Transforms.
        sample_interval: Use every so-many-th sample.
        indices: Truncate after that: that many first samples (the last, if negative), or the samples with these
            numbers. It is logged.
        test_mode: Fail where a pipeline returns no sample, instead of taking another one.
        lazy_init: Do not read the annotations yet.
        max_refetch: How often to try another sample in training where one is left out; then it is an error.
        metainfo: Replaces the class's `METAINFO` (the form mmpose documents in `parse_pose_metainfo`).
        faulty: 'raise' stops at a faulty record or image; 'skip' leaves faulty records out, and in training takes
            another sample for a missing or broken image; both are counted and logged (the samples by
            `count_skipped_samples`, over all workers). In test mode a broken image is an error in any case.
        missing_images: 'raise' stops at the first image that is not there, and counts how many are not; 'skip' leaves
            out the samples whose image file is missing when the annotations are opened, and counts them.
        cache_dir: Folder of the annotation indices, see `dfmamba.datasets.annotation_index`.
        verify_index: Compare a stored index with its checksums when it is opened, however large it is (small ones are
            compared in any case); a damaged one is rebuilt.

    Raises:
        FileNotFoundError: A file or the image folder does not exist.
        ValueError: An argument is not usable, a file is faulty, or no sample is left.
    """

    PUBLISHED_RECORDS: ClassVar[Mapping[str, int]] = {}  # by split; records that are used and skipped, together
    UNCOUNTED: ClassVar[frozenset[str]] = frozenset()  # reasons to skip records that the published numbers leave out
    EXPECTED_LAYOUT: ClassVar[str] = ""  # what `data_root` should hold, 5 to 8 lines, shown when a file is missing
    LOSSLESS_IMAGES: ClassVar[bool] = False  # whether the bytes of the images are numbers, see `check_lossless`
    _fully_initialized: bool = False
    _metainfo: dict[str, Any]
    _pickled_metainfo: bytes  # what goes into every sample; copied five times faster than by `copy.deepcopy`

    def __init__(
        self,
        data_root: str = "",
        ann_file: str = "",
        data_prefix: Mapping[str, str] | None = None,
        pipeline: Sequence[dict[str, Any] | Callable[[dict[str, Any]], Any]] = (),
        sample_interval: int = 1,
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        lazy_init: bool = False,
        max_refetch: int = 1000,
        metainfo: dict[str, Any] | None = None,
        faulty: str = "raise",
        missing_images: str = "raise",
        cache_dir: str | None = None,
        verify_index: bool = False,
    ) -> None:
        if not isinstance(sample_interval, int) or sample_interval < 1:
            raise ValueError(f"sample_interval: expected a positive integer, got {sample_interval!r}")
        if missing_images not in MISSING_IMAGE_POLICIES:
            raise ValueError(f"missing_images: expected one of {MISSING_IMAGE_POLICIES}, got {missing_images!r}")
        self.sample_interval, self.missing_images = sample_interval, missing_images
        self.faulty, self.cache_dir, self.verify_index = faulty, cache_dir, verify_index
        RecordErrorPolicy(faulty)  # refuses an unknown policy
        self.rows: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.skipped: dict[str, int] = {}  # how many records are left out, by reason
        self.num_records = 0  # in the annotations, whether used or skipped
        self.skipped_samples = SkippedSamples(0)  # while loading; by row
        self.opened: list[Index] = []  # by `open_index`
        self._missing_counts: tuple[int, int] | None = None  # missing images and all, once it has been asked for
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix=dict(data_prefix or {"img": ""}),
            indices=indices,
            serialize_data=False,
            pipeline=list(pipeline),
            test_mode=test_mode,
            lazy_init=lazy_init,
            max_refetch=max_refetch,
        )
        self.pipeline: CheckedPipeline = CheckedPipeline(self.pipeline.transforms)

    @abstractmethod
    def load_annotations(self) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Open the index; return the rows that this data set uses, and counts of the skipped by reason."""

    @abstractmethod
    def make_sample(self, row: int) -> dict[str, Any]:
        """Make the sample of a row, as in the module's table but without metainfo and, mostly, `img_path`."""

    def image_names(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the names of the images of some rows, relative to `data_prefix['img']`, with `/` between their parts.

        Adapters say so without making the samples, for it is asked for all rows at once. This is for those whose
        `make_sample` gives `img_path`.
        """
        return [str(Path(self.make_sample(int(row))["img_path"]).absolute()) for row in rows]

    def open_index(
        self,
        layout: str,
        version: int,
        sources: Sequence[Path],
        build: Callable[[], AnnotationColumns],
        options: Mapping[str, str | int | float | bool] = MappingProxyType({}),
    ) -> Index:
        """Return the index of annotation files; its digest becomes part of `describe_source`.

        Args:
            layout: Name of the parser.
            version: Version of the parser; another one makes old indices useless.
            sources: Files whose content decides, or folders whose listing (names, sizes, times of change) does.
            build: Calls the parser; only called if there is no index yet. Faulty records belong to
                `RecordErrorPolicy(self.faulty)`.
            options: The arguments that change the rows; `faulty` is added.
        """
        index = open_index(
            layout,
            version,
            sources,
            build,
            {**options, "faulty": self.faulty},
            self.cache_dir,
            self.verify_index or None,
        )
        self.opened.append(index)
        return index

    def describe_source(self) -> dict[str, Any]:
        """Return what a result file should say about the data; adapters add to it.

        `digest` changes with any entry of the annotations, whichever of them are used.
        """
        digests = [index.digest for index in self.opened]
        digest = digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()
        return {
            "dataset": type(self).__name__,
            "ann_file": self.ann_file,
            "num_samples": len(self.rows),
            "sample_interval": self.sample_interval,
            "indices": self._indices,
            "digest": digest[:16],
        } | ({"missing_images": self.skipped.get(IMAGE_MISSING, 0)} if self.missing_images == "skip" else {})

    def full_init(self) -> None:
        """Read the annotations and select the samples, once."""
        if self._fully_initialized:
            return
        self.require("data_prefix['img']", self.data_prefix["img"])
        self.opened = []
        rows, skipped = self.load_annotations()
        if self.missing_images == "skip":
            present = self.images_present(rows)
            rows, skipped = rows[present], skipped | {IMAGE_MISSING: int((~present).sum())}
        total = len(rows)
        self.skipped = {reason: count for reason, count in skipped.items() if count}
        self.num_records = total + sum(skipped.values())
        logger = MMLogger.get_current_instance()
        logger.info(describe_usage(type(self).__name__, total, skipped))
        self.rows = np.asarray(rows, dtype=np.int64)[:: self.sample_interval]
        self.skipped_samples = SkippedSamples(int(self.rows.max(initial=-1)) + 1)
        if self._indices is not None:
            self.rows = self._select(self._indices)
        if len(self.rows) == 0:
            raise ValueError(
                f"{type(self).__name__}: expected at least one sample, got none: "
                f"{describe_usage(str(self.ann_file), total, skipped)}; "
                f"sample_interval={self.sample_interval}, indices={self._indices}"
            )
        if len(self.rows) < total:
            logger.info(
                f"{type(self).__name__}: sample_interval={self.sample_interval}, indices={self._indices} "
                f"select {len(self.rows)} of {total} samples"
            )
        self._metainfo["data_source"] = self._source_with_fingerprint()
        logger.info(f"{type(self).__name__}: data fingerprint {self._metainfo['data_source']['fingerprint']}")
        self._pickled_metainfo = pickle.dumps({key: self._metainfo[key] for key in METAINFO_KEYS})
        self._fully_initialized = True

    def _source_with_fingerprint(self) -> dict[str, Any]:
        """Return `describe_source` with a short text that changes with the annotations, the options and the samples.

        Where the files lie does not matter: equal fingerprints on two machines mean equal data.
        """
        source = self.describe_source()
        options = {key: value for key, value in source.items() if key not in ("ann_file", "indices")}
        content = json.dumps(options, sort_keys=True, default=str).encode() + self.rows.astype("<i8").tobytes()
        return source | {"fingerprint": f"{self._metainfo['dataset_name']}-{sha256(content).hexdigest()[:12]}"}

    def published_records(self) -> int | None:
        """Return how many records the published split has, to see whether a copy is whole; None where nobody says."""
        return self.PUBLISHED_RECORDS.get(getattr(self, "split", ""))

    def read_image_points(self, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Read where the files say that the joints of some samples are in the image; NaN where they do not say it.

        The samples do not need it, for it follows from the joints in space and the camera. So it tells `check_data`
        whether camera, frame and order of the joints are right. Adapters fill in what their files have.

        Returns:
            (n, K, 2) px.

        Raises:
            ValueError: A file is damaged.
        """
        return np.full((len(samples), samples[0]["keypoints"].shape[1], 2), np.nan)

    def joint_orders(self) -> Mapping[str, tuple[int, ...]]:
        """Return the orders that the joints of the files may be in instead, which `check_data` tries.

        Returns:
            What to say of each, and the permutation (21,) that puts the joints of a hand right; empty where the layout
            is fixed, and then the usual mistakes are tried.
        """
        return {}

    def needed_paths(self) -> dict[str, Path]:
        """Return the files and folders that must be there, by the argument that they come from; adapters add to it."""
        return {"data_prefix['img']": Path(self.data_prefix["img"])}

    def _select(self, indices: int | Sequence[int]) -> NDArray[np.int64]:
        """Return the rows that `indices` names."""
        if isinstance(indices, int):
            return self.rows[:indices] if indices >= 0 else self.rows[indices:]
        if any(not -len(self.rows) <= index < len(self.rows) for index in indices):
            raise ValueError(f"indices: expected numbers below {len(self.rows)}, the number of samples, got {indices}")
        return self.rows[np.asarray(indices, dtype=np.int64)]

    @force_full_init
    def __len__(self) -> int:
        return len(self.rows)

    @force_full_init
    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return sample number `idx` before the pipeline, with the metainfo that mmpose's transforms ask for.

        Raises:
            ValueError: The annotation index is damaged.
        """
        row = int(self.rows[idx])
        for index in self.opened:
            index.check_lengths()
        try:
            sample = self.make_sample(row)
            if "img_path" not in sample:
                name = self.image_names(self.rows[idx][None])[0]
                sample["img_path"] = str(Path(self.data_prefix["img"]) / name)
        except (IndexError, UnicodeDecodeError) as error:  # a number or name that no parser wrote
            places = ", ".join(str(index.folder or "memory") for index in self.opened)
            raise ValueError(
                f"{type(self).__name__}: row {row} of the annotation index cannot be read ({error}): the "
                f"index is damaged: {places}. Start again with verify_index=True, which rebuilds it."
            ) from error
        sample["sample_idx"] = idx if idx >= 0 else len(self) + idx
        return sample | pickle.loads(self._pickled_metainfo)  # a copy, which transforms may change

    @force_full_init
    def get_subset_(self, indices: int | Sequence[int]) -> None:
        """Keep only the samples that `indices` names (an integer: that many from the start)."""
        self.rows = self._select(indices)
        self._metainfo = self._metainfo | {"data_source": self._source_with_fingerprint()}

    @force_full_init
    def get_subset(self, indices: int | Sequence[int]) -> "HandDataset":
        """Return a data set with the samples that `indices` names; it shares the arrays."""
        subset = copy.copy(self)
        subset.get_subset_(indices)
        return subset

    @force_full_init
    def __getitem__(self, idx: int) -> Any:
        """Return sample number `idx` after the pipeline; in training another one, drawn by lot, if it is left out.

        Raises:
            ValueError: No sample can be used; or see `prepare_data`.
            FileNotFoundError: See `prepare_data`.
        """
        if self.test_mode:
            if (data := self.prepare_data(idx)) is None:
                raise ValueError(
                    f"{type(self).__name__}: sample {idx}: expected a sample from the pipeline, got None, "
                    "and none may be left out in test mode"
                )
            return data
        for _ in range(self.max_refetch + 1):
            if (data := self.prepare_data(idx)) is not None:
                return data
            idx = self._rand_another()
        raise ValueError(
            f"{type(self).__name__}: expected a sample that can be used, got none in "
            f"{self.max_refetch + 1} tries: {describe_skipped(len(self), self.count_skipped_samples())}. "
            "Look at the images and the pipeline; tools/check_data.py names the first faulty files"
        )

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on sample number `idx`.

        Returns:
            What the pipeline returns; None where the image is faulty, `faulty` is 'skip' and it is not test mode.

        Raises:
            FileNotFoundError: The image does not exist.
            ImageError: The image cannot be used: not whole, or of another size than `image_size`.
        """
        sample = self.get_data_info(idx)
        image = sample["img_path"], sample["id"], sample.get("image_size", UNKNOWN_SIZE)  # transforms may change them
        image_error = self.find_image_error(*image)
        if image_error is None:
            try:
                return self._count_if_none(idx, self.pipeline(sample))
            except ImageError as error:
                image_error = _name_record(error, image[1])
            except Exception as error:
                image_error = self.find_image_error(*image, decode=True)
                if image_error is None:  # the pipeline's own
                    raise
                image_error.__cause__ = error
        if self.test_mode or self.faulty == "raise":
            raise image_error
        missing = isinstance(image_error, FileNotFoundError)
        reason = IMAGE_MISSING if missing else getattr(image_error, "reason", IMAGE_DAMAGED)
        number = self.skipped_samples.add(int(self.rows[idx]), reason)
        if 0 < number <= LOGGED_FAULTS:
            more = "; further ones are only counted" if number == LOGGED_FAULTS else ""
            MMLogger.get_current_instance().warning(f"skipped a sample with a faulty image: {image_error}{more}")
        return None

    def _count_if_none(self, idx: int, data: Any) -> Any:
        """Count a sample of which the pipeline leaves nothing; return what it returned."""
        if data is None:
            self.skipped_samples.add(int(self.rows[idx]), PIPELINE)
        return data

    @force_full_init
    def count_skipped_samples(self) -> dict[str, int]:
        """Return how many samples were left out at least once while loading, by reason, in all processes here."""
        return self.skipped_samples.count(self.rows)

    def find_image_error(
        self,
        img_path: str,
        record: int,
        image_size: Sequence[int] | NDArray[np.integer] = UNKNOWN_SIZE,
        decode: bool = False,
    ) -> Exception | None:
        """Return an error that names file and record if an image cannot be used.

        Args:
            img_path: Of the sample.
            record: The sample's `id`, for the message.
            image_size: Of the sample; 0 is not compared.
            decode: Find damage inside, too, see `dfmamba.io.images`.
        """
        try:
            header = check_image_file(img_path)
            check_image_size(img_path, header, image_size)
            if self.LOSSLESS_IMAGES:
                check_lossless(img_path, header)
            if decode:
                check_image_content(img_path)
        except (FileNotFoundError, NotADirectoryError):
            return self._missing_image(img_path, record)
        except (ImageError, OSError) as error:
            return _name_record(error, record)
        return None

    def images_present(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for which rows (n,) there is a file of the image's name. Folders are listed, each once: 1 s a million."""
        listings: dict[str, set[str]] = {}
        present = np.zeros(len(rows), dtype=np.bool_)
        for number, name in enumerate(self.image_names(rows)):
            folder, _, file_name = name.rpartition("/")
            if folder not in listings:
                listings[folder] = _list_files(Path(self.data_prefix["img"]) / folder)
            present[number] = file_name in listings[folder]
        return present

    @force_full_init
    def check_images_present(self, max_headers: int = 200) -> None:
        """Look at the images before hours of training: all are there, and some, evenly spread, can be used.

        Args:
            max_headers: How many are looked at; each takes about 0.1 ms.

        Raises:
            FileNotFoundError: An image is missing; the message counts how many are.
            ImageError: One is of an unknown format, cut short, or of another size than annotated.
        """
        missing = np.flatnonzero(~self.images_present(self.rows))
        some = np.linspace(0, len(self) - 1, min(max_headers, len(self))).round().astype(int)
        for number in [*missing[:1], *np.unique(some)]:
            sample = self.get_data_info(int(number))
            image_error = self.find_image_error(
                sample["img_path"], sample["id"], sample.get("image_size", UNKNOWN_SIZE)
            )
            if image_error is not None:
                raise image_error

    def _missing_image(self, img_path: str, record: int) -> FileNotFoundError:
        """Return the error for an image that is not there, which says how many are not."""
        if self._missing_counts is None:
            row_of_image = dict(zip(self.image_names(self.rows), self.rows.tolist(), strict=True))  # each image once
            rows = np.array(list(row_of_image.values()), dtype=np.int64)
            self._missing_counts = int((~self.images_present(rows)).sum()), len(rows)
        missing, total = self._missing_counts
        return self._not_found(
            "data_prefix['img']",
            Path(img_path).absolute(),
            f"the image of record {record}; {missing} of {total} images are missing",
            "To keep only the samples whose image is there, set missing_images='skip', for example with "
            "--cfg-options test_dataloader.dataset.missing_images=skip\n",
        )

    def require(self, config_key: str, path: str | Path, what: str = "") -> Path:
        """Return an absolute path that exists.

        Args:
            config_key: The argument of the data set that led to the path, for the message.
            path: The path, already joined to `data_root`.
            what: More about the file, for the message.

        Raises:
            FileNotFoundError: There is no such file or folder; the message shows the expected tree.
            ValueError: It is a pipe, a socket or a device.
        """
        full = Path(path).absolute()
        if not full.exists():
            raise self._not_found(config_key, full, what)
        check_regular(full)
        return full

    def _not_found(self, config_key: str, path: Path, what: str, advice: str = "") -> FileNotFoundError:
        """Return the error for a file or folder that is not there."""
        return FileNotFoundError(
            f"{type(self).__name__}: no such file or folder: {path}"
            + (f" ({what})" if what else "")
            + f"\nIt comes from the configuration key {config_key}, data_root={self.data_root!r}. "
            f"{advice}Expected below data_root:\n{self.EXPECTED_LAYOUT}"
        )

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return parse_pose_metainfo(dict(metainfo or cls.METAINFO))


def _name_record(error: Exception, record: int) -> Exception:
    """Return an error of an image that says whose image it is."""
    return type(error)(f"the image of record {record}: {error}")


def _list_files(folder: Path) -> set[str]:
    """Return the names of what is in a folder; none if it does not exist."""
    try:
        return set(os.listdir(folder))  # noqa: PTH208, names are enough
    except (FileNotFoundError, NotADirectoryError):
        return set()
