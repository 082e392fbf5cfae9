"""The classifier around a backbone."""

import pytest
import torch

from dfmamba.models.backbones import DFMamba, VMamba
from dfmamba.models.classifier import ImageClassifier


@pytest.mark.parametrize("backbone", [DFMamba, VMamba])
def test_is_a_linear_layer_on_the_averaged_last_map(backbone):
    torch.manual_seed(0)
    model = ImageClassifier(backbone("nano"), num_classes=7).eval()
    x = torch.randn(2, 3, 64, 96)
    feature = model.backbone(x)[-1]
    mean = torch.stack([feature[:, :, i, j] for i in range(2) for j in range(3)]).mean(0)
    torch.testing.assert_close(model(x), mean @ model.head.weight.T + model.head.bias)
    torch.testing.assert_close(model.forward_head(feature, pre_logits=True), mean)


def test_classifier_can_be_replaced_and_removed():
    model = ImageClassifier(VMamba("nano", out_indices=(3,)), num_classes=7)
    model.reset_classifier(3, "avg")
    assert model.get_classifier().out_features == model.num_classes == 3
    model.reset_classifier(0)
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 128) == (1, model.num_features)
    with pytest.raises(ValueError, match="global_pool: expected None or 'avg', got 'max'"):
        model.reset_classifier(3, "max")


def test_dropout_before_the_classifier():
    torch.manual_seed(0)
    model = ImageClassifier(VMamba("nano"), num_classes=3, drop_rate=0.5).train()
    features = model.forward_head(torch.ones(1, 128, 2, 2), pre_logits=True)
    assert set(features.flatten().tolist()) == {0.0, 2.0}
