"""3D joints of the hands in pictures, from an exported model, or a config and a checkpoint."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.apis.boxes import Boxes, boxes_around, check_boxes, given_boxes, is_of_one_picture
from dfmamba.apis.exported_model import ExportedModel
from dfmamba.apis.hand_finder import HandFinder, HandsBox, hands_together
from dfmamba.apis.hand_model import Array, Camera, HandModel, KnownOfHand, LoadedPicture, Prediction
from dfmamba.apis.packed_model import EXPORTED, open_packed_model
from dfmamba.apis.pictures import Picture, Source, count_pictures, read_pictures
from dfmamba.apis.results import Detection, HandJoints, PictureHands
from dfmamba.apis.smoothing import HandSmoother, OneEuro
from dfmamba.datasets.sample import lift
from dfmamba.errors import UserError
from dfmamba.natural_size import place_in_mm
from dfmamba.skeleton import ONE_HAND, RIGHT, SIDES, TWO_HANDS, hand_slice, skeleton_with

if TYPE_CHECKING:
    from mmengine.config import Config

ENGINES = ("onnxruntime", "torch")
MIN_PRESENCE = 0.5  # of models that say it
Loaded = tuple[Picture, NDArray[Any]]


class HandPoseInferencer:
    """Finds the joints of one or two hands in pictures.

    Without boxes a `HandFinder` says where hands are, and how sure it is of each. Without a finder the whole picture is
    looked at first, and then the box of the joints found; in a video, the box of the joints of the frame before.

    Args:
        model: An ONNX file of `tools/export.py`; or a config file of this repository, or its content; or a folder that
            `tools/pack_model.py` has written. None takes the model in the box.
        checkpoint: What `tools/train.py` has written for the config; None leaves random weights, for tests alone.
        engine: What runs the model of a folder, or the one in the box: 'onnxruntime', which needs no torch, or 'torch'
            with mmpose. None takes onnxruntime on a CPU, unless `precision`, `compiled` or `cfg_options` ask for torch.
        device: 'cpu', 'cuda', 'cuda:1'; None takes a GPU where torch sees one, and for onnxruntime the CPU.
        hand_side: For models of one hand: 'right' or 'left'.
        bone_length_mm: For DetNet's: length of the bone wrist-middle1; 86 mm is taken where nothing is said.
        center_depth_mm: For NYU's: depth of the hand's center.
        finder: Finds the hands in pictures without boxes, for models of both hands in photographs; True takes the one
            in the box, False none. None takes it for the model in the box alone.
        min_presence: Hands that are less probable are left out, where a model or the finder in the box say how probable
            they are; None takes 0.5 for a model and 0.4 for the finder.
        threads: Of onnxruntime; None takes all cores. torch has `torch.set_num_threads`.
        precision: Of torch: 'float32', or 'bfloat16' or 'float16', in which a GPU is faster.
        compiled: Compile backbone and head with torch.compile, for many pictures of as many boxes on a GPU.
        cfg_options: What is changed in the config, `KEY=VALUE`.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: A packed or exported model is damaged, or something else.
        ConfigError: The config is wrong, or the checkpoint belongs to another one.
        UserError: An argument is not usable.
    """

    def __init__(
        self,
        model: "str | os.PathLike[str] | Config | None" = None,
        checkpoint: str | os.PathLike[str] | None = None,
        *,
        engine: str | None = None,
        device: str | None = None,
        hand_side: str | None = None,
        bone_length_mm: float | None = None,
        center_depth_mm: float | None = None,
        finder: HandFinder | bool | None = None,
        min_presence: float | None = None,
        threads: int | None = None,
        precision: str = "float32",
        compiled: bool = False,
        cfg_options: Sequence[str] = (),
    ) -> None:
        if hand_side not in (None, *SIDES):
            raise UserError(f"hand_side: expected {' or '.join(SIDES)}, got {hand_side!r}")
        if engine not in (None, *ENGINES):
            raise UserError(f"engine: expected {' or '.join(ENGINES)}, got {engine!r}")
        if model is None and checkpoint is not None:
            raise UserError(f"model: expected the config of the checkpoint {checkpoint}, got none")
        known = KnownOfHand(hand_side, bone_length_mm, center_depth_mm)
        self.hand_side = hand_side or SIDES[RIGHT]
        self.bone_length_mm = bone_length_mm
        self.min_presence = MIN_PRESENCE if min_presence is None else min_presence
        if finder is None:
            finder = model is None
        if finder is True:
            finder = HandFinder(min_score=min_presence, threads=threads)
        self.finder = finder or None
        needs_torch = precision != "float32" or compiled or bool(cfg_options)
        exported, card = None, None
        if isinstance(model, str | os.PathLike) and Path(model).suffix == ".onnx":
            exported = Path(model)
            if checkpoint is not None or needs_torch or engine == "torch":
                raise UserError(
                    f"{model}: an exported model has its own weights and runs without torch; expected none of "
                    "checkpoint, precision, compiled, cfg_options and engine='torch'"
                )
        elif model is None or (isinstance(model, str | os.PathLike) and Path(model).is_dir()):
            packed = open_packed_model() if model is None else open_packed_model(Path(model))
            model, checkpoint, card = packed.config, packed.weights, packed.card
            wants_torch = needs_torch or (device or "cpu") != "cpu" if engine is None else engine == "torch"
            exported = None if wants_torch else packed.exported
        if engine == "onnxruntime" and (exported is None or needs_torch):
            raise UserError(
                f"engine: expected 'torch' for a config or a folder without {EXPORTED}, and for precision, compiled or "
                "cfg_options"
            )
        self.model: HandModel
        if exported is not None:
            self.model = ExportedModel(exported, known, device=device, threads=threads)
        else:
            from dfmamba.apis.mmpose_model import MmposeModel

            assert model is not None
            self.model = MmposeModel(
                model,
                checkpoint,
                known,
                card=card,
                device=device,
                precision=precision,
                compiled=compiled,
                cfg_options=cfg_options,
            )

    @property
    def card(self) -> Any:
        """What is known of a packed or exported model: name, data, errors; None of others."""
        return self.model.card

    def __call__(
        self,
        source: Source | Iterable[Source],
        boxes: Boxes = None,
        *,
        camera: Camera | None = None,
        batch_size: int = 8,
        smoothing: OneEuro | None = None,
        progress: bool = False,
    ) -> list[PictureHands]:
        """Return the hands of all pictures; arguments and errors are those of `stream`.

        With `progress` the number of pictures that are done stands on the terminal (stderr), and that of all if known.
        """
        found = []
        total = count_pictures(source) if progress else None
        of_all = "" if total is None else f" of {total}"
        for picture in self.stream(source, boxes, camera=camera, batch_size=batch_size, smoothing=smoothing):
            found.append(picture)
            if progress:
                print(f"\r{len(found)}{of_all} pictures", end="", file=sys.stderr, flush=True)
        if progress:
            print(file=sys.stderr)
        return found

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
            wanted: list[list[HandsBox] | None] = []
            for picture, image, size in zip(group, pixels, sizes, strict=True):
                given = given_boxes(boxes, count + len(wanted), image)
                if given is not None:
                    wanted.append([HandsBox(box) for box in check_boxes(given, size, picture.name)])
                elif self.finder is not None:
                    wanted.append(hands_together(self.finder.find(image)))
                elif picture.is_frame and before is not None and before.size == size and before.hands:
                    wanted.append([HandsBox(box) for box in boxes_around(before.detections, size)])
                else:
                    wanted.append(None)
            unknown = [number for number, one in enumerate(wanted) if one is None]
            whole = [[HandsBox(np.array([0, 0, *sizes[number], 1], dtype=np.float32))] for number in unknown]
            first = self._detect([group[n] for n in unknown], [pixels[n] for n in unknown], whole, camera, batch_size)
            for number, found in zip(unknown, first, strict=True):
                wanted[number] = [HandsBox(box) for box in boxes_around(found, sizes[number])]
            second = self._detect(group, pixels, [one for one in wanted if one is not None], camera, batch_size)
            for picture, size, detections in zip(group, sizes, second, strict=True):
                before = PictureHands(picture, size, detections)
                yield smooth(before) if smooth else before
            count += len(group)
        if isinstance(boxes, Sequence) and not is_of_one_picture(boxes) and len(boxes) != count:
            raise UserError(f"boxes: expected one array for each of {count} pictures, got {len(boxes)}")

    def _detect(
        self,
        pictures: Sequence[Picture],
        pixels: Sequence[NDArray[Any]],
        places: Sequence[Sequence[HandsBox]],
        camera: Camera | None,
        batch_size: int,
    ) -> list[tuple[Detection, ...]]:
        """Return for each picture what is in its boxes."""
        loaded = [
            LoadedPicture(picture, image, np.array([place.box for place in of_picture]).reshape(-1, 5))
            for picture, image, of_picture in zip(pictures, pixels, places, strict=True)
        ]
        left = iter(self.model.predict(loaded, camera, batch_size))
        return [
            tuple(
                Detection(place.box[:4], float(place.box[4]), self._hands(next(left), camera, place))
                for place in of_picture
            )
            for of_picture in places
        ]

    def _hands(self, found: Prediction, camera: Camera | None, place: HandsBox) -> tuple[HandJoints, ...]:
        """Return the hands of a prediction: as many as a finder has found, or else those that the model says are there.

        Of one hand that a finder has found the side is that of whose joints the model is surer: the finder knows less.
        """
        absolute = None
        if camera is not None and camera.root_depth_mm is not None:
            depths = np.broadcast_to(camera.root_depth_mm, len(SIDES))
            absolute = lift(found.joints, depths, camera.focal_px, camera.principal_point_px)
        blocks: list[tuple[str | None, float | None, slice]]
        if len(found.joints) == TWO_HANDS.num_joints:
            blocks = [(side, place.presence, hand_slice(number)) for number, side in enumerate(SIDES)]
            if place.num_hands == 1:
                blocks = [max(blocks, key=lambda block: float(found.scores[block[2]].mean()))]
            elif place.num_hands is None and found.presence is not None:
                blocks = [
                    (side, float(presence), part)
                    for (side, _, part), presence in zip(blocks, found.presence, strict=True)
                    if presence >= self.min_presence
                ]
            is_assumed = False
        else:
            is_assumed = len(found.joints) == ONE_HAND.num_joints
            blocks = [(self.hand_side if is_assumed else None, None, slice(None))]
        return tuple(
            _hand(
                side,
                is_assumed,
                presence_of_hand,
                found.joints[part],
                found.scores[part],
                _part(found.joints_mm, part),
                _part(absolute, part),
                self.bone_length_mm is not None,
            )
            for side, presence_of_hand, part in blocks
        )


def _hand(
    side: str | None,
    is_assumed: bool,
    presence: float | None,
    joints: NDArray[Any],
    scores: NDArray[Any],
    relative: NDArray[Any] | None,
    absolute: NDArray[Any] | None,
    size_is_known: bool,
) -> HandJoints:
    skeleton = skeleton_with(len(joints))
    if relative is None and skeleton.roots:
        if absolute is None:
            relative, size_is_known = place_in_mm(joints[:, :2], joints[:, 2]), False
        else:
            relative, size_is_known = absolute - absolute[skeleton.roots[0]], True
    return HandJoints(
        side=side,
        side_is_assumed=is_assumed,
        size_is_assumed=relative is not None and not size_is_known,
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
