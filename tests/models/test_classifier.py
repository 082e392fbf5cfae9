"""The classifier around a backbone."""

import pytest
import torch

pytest.importorskip("timm")

from dfmamba.models.backbones import DFMamba, SpatialMamba, VMamba
from dfmamba.models.classifier import ImageClassifier


@pytest.mark.parametrize("out_indices", [None, (-1,), (0, 2)])
@pytest.mark.parametrize("backbone", [DFMamba, VMamba, SpatialMamba])
def test_is_a_linear_layer_on_the_averaged_last_map(backbone, out_indices):
    torch.manual_seed(0)
    backbone = backbone("nano", out_indices=out_indices).eval()
    x = torch.randn(2, 3, 64, 96)
    feature = backbone(x)[-1]
    model = ImageClassifier(backbone, num_classes=7).eval()
    positions = [feature[:, :, i, j] for i in range(feature.shape[2]) for j in range(feature.shape[3])]
    mean = torch.stack(positions).mean(0)
    torch.testing.assert_close(model(x), mean @ model.head.fc.weight.T + model.head.fc.bias)
    torch.testing.assert_close(model.forward_features(x), feature)
    assert model.num_features == backbone.feature_info[-1]["num_chs"]
