"""A model in an ONNX file of `tools/export.py`, run by onnxruntime: no torch, no mmpose.

The file says of itself what is needed around it, as JSON under `dfmamba` among its metadata: `ModelFacts`.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dfmamba.apis.hand_model import Camera, KnownOfHand, LoadedPicture, Prediction
from dfmamba.crops import Crop, crop_color, crop_depth
from dfmamba.errors import DataError, UserError
from dfmamba.geometry import Array, back_project, mirror_box, mirror_points, rotation_to_optical_axis
from dfmamba.io.depth_images import read_depth, to_depth
from dfmamba.skeleton import LEFT, SIDES, USUAL_BONE, USUAL_BONE_MM

KEY, FORMAT = "dfmamba", 1


@dataclass(frozen=True)
class ModelFacts:
    """What the metadata of an exported model say.

    Attributes:
        input: 'color' or 'depth'.
        crop_size: (width, height) of the crops in px.
        padding: Factor by which a box is made larger; 1 for depth.
        joint_names: Of the J joints.
        root: What z is relative to: 'wrist', of the joint's own hand, or 'center' (NYU).
        mirrors_left_hands: The network sees right hands; pictures of left ones are mirrored before and joints after.
        turns_to_view: Joints in space are along the line of sight through the crop's center.
        image_size: (width, height) in px that pictures must have; None for any.
        half_depth_mm: Of the cube, for depth.
        inputs, outputs: What the tensors hold, with shapes and units.
        preprocessing: What the graph itself does with the crop.
        codec: How the joints are coded in the network; the graph undoes it.
        card: Name, data and errors of the model.
        format: Version of these metadata.
    """

    input: str
    crop_size: tuple[int, int]
    padding: float
    joint_names: tuple[str, ...]
    root: str
    mirrors_left_hands: bool
    turns_to_view: bool
    image_size: tuple[int, int] | None
    half_depth_mm: float | None
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    preprocessing: Mapping[str, Any]
    codec: Mapping[str, Any]
    card: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    key: ClassVar[str] = KEY  # of the metadata

    def to_json(self) -> str:
        """Return the text for the metadata."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ModelFacts":
        """Read the text of the metadata.

        Raises:
            ValueError, TypeError: It is of another version, or lacks something.
        """
        content = json.loads(text)
        if content.get("format") != FORMAT:
            raise ValueError(f"format: expected {FORMAT}, got {content.get('format')}")
        for name in ("crop_size", "joint_names", "image_size"):
            content[name] = None if content[name] is None else tuple(content[name])
        return cls(**content)


class _View(NamedTuple):
    """A crop, and what has been done to the picture before."""

    crop: Crop
    mirrored_width: int | None
    rotation: Array | None


class ExportedModel:
    """See `HandModel`.

    Args:
        path: The ONNX file.
        known: What is known of the hands.
        device: 'cpu' or 'cuda'; None is the CPU.
        threads: Of onnxruntime; None takes all cores.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is no ONNX file, or one of something else.
        UserError: There is no such device.
    """

    def __init__(
        self, path: Path, known: KnownOfHand, *, device: str | None = None, threads: int | None = None
    ) -> None:
        self.session = open_session(path, device, threads)
        self.facts = read_metadata(path, self.session, ModelFacts)
        self.card = self.facts.card or None
        self.known = known
        self.outputs = [output.name for output in self.session.get_outputs()]

    def predict(self, pictures: Sequence[LoadedPicture], camera: Camera | None, batch_size: int) -> list[Prediction]:
        """Return what is in all boxes of all pictures."""
        views = [view for picture in pictures for view in self._views(picture, camera)]
        return [
            self._prediction(view, outputs)
            for start in range(0, len(views), batch_size)
            for view, outputs in self._run(views[start : start + batch_size])
        ]

    def _views(self, picture: LoadedPicture, camera: Camera | None) -> Iterator[_View]:
        """Yield the crops of a picture's boxes."""
        image = self._image(picture)
        mirrored_width = image.shape[1] if self.facts.mirrors_left_hands and self.known.side == SIDES[LEFT] else None
        if mirrored_width is not None:
            image = image[:, ::-1]
        image = np.ascontiguousarray(image)
        for box in picture.boxes[:, :4]:
            if mirrored_width is not None:
                box = mirror_box(box, mirrored_width)
            crop = self._crop(image, box)
            rotation = None
            if self.facts.turns_to_view and camera is not None:
                center = np.asarray(camera.principal_point_px)
                if mirrored_width is not None:
                    center = mirror_points(center, mirrored_width)
                rotation = rotation_to_optical_axis(back_project(crop.center, 1.0, camera.focal_px, center))
            yield _View(crop, mirrored_width, rotation)

    def _image(self, loaded: LoadedPicture) -> NDArray[Any]:
        picture, pixels, _ = loaded
        if self.facts.input == "depth":
            assert self.facts.image_size is not None
            if picture.path is not None:
                return read_depth(picture.path, self.facts.image_size)
            return to_depth(pixels, self.facts.image_size)
        if pixels.ndim != 3 or pixels.dtype != np.uint8:
            raise UserError(f"{picture.name}: expected a photograph, as this model takes it, got a depth image")
        return pixels

    def _crop(self, image: NDArray[Any], box: Array) -> Crop:
        if self.facts.input == "color":
            return crop_color(image, box, self.facts.padding, self.facts.crop_size)
        depth, half = self.known.center_depth_mm, self.facts.half_depth_mm
        if depth is None or half is None or not 0 < depth < np.inf:
            raise UserError(
                "center_depth_mm: expected the depth of the hand's center in mm, around which the image is cut, "
                f"got {depth}"
            )
        return crop_depth(image[..., 0], box, depth, half, self.facts.crop_size)

    def _run(self, views: Sequence[_View]) -> Iterator[tuple[_View, dict[str, NDArray[Any]]]]:
        """Yield the views with what the network says about them."""
        results = self.session.run(self.outputs, {"crops": np.stack([view.crop.pixels for view in views])})
        for view, *values in zip(views, *results, strict=True):
            yield view, dict(zip(self.outputs, values, strict=True))

    def _prediction(self, view: _View, outputs: Mapping[str, NDArray[Any]]) -> Prediction:
        """Take joints from the crop to the picture."""
        points = view.crop.to_picture(outputs["keypoints"][:, :2])
        joints_mm = None
        if "bones" in outputs:
            joints_mm = outputs["bones"] * np.float32(self._bone_length_mm())
            if view.rotation is not None:
                joints_mm = joints_mm @ view.rotation.astype(joints_mm.dtype)  # R^T X of each joint
        depth = outputs["keypoints"][:, 2] if joints_mm is None else joints_mm[:, 2]
        if view.mirrored_width is not None:
            points = mirror_points(points, view.mirrored_width)
            joints_mm = None if joints_mm is None else joints_mm * np.array([-1, 1, 1], dtype=joints_mm.dtype)
        return Prediction(np.column_stack([points, depth]), outputs["scores"], joints_mm, outputs.get("presence"))

    def _bone_length_mm(self) -> float:
        length = self.known.bone_length_mm
        if length is None:
            _warn_once(
                f"bone_length_mm: nobody says how large the hand is; {'-'.join(USUAL_BONE)} is taken for "
                f"{USUAL_BONE_MM} mm long, and lengths in mm scale with it"
            )
            return USUAL_BONE_MM
        if not 0 < length < np.inf:
            raise UserError(f"bone_length_mm: expected the length of the bone wrist-middle1 in mm, got {length}")
        return length


def open_session(path: Path, device: str | None = None, threads: int | None = None) -> Any:
    """Return onnxruntime's session of a file; arguments and errors are those of `ExportedModel`."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    import onnxruntime

    kind = (device or "cpu").split(":")[0]
    providers = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    if providers.get(kind) not in onnxruntime.get_available_providers():
        raise UserError(
            f"device: expected one that this onnxruntime has ({', '.join(onnxruntime.get_available_providers())}), "
            f"got {device!r}"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; warnings about the order of nodes are nobody's business here
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=[providers[kind]])
    except Exception as error:  # onnxruntime has a class for each of its codes, and no common one
        raise DataError(f"{path}: expected an ONNX file, got one that onnxruntime refuses: {error}") from error


class Facts(Protocol):
    """Metadata of an exported file: `key` is their name there."""

    key: ClassVar[str]

    @classmethod
    def from_json(cls, text: str) -> Any:
        """Read their text; raises a ValueError, TypeError or KeyError where it is another one."""
        ...


F = TypeVar("F", bound=Facts)


def read_metadata(path: Path, session: Any, kind: type[F]) -> F:
    """Return what the metadata of a file say.

    Raises:
        DataError: It is a file of something else.
    """
    text = session.get_modelmeta().custom_metadata_map.get(kind.key)
    if text is None:
        raise DataError(
            f"{path}: expected an ONNX file of tools/export.py, got one without '{kind.key}' among its metadata"
        )
    try:
        return kind.from_json(text)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: expected the metadata of tools/export.py, got others: {error}") from error


@cache
def _warn_once(message: str) -> None:
    logging.getLogger("dfmamba").warning(message)
