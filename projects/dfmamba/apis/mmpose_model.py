"""A model of a config and a checkpoint, run by torch and mmpose with the config's own test pipeline."""

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmpose.apis import init_model
from mmpose.structures import PoseDataSample

from dfmamba.apis.hand_model import Camera, KnownOfHand, LoadedPicture, Prediction
from dfmamba.engine.checkpoint_file import open_checkpoint, require_checkpoint
from dfmamba.engine.config import load_config
from dfmamba.engine.weights import load_weights
from dfmamba.errors import UserError
from dfmamba.models.folding import fold_for_inference
from dfmamba.skeleton import RIGHT, SIDES, TWO_HANDS, hand_slice

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(
    config: str | os.PathLike[str] | Config, checkpoint: str | os.PathLike[str] | None, cfg_options: Sequence[str] = ()
) -> tuple[Any, Config]:
    """Return the estimator of a config on the CPU, ready to predict, and the whole config.

    Args:
        config: A config file, or its content.
        checkpoint: What `tools/train.py` has written for it; None leaves random weights, with a warning.
        cfg_options: What is changed in the config, `KEY=VALUE`.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigError: The config is wrong, or the checkpoint belongs to another one.
    """
    settings = copy.deepcopy(config) if isinstance(config, Config) else load_config(config, cfg_options)
    content = None if checkpoint is None else open_checkpoint(require_checkpoint(os.fspath(checkpoint)))
    # mmpose asks the training set for the names of the joints; several sets in one, or none at all, cannot tell.
    asked = copy.deepcopy(settings)
    if "test_dataloader" in settings:
        asked.train_dataloader = settings.test_dataloader
    model = init_model(asked, None, device="cpu")
    if content is None:
        logging.getLogger("dfmamba").warning("no checkpoint: the weights are random, the joints mean nothing")
    else:
        load_weights(model, content, str(checkpoint), whole=True)
        model.dataset_meta = content.get("meta", {}).get("dataset_meta") or model.dataset_meta
    return model.eval(), settings


class MmposeModel:
    """See `HandModel`; arguments and errors are those of `HandPoseInferencer`."""

    def __init__(
        self,
        config: str | os.PathLike[str] | Config,
        checkpoint: str | os.PathLike[str] | None,
        known: KnownOfHand,
        *,
        card: Mapping[str, Any] | None = None,
        device: str | None = None,
        precision: str = "float32",
        compiled: bool = False,
        cfg_options: Sequence[str] = (),
    ) -> None:
        if precision not in PRECISIONS:
            raise UserError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.card = card
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = PRECISIONS[precision]
        model, settings = load_model(config, checkpoint, cfg_options)
        said = {"hand_side": known.side, "bone_length": known.bone_length_mm, "center_depth": known.center_depth_mm}
        self.metainfo = {**model.dataset_meta, **{key: value for key, value in said.items() if value is not None}}
        self.side = SIDES.index(known.side or SIDES[RIGHT])
        self.reads_files = settings.test_dataloader.dataset.pipeline[0]["type"] != "LoadImage"  # depth, with checks
        self.pipeline = Compose(settings.test_dataloader.dataset.pipeline)
        self.tells_presence = getattr(model.head, "hand_presence", None) is not None
        model = model.to(self.device)
        model = fold_for_inference(model, packed=self.precision is None and not compiled)
        if compiled:
            model.backbone = torch.compile(model.backbone)
            model.head.forward = torch.compile(model.head.forward)
        self.model = model

    def predict(self, pictures: Sequence[LoadedPicture], camera: Camera | None, batch_size: int) -> list[Prediction]:
        """Return what is in all boxes of all pictures."""
        meta: dict[str, Any] = dict(self.metainfo)
        if camera is not None:
            meta["focal"] = np.array(camera.focal_px, dtype=np.float32)
            meta["principal_pt"] = np.array(camera.principal_point_px, dtype=np.float32)
        inputs = []
        for picture, image, boxes in pictures:
            as_file = self.reads_files and picture.path is not None
            entry: dict[str, Any] = {"img_path": str(picture.path)} if as_file else {"img": image}
            for box in boxes:
                inputs.append(self.pipeline({**entry, "bbox": box[None, :4], "bbox_score": box[None, 4], **meta}))
        samples: list[PoseDataSample] = []
        casts = torch.autocast(self.device.type, self.precision) if self.precision else nullcontext()
        with torch.no_grad(), casts:
            for start in range(0, len(inputs), batch_size):
                samples += self.model.test_step(pseudo_collate(inputs[start : start + batch_size]))
        return [self._prediction(sample) for sample in samples]

    def _prediction(self, sample: PoseDataSample) -> Prediction:
        found = sample.pred_instances
        joints, scores = found.keypoints[0], found.keypoint_scores[0]
        joints_mm = found.keypoints_cam[0] if "keypoints_cam" in found else None
        if sample.metainfo.get("one_of_two_hands", False):  # the other hand's joints are 0
            part = hand_slice(self.side)
            joints, scores = joints[part], scores[part]
            joints_mm = None if joints_mm is None else joints_mm[part]
        presence = found.hand_type[0] if self.tells_presence and len(joints) == TWO_HANDS.num_joints else None
        return Prediction(joints, scores, joints_mm, presence)
