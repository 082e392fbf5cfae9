"""3D joints of the hands in pictures, from a config and a checkpoint."""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import MMLogger
from mmpose.apis import init_model
from mmpose.structures import PoseDataSample
from numpy.typing import ArrayLike, NDArray

from dfmamba.apis.packed_model import open_packed_model
from dfmamba.apis.pictures import Picture, Source, read_pictures
from dfmamba.apis.results import Array, Detection, HandJoints, PictureHands
from dfmamba.apis.smoothing import HandSmoother, OneEuro
from dfmamba.datasets.sample import lift
from dfmamba.engine.checkpoint_file import open_checkpoint, require_checkpoint
from dfmamba.engine.config import load_config
from dfmamba.engine.weights import load_weights
from dfmamba.errors import UserError
from dfmamba.geometry import tight_box
from dfmamba.models.folding import fold_for_inference
from dfmamba.skeleton import ONE_HAND, RIGHT, SIDES, TWO_HANDS, hand_slice, skeleton_with

BOX_SCALE = 1.2  # of the box of the joints found: hands have flesh, and joints of a first pass are not exact
MIN_BOX_PX = 48.0  # of the box of the joints found: what is smaller shows no joints
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
Detector = Callable[[NDArray[Any]], ArrayLike]
Loaded = tuple[Picture, NDArray[Any]]
Boxes = ArrayLike | Sequence[ArrayLike] | Detector | None


@dataclass(frozen=True)
class Camera:
    """What is known of the camera; with the depths of the roots, joints come out in camera space.

    Attributes:
        focal_px: Focal lengths in x and y, px.
        principal_point_px: Principal point, px.
        root_depth_mm: Depth of the root: one number, or [right, left]; None where it is not known.
    """

    focal_px: tuple[float, float]
    principal_point_px: tuple[float, float]
    root_depth_mm: float | tuple[float, float] | None = None


class HandPoseInferencer:
    """Finds the joints of one or two hands in pictures.

    Without boxes the whole picture is looked at first, and then the box of the joints found; in a video, the box of the
    joints of the frame before.

    Args:
        config: A config file of this repository, or its content; or a folder that `tools/pack_model.py` has written,
            which has its own weights. None takes the model in the box.
        checkpoint: What `tools/train.py` has written for the config; None leaves random weights, for tests alone.
        device: 'cpu', 'cuda', 'cuda:1'; None takes a GPU where torch sees one.
        hand_side: For models of one hand: 'right' or 'left'.
        bone_length_mm: For DetNet's: length of the bone wrist-middle1; 86 mm is taken where nothing is said.
        center_depth_mm: For NYU's: depth of the hand's center.
        min_presence: Hands that are less probable are left out, where the model says how probable they are.
        precision: 'float32', or 'bfloat16' or 'float16', in which a GPU is faster.
        compiled: Compile the model with torch.compile, for many pictures on a GPU.
        cfg_options: What is changed in the config, `KEY=VALUE`.

    Raises:
        FileNotFoundError: There is no such config or checkpoint.
        DataError: A packed model is damaged.
        ConfigError: The config is wrong, or the checkpoint belongs to another one.
        UserError: An argument is not usable.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Config | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        *,
        device: str | None = None,
        hand_side: str | None = None,
        bone_length_mm: float | None = None,
        center_depth_mm: float | None = None,
        min_presence: float = 0.5,
        precision: str = "float32",
        compiled: bool = False,
        cfg_options: Sequence[str] = (),
    ) -> None:
        if precision not in PRECISIONS:
            raise UserError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
        if hand_side not in (None, *SIDES):
            raise UserError(f"hand_side: expected {' or '.join(SIDES)}, got {hand_side!r}")
        if config is None and checkpoint is not None:
            raise UserError(f"config: expected that of the checkpoint {checkpoint}, got none")
        packed = None
        if config is None or (not isinstance(config, Config) and Path(config).is_dir()):
            packed = open_packed_model() if config is None else open_packed_model(Path(config))
            config, checkpoint = packed.config, packed.weights
        self.card = None if packed is None else packed.card
        if packed is not None:
            MMLogger.get_current_instance().info(packed.describe())
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = PRECISIONS[precision]
        settings = copy.deepcopy(config) if isinstance(config, Config) else load_config(config, cfg_options)
        content = None if checkpoint is None else open_checkpoint(require_checkpoint(os.fspath(checkpoint)))
        model = init_model(settings, None, device="cpu")
        if content is None:
            MMLogger.get_current_instance().warning("no checkpoint: the weights are random, the joints mean nothing")
        else:
            load_weights(model, content, str(checkpoint), whole=True)
            model.dataset_meta = content.get("meta", {}).get("dataset_meta") or model.dataset_meta
        said = {"hand_side": hand_side, "bone_length": bone_length_mm, "center_depth": center_depth_mm}
        self.metainfo = {**model.dataset_meta, **{key: value for key, value in said.items() if value is not None}}
        self.reads_files = settings.test_dataloader.dataset.pipeline[0]["type"] != "LoadImage"  # depth, with checks
        self.pipeline = Compose(settings.test_dataloader.dataset.pipeline)
        self.hand_side = hand_side or SIDES[RIGHT]
        self.min_presence = min_presence
        self.says_presence = getattr(model.head, "hand_presence", None) is not None
        model = model.to(self.device).eval()
        if self.device.type == "cpu" and self.precision is None:
            model = fold_for_inference(model)
        if compiled:
            model.backbone = torch.compile(model.backbone)
        self.model = model

    def __call__(
        self,
        source: Source | Iterable[Source],
        boxes: Boxes = None,
        *,
        camera: Camera | None = None,
        batch_size: int = 8,
        smoothing: OneEuro | None = None,
    ) -> list[PictureHands]:
        """Return the hands of all pictures; arguments and errors are those of `stream`."""
        return list(self.stream(source, boxes, camera=camera, batch_size=batch_size, smoothing=smoothing))

    def stream(
        self,
        source: Source | Iterable[Source],
        boxes: Boxes = None,
        *,
        camera: Camera | None = None,
        batch_size: int = 8,
        smoothing: OneEuro | None = None,
    ) -> Iterator[PictureHands]:
        """Yield the hands of one picture after the other.

        Args:
            source: See `read_pictures`.
            boxes: (N, 4) or (N, 5) for one picture: x0, y0, x1, y1 in px, and a score; a list of these, one for each
                picture; or a function that takes the pixels (BGR) and returns them. None looks at the whole picture.
            camera: Of all pictures.
            batch_size: Boxes that go through the model together, at most.
            smoothing: Of the joints in videos, such as `OneEuro()`.

        Raises:
            FileNotFoundError, DataError, ImageError: See `read_pictures`.
            UserError: A box has no area or lies beside the picture; there are more or fewer of them than pictures.
        """
        if batch_size < 1:
            raise UserError(f"batch_size: expected 1 or more, got {batch_size}")
        before: PictureHands | None = None
        count = 0
        smooth = HandSmoother(smoothing) if smoothing else None
        for read in _groups(((picture, picture.read()) for picture in read_pictures(source)), batch_size):
            group, pixels = [picture for picture, _ in read], [image for _, image in read]
            sizes = [(one.shape[1], one.shape[0]) for one in pixels]
            wanted: list[Array | None] = []
            for picture, image, size in zip(group, pixels, sizes, strict=True):
                given = _given(boxes, count + len(wanted), image)
                if given is not None:
                    wanted.append(_checked(given, size, picture.name))
                elif picture.is_frame and before is not None and before.size == size and before.hands:
                    wanted.append(_boxes_around(before.detections, size))
                else:
                    wanted.append(None)
            unknown = [number for number, one in enumerate(wanted) if one is None]
            whole = [np.array([[0, 0, *sizes[number], 1]], dtype=np.float32) for number in unknown]
            first = self._detect([group[n] for n in unknown], [pixels[n] for n in unknown], whole, camera, batch_size)
            for number, found in zip(unknown, first, strict=True):
                wanted[number] = _boxes_around(found, sizes[number])
            second = self._detect(group, pixels, [one for one in wanted if one is not None], camera, batch_size)
            for picture, size, detections in zip(group, sizes, second, strict=True):
                before = PictureHands(picture, size, detections)
                yield smooth(before) if smooth else before
            count += len(group)
        if isinstance(boxes, Sequence) and not _is_of_one_picture(boxes) and len(boxes) != count:
            raise UserError(f"boxes: expected one array for each of {count} pictures, got {len(boxes)}")

    def _detect(
        self,
        pictures: Sequence[Picture],
        pixels: Sequence[NDArray[Any]],
        boxes: Sequence[Array],
        camera: Camera | None,
        batch_size: int,
    ) -> list[tuple[Detection, ...]]:
        """Return for each picture what is in its boxes (N, 5)."""
        meta: dict[str, Any] = dict(self.metainfo)
        if camera is not None:
            meta["focal"] = np.array(camera.focal_px, dtype=np.float32)
            meta["principal_pt"] = np.array(camera.principal_point_px, dtype=np.float32)
        inputs = []
        for picture, image, of_picture in zip(pictures, pixels, boxes, strict=True):
            as_file = self.reads_files and picture.path is not None
            entry: dict[str, Any] = {"img_path": str(picture.path)} if as_file else {"img": image}
            for box in of_picture:
                inputs.append(self.pipeline({**entry, "bbox": box[None, :4], "bbox_score": box[None, 4], **meta}))
        samples: list[PoseDataSample] = []
        casts = torch.autocast(self.device.type, self.precision) if self.precision else nullcontext()
        with torch.no_grad(), casts:
            for start in range(0, len(inputs), batch_size):
                samples += self.model.test_step(pseudo_collate(inputs[start : start + batch_size]))
        left = iter(samples)
        return [
            tuple(Detection(box[:4], float(box[4]), self._hands(next(left), camera)) for box in of_picture)
            for of_picture in boxes
        ]

    def _hands(self, sample: PoseDataSample, camera: Camera | None) -> tuple[HandJoints, ...]:
        """Return the hands of a prediction: those that the model predicts."""
        found = sample.pred_instances
        joints, scores = found.keypoints[0], found.keypoint_scores[0]
        relative = found.keypoints_cam[0] if "keypoints_cam" in found else None
        absolute = None
        if camera is not None and camera.root_depth_mm is not None:
            depths = np.broadcast_to(camera.root_depth_mm, len(SIDES))
            absolute = lift(joints, depths, camera.focal_px, camera.principal_point_px)
        blocks: list[tuple[str | None, bool, float | None, slice]]
        is_one_of_two = sample.metainfo.get("one_of_two_hands", False)
        if len(joints) == TWO_HANDS.num_joints:
            presence = [float(probability) for probability in found.hand_type[0]]
            least = self.min_presence if self.says_presence else 1.0
            blocks = [
                (side, bool(is_one_of_two), probability if self.says_presence else None, hand_slice(number))
                for number, (side, probability) in enumerate(zip(SIDES, presence, strict=True))
                if probability >= least
            ]
        else:
            side = self.hand_side if len(joints) == ONE_HAND.num_joints else None
            blocks = [(side, side is not None, None, slice(None))]
        return tuple(
            _hand(side, assumed, presence, joints[part], scores[part], _part(relative, part), _part(absolute, part))
            for side, assumed, presence, part in blocks
        )


def _hand(
    side: str | None,
    is_assumed: bool,
    presence: float | None,
    joints: Array,
    scores: Array,
    relative: Array | None,
    absolute: Array | None,
) -> HandJoints:
    skeleton = skeleton_with(len(joints))
    if relative is None and absolute is not None and skeleton.roots:
        relative = absolute - absolute[skeleton.roots[0]]
    return HandJoints(
        side=side,
        side_is_assumed=is_assumed,
        presence=presence,
        skeleton=skeleton,
        root=skeleton.names[skeleton.roots[0]] if skeleton.roots else "center",
        keypoints_px=_float32(joints[:, :2]),
        depth_mm=_float32(joints[:, 2]),
        scores=_float32(scores),
        keypoints_mm=None if relative is None else _float32(relative),
        keypoints_cam_mm=None if absolute is None else _float32(absolute),
    )


def _float32(values: ArrayLike) -> Array:
    return np.array(values, dtype=np.float32)


def _part(values: NDArray[Any] | None, block: slice) -> NDArray[Any] | None:
    return None if values is None else values[block]


def _groups(pictures: Iterable[Loaded], size: int) -> Iterator[list[Loaded]]:
    """Yield pictures in groups; a frame ends its group, as the next one needs what was found there."""
    group: list[Loaded] = []
    try:
        for picture, pixels in pictures:
            group.append((picture, pixels))
            if picture.time_s is not None or len(group) == size:
                yield group
                group = []
    except Exception:  # of a picture that cannot be read: what comes before it is not lost
        if group:
            yield group
        raise
    if group:
        yield group


def _boxes_around(detections: Sequence[Detection], size: tuple[int, int]) -> Array:
    """Return a box (N, 5) around the joints of each detection."""
    return np.stack([_box_of(one.hands, size) for one in detections])


def _box_of(hands: Sequence[HandJoints], size: tuple[int, int]) -> Array:
    """Return the box (5,) around joints, larger by `BOX_SCALE`, cut to the picture; the whole picture without any."""
    if not hands:
        return np.array([0, 0, *size, 1], dtype=np.float32)
    points = np.concatenate([hand.keypoints_px for hand in hands])
    tight = tight_box(points, np.ones(len(points)), BOX_SCALE)
    center, half = tight[:2] + tight[2:] / 2, np.maximum(tight[2:], MIN_BOX_PX) / 2
    box = np.array([*np.maximum(center - half, 0), *np.minimum(center + half, size)])
    if not np.isfinite(box).all() or (box[2:] - box[:2] < 1).any():
        box = np.array([0, 0, *size])
    return np.array([*box, 1], dtype=np.float32)


def _is_of_one_picture(boxes: Any) -> bool:
    """Say whether these are the boxes of one picture, not a list of such."""
    try:
        return np.asarray(boxes, dtype=np.float64).ndim <= 2
    except (TypeError, ValueError):
        return False


def _given(boxes: Any, number: int, pixels: NDArray[Any]) -> Any:
    """Return the boxes that are given for a picture, or None."""
    if boxes is None:
        return None
    if callable(boxes):
        return boxes(pixels)
    if _is_of_one_picture(boxes):
        if number > 0:
            raise UserError("boxes: expected a list with one array for each picture, got those of one picture")
        return boxes
    if number >= len(boxes):
        raise UserError(f"boxes: expected one array for each picture, got {len(boxes)}")
    return boxes[number]


def _checked(boxes: ArrayLike, size: tuple[int, int], name: str) -> Array:
    """Return boxes (N, 5) with a score.

    Raises:
        UserError: They have another shape, no area, or lie beside the picture.
    """
    array = np.atleast_2d(np.asarray(boxes, dtype=np.float32))
    if array.size == 0:
        return np.zeros((0, 5), dtype=np.float32)
    if array.ndim != 2 or array.shape[1] not in (4, 5) or not np.isfinite(array).all():
        raise UserError(f"{name}: expected boxes (N, 4) of finite x0, y0, x1, y1 in px, got shape {array.shape}")
    low, high = array[:, :2], array[:, 2:4]
    wrong = (high - low < 1).any(axis=1) | (high <= 0).any(axis=1) | (low >= size).any(axis=1)
    if wrong.any():
        raise UserError(
            f"{name}: expected a box x0, y0, x1, y1 of at least one pixel in a picture of {size[0]}x{size[1]} px, "
            f"got {array[wrong][0, :4].tolist()}"
        )
    return array if array.shape[1] == 5 else np.column_stack([array, np.ones(len(array), dtype=np.float32)])
