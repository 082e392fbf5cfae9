"""The visualizer of the configs: mmpose's drawing on the image and, for `Hand3DInferencer`, the hand in space below."""

from typing import Any

import mmcv
import numpy as np
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer
from numpy.typing import ArrayLike, NDArray

from dfmamba.skeleton import skeleton_with
from dfmamba.visualization.overlay import stack_images
from dfmamba.visualization.view3d import render_views


@VISUALIZERS.register_module()
class HandVisualizer(PoseLocalVisualizer):
    """mmpose's `PoseLocalVisualizer`, which also draws what its `Hand3DInferencer` asks `Pose3dLocalVisualizer` for.

    So one config serves all of mmpose's inferencers. mmpose 1.3.2's own visualizers end in errors here: in 2D with
    NumPy 2.4, whose `int` takes no array with an axis, and in 3D with matplotlib 3.10, which has no `tostring_rgb`.
    Arguments are those of `PoseLocalVisualizer`.
    """

    def draw_circles(self, center: NDArray, radius: ArrayLike, *args: Any, **kwargs: Any) -> Any:
        """Draw a circle, as the base does, from a radius that may be an array with one number."""
        radius_px = np.ravel(radius)
        return super().draw_circles(center, radius_px[0] if self.backend == "opencv" else radius_px, *args, **kwargs)

    def add_datasample(
        self,
        name: str,
        image: NDArray,
        data_sample: PoseDataSample,
        det_data_sample: PoseDataSample | None = None,
        **kwargs: Any,
    ) -> NDArray:
        """Draw a sample.

        Args:
            name: Name of the picture.
            image: (H, W, 3) uint8 RGB.
            data_sample: The prediction. With `det_data_sample` its `keypoints` are `Hand3DInferencer`'s: (x, z, -y), of
                which -y may be shifted.
            det_data_sample: The prediction in px of the image; None draws `data_sample` on the image, and nothing else.
            **kwargs: Those of mmpose's visualizers; of the 3D one's, `num_instances` (how many hands are drawn in
                space, -1 for all), `kpt_thr`, `draw_bbox`, `show`, `wait_time`, `out_file` and `step` are read.

        Returns:
            The drawing, RGB.
        """
        if det_data_sample is None:
            return super().add_datasample(name, image, data_sample, **kwargs)
        threshold = kwargs.get("kpt_thr", 0.3)
        drawing = super().add_datasample(
            name,
            image,
            det_data_sample,
            draw_gt=False,
            kpt_thr=threshold,
            draw_bbox=kwargs.get("draw_bbox", False),
            out_file=kwargs.get("out_file"),
        )
        count = kwargs.get("num_instances", -1)
        instances = data_sample.pred_instances
        for number in range(len(instances) if count < 0 else min(count, len(instances))):
            view = _draw_in_space(instances[number], threshold)
            if view is not None:
                drawing = stack_images([drawing, view])
        self.set_image(drawing)
        if kwargs.get("show", False):
            self.show(drawing, win_name=name, wait_time=kwargs.get("wait_time", 0))
        if kwargs.get("out_file") is None:
            self.add_image(name, drawing, kwargs.get("step", 0))
        else:
            mmcv.imwrite(drawing[..., ::-1], kwargs["out_file"])
        return drawing


def _draw_in_space(instance: Any, threshold: float) -> NDArray[np.uint8] | None:
    """Draw one prediction in space; None if no joint's score reaches the threshold.

    In mm where the prediction has joints along the camera's axes (DetNet), else x and y in px of the image.
    """
    joints, shown = instance.keypoints[0], instance.keypoint_scores[0] >= threshold
    if not shown.any():
        return None
    has_mm = "keypoints_cam" in instance
    image_space = np.stack([joints[:, 0], -joints[:, 2], joints[:, 1]], axis=-1)
    title = "joints in mm" if has_mm else "x and y in px of the image, z in mm relative to the hand's root"
    return render_views(
        instance.keypoints_cam[0] if has_mm else image_space,
        shown,
        skeleton_with(len(joints)),
        title=title,
        unit_xy="mm" if has_mm else "px",
    )
