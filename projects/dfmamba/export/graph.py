"""A whole estimator as one function of tensors: crops as bytes in, joints in px and mm out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmpose.registry import TRANSFORMS
from numpy.typing import NDArray
from torch import Tensor, nn

from dfmamba.apis.exported_model import ModelFacts
from dfmamba.codecs import DetNetCodec
from dfmamba.errors import UserError
from dfmamba.models.layers import operators
from dfmamba.ops import onnx_form, use_backend
from dfmamba.skeleton import SIDES, skeleton_with

STEPS = {  # of test pipelines, that `dfmamba.apis.exported_model` does, too
    "LoadImage",
    "LoadNYUDepth",
    "ToSingleHand",
    "MirrorLeftHand",
    "AddBoneLength",
    "AddViewRotation",
    "GetBBoxCenterScale",
    "TopdownAffine",
    "CropDepthCube",
    "PackPoseInputs",
}
COLOR = "(batch, height, width, 3) uint8, a crop of the picture, blue, green, red, as OpenCV reads them"
DEPTH = "(batch, height, width, 1) float32, mm relative to the center of the cube, 0 outside; see half_depth_mm"
OUTPUTS = {
    "scores": "(batch, joints), 0 to 1, higher is surer; no probability",
    "presence": f"(batch, 2), probabilities that there is a {SIDES[0]} and a {SIDES[1]} hand",
    "bones": "(batch, joints, 3), x right, y down, z away, relative to the wrist (NYU: middle), in lengths of `bone`",
}
IN_PX_AND_MM = "(batch, joints, 3), x and y in px of the crop, z in mm behind the root"
BATCHES = (1, 5)
PEAKED, EQUAL_PEAKS = ("keypoints", "bones"), 1e-5
IN_PX = "(batch, joints, 2), x and y in px of the crop"


class ImageGraph(nn.Module):
    """What the graphs of whole models share: the preprocessing of their images.

    Args:
        estimator: An estimator of ours, in evaluation mode, whose head has `predict_tensors`.
        pipeline: Of its test data set.

    Raises:
        UserError: The head has no such method: it is not one of ours.
    """

    mean: Tensor
    std: Tensor
    estimator: Any  # a module, whose parts torch does not type

    def __init__(self, estimator: Any, pipeline: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        if not hasattr(estimator.head, "predict_tensors"):
            raise UserError(
                "model.head: expected one that can be exported, A2JHead, DetNetHead or HandFinderHead (it needs the "
                f"method predict_tensors), got {type(estimator.head).__name__}"
            )
        self.estimator = estimator
        self.steps = {step["type"]: TRANSFORMS.build(dict(step)) for step in pipeline}
        images = estimator.data_preprocessor
        self.reverses_channels = bool(images._channel_conversion)
        mean, std = images.mean.detach(), images.std.detach()
        if "CropDepthCube" in self.steps:  # normalises, too: first
            cube = self.steps["CropDepthCube"]
            mean, std = cube.mean + cube.std * mean, cube.std * std
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def normalized(self, crops: Tensor) -> Tensor:
        """Return what the network gets, (B, C, H, W), for crops (B, H, W, C)."""
        images = crops.permute(0, 3, 1, 2)
        if self.reverses_channels:
            images = images.flip(1)
        return (images.float() - self.mean) / self.std

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """Return what the head says about normalised images."""
        outputs: dict[str, Tensor] = self.estimator.head.predict_tensors(self.estimator.extract_feat(images))
        return outputs

    def facts(self, card: Mapping[str, Any]) -> Any:
        """Return what a user of the exported model must know; `card` is that of the model."""
        raise NotImplementedError

    def preprocessing(self) -> dict[str, Any]:
        """Return what the graph does with the crop, for the metadata."""
        return {
            "done": "in the graph",
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
            "bgr_to_rgb": self.reverses_channels,
        }


class JointGraph(ImageGraph):
    """An estimator from crop to joints, with the preprocessing of its images and the decoding of its codec.

    Args:
        estimator: A `HandPoseEstimator` whose head has `predict_tensors`, in evaluation mode.
        pipeline: Of its test data set.

    Raises:
        UserError: As `ImageGraph`, or the pipeline has a step that nobody can do without mmpose.
    """

    def __init__(self, estimator: Any, pipeline: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(estimator, pipeline)
        if unknown := set(self.steps) - STEPS:
            raise UserError(
                f"test pipeline: expected steps out of {', '.join(sorted(STEPS))}, got {sorted(unknown)}, too"
            )
        self.flip_test = bool((estimator.test_cfg or {}).get("flip_test", False))

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Map crops (B, H, W, C) to what the head says about them, see `predict_tensors` there."""
        images = self.normalized(crops)
        if not self.flip_test:
            return self.predict(images)
        both = self.predict(torch.cat([images, images.flip(-1)]))
        halves = {name: output.unflatten(0, (2, crops.shape[0])).unbind() for name, output in both.items()}
        outputs, mirrored = ({name: half[number] for name, half in halves.items()} for number in (0, 1))
        return self._with_mirrored(outputs, mirrored)

    def _with_mirrored(self, outputs: dict[str, Tensor], mirrored: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean of what is said about the images and about the mirrored images, as the head's flip test."""
        head = self.estimator.head
        flip = list(skeleton_with(head.num_joints).flip)
        x, y_and_depth = mirrored["keypoints"][:, flip].split([1, 2], dim=-1)
        back = {
            "keypoints": torch.cat([head.decoder.input_size[0] - 1 - x, y_and_depth], dim=-1),
            "scores": mirrored["scores"][:, flip],
        }
        if "presence" in mirrored:
            back["presence"] = mirrored["presence"].flip(1)
        return {name: (output + back[name]) / 2 for name, output in outputs.items()}

    def facts(self, card: Mapping[str, Any]) -> ModelFacts:
        """See `ImageGraph`."""
        steps, head = self.steps, self.estimator.head
        skeleton = skeleton_with(head.num_joints)
        cube, is_of_bones = steps.get("CropDepthCube"), isinstance(head.decoder, DetNetCodec)
        outputs = {"keypoints": IN_PX if is_of_bones else IN_PX_AND_MM, "scores": OUTPUTS["scores"]}
        outputs |= {"bones": OUTPUTS["bones"]} if is_of_bones else {}
        outputs |= {"presence": OUTPUTS["presence"]} if getattr(head, "hand_presence", None) is not None else {}
        return ModelFacts(
            input="color" if cube is None else "depth",
            crop_size=head.decoder.input_size,
            padding=float(steps["GetBBoxCenterScale"].padding) if cube is None else 1.0,
            joint_names=skeleton.names,
            root="wrist" if skeleton.roots else "center",
            mirrors_left_hands="MirrorLeftHand" in steps,
            turns_to_view="AddViewRotation" in steps,
            image_size=None if cube is None else steps["LoadNYUDepth"].image_size,
            half_depth_mm=None if cube is None else cube.half_depth_mm,
            inputs={"crops": COLOR if cube is None else DEPTH},
            outputs=outputs,
            preprocessing={**self.preprocessing(), "flip_test": self.flip_test},
            codec={"type": type(head.decoder).__name__, "undone": "in the graph", **_numbers_of(head.decoder)},
            card=dict(card),
        )


@contextmanager
def operators_for_onnx() -> Iterator[None]:
    """Let the models of this package call the operators in the form for ONNX, within a `with` block."""
    before = {name: getattr(operators, name) for name in ("run_deform_sample", "run_dssm", "run_selective_scan")}
    forms = {
        "run_deform_sample": lambda *arguments: onnx_form.deform_sample(*arguments[:4]),
        "run_dssm": lambda *arguments: onnx_form.dssm(*arguments[:10]),
        "run_selective_scan": lambda *arguments: onnx_form.selective_scan(*arguments[:7]),
    }
    for name, form in forms.items():
        setattr(operators, name, form)
    try:
        with use_backend("reference"):  # deformable attention: GridSample
            yield
    finally:
        for name, function in before.items():
            setattr(operators, name, function)


def _numbers_of(codec: Any) -> dict[str, Any]:
    """Return how a codec codes joints."""
    if isinstance(codec, DetNetCodec):
        names = codec.skeleton.names
        return {"map_size": codec.map_size, "root": names[codec.root], "bone": [names[joint] for joint in codec.bone]}
    return {"depth_bins": codec.depth_bins, "depth_range_mm": codec.depth_range_mm}


def random_crops(graph: ImageGraph, batch: int) -> Tensor:
    """Return crops (batch, height, width, channels) of noise, as the graph takes them."""
    width, height = graph.estimator.head.decoder.input_size
    random = np.random.default_rng(batch)
    if "CropDepthCube" in graph.steps:
        return torch.from_numpy(random.uniform(-100, 100, (batch, height, width, 1)).astype(np.float32))
    return torch.from_numpy(random.integers(0, 256, (batch, height, width, 3), dtype=np.uint8))


def largest_differences(
    graph: ImageGraph, run: Callable[[Tensor], Mapping[str, NDArray[np.floating]]]
) -> dict[str, float]:
    """Return the largest difference of each output from the graph's own, relative to the largest value of the output.

    Args:
        graph: What is right.
        run: What is looked at; both get batches of 1 and of 5 crops of noise.
    """
    differences: dict[str, float] = {}
    for batch in BATCHES:
        crops = random_crops(graph, batch)
        with torch.no_grad():
            expected = {name: output.numpy() for name, output in graph(crops).items()}
        got = run(crops)
        unclear = _samples_with_equal_peaks(got, expected) if "bones" in expected else np.zeros(batch, dtype=bool)
        for name, values in got.items():
            difference = np.abs(values - expected[name])
            if name in PEAKED:
                difference = difference[~unclear]
            relative = float(difference.max(initial=0) / np.abs(expected[name]).max())
            differences[name] = max(differences.get(name, 0.0), relative)
    return differences


def _samples_with_equal_peaks(
    got: Mapping[str, NDArray[np.floating]], expected: Mapping[str, NDArray[np.floating]]
) -> NDArray[np.bool_]:
    """Return which samples (B,) of DetNet's head have a joint with two peaks of one height.

    Rounding decides which of them is taken, so the joint's place says nothing about the graph; the height does.
    """
    same_height = np.abs(got["scores"] - expected["scores"]) < EQUAL_PEAKS
    elsewhere = np.abs(got["keypoints"] - expected["keypoints"]).max(axis=-1) > 1  # a cell has several px
    return (same_height & elsewhere).any(axis=1)
