"""A whole hand finder as one function of tensors: pictures as bytes in, maps of hands out."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from dfmamba.apis.hand_finder import FinderFacts
from dfmamba.codecs import HandBoxCodec
from dfmamba.errors import UserError
from dfmamba.export.graph import ImageGraph, JointGraph
from dfmamba.skeleton import SIDES

STEPS = ["LoadImage", "WholeImageBox", "GetBBoxCenterScale", "TopdownAffine", "PackPoseInputs"]
MAPS = f"[{SIDES[0]}, {SIDES[1]}] hands"
OUTPUTS = {
    "heatmaps": f"(batch, 2, rows, columns), {MAPS}: 0 to 1, how sure it is that the middle of a hand is in a cell",
    "boxes": f"(batch, 2, 4, rows, columns), {MAPS}: x0, y0, x1, y1 in px of the crop, as each cell has them",
}


class FinderGraph(ImageGraph):
    """A hand finder from the whole picture to its maps, with the preprocessing of its images.

    Args:
        estimator: A `HandFinderEstimator`, in evaluation mode.
        pipeline: Of its test data set.

    Raises:
        UserError: As `ImageGraph`, or the pipeline does not show it whole pictures as they are.
    """

    def __init__(self, estimator: Any, pipeline: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(estimator, pipeline)
        padding = getattr(self.steps.get("GetBBoxCenterScale"), "padding", None)
        if list(self.steps) != STEPS or padding != 1:
            raise UserError(
                f"test pipeline: expected the steps {', '.join(STEPS)}, the third with padding=1, got "
                f"{', '.join(self.steps)} with padding={padding}"
            )

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Map pictures (B, H, W, 3) to `heatmaps` and `boxes`, see `HandFinderHead.forward`."""
        return self.predict(self.normalized(crops))

    def facts(self, card: Mapping[str, Any]) -> FinderFacts:
        """See `ImageGraph`."""
        decoder: HandBoxCodec = self.estimator.head.decoder
        return FinderFacts(decoder.input_size, OUTPUTS, self.preprocessing(), dict(card))


def graph_of(estimator: Any, pipeline: Sequence[Mapping[str, Any]]) -> ImageGraph:
    """Return the graph of a finder or of a model of joints."""
    is_finder = isinstance(getattr(estimator.head, "decoder", None), HandBoxCodec)
    return FinderGraph(estimator, pipeline) if is_finder else JointGraph(estimator, pipeline)
