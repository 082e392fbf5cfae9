"""The folded head is the head, up to rounding: joints, scores and presence, for any batch and size of maps."""

import pytest
import torch

import dfmamba.codecs  # noqa: F401, registers the codec
from dfmamba.models.folding import fold_for_inference
from dfmamba.models.heads import A2JHead
from dfmamba.models.heads.folded_a2j import FoldedA2JTransformer
from dfmamba.models.layers.fused_linear import FusedLinear

CHANNELS = (8, 12)


def head_with_history(**changes):
    """Return a head in which no weight is at its start."""
    torch.manual_seed(0)
    options = {
        "in_channels": CHANNELS,
        "num_joints": 42,
        "input_size": (64, 64),
        "embed_dims": 16,
        "num_heads": 2,
        "num_points": 3,
        "num_encoder_layers": 2,
        "num_decoder_layers": 3,
        "feedforward_channels": 32,
        "decoder": {"type": "A2JCodec", "input_size": (64, 64)},
    }
    head = A2JHead(**options | changes)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return head.eval()


def feature_maps(batch, side=8, dtype=torch.float32):
    return tuple(torch.randn(batch, c, side >> level, side >> level, dtype=dtype) for level, c in enumerate(CHANNELS))


def assert_same_predictions(head, folded, feats, tolerance):
    with torch.inference_mode():
        expected, predicted = head.predict_tensors(feats), folded.predict_tensors(feats)
    assert expected.keys() == predicted.keys()
    for name, want in expected.items():
        assert (predicted[name].shape, predicted[name].dtype) == (want.shape, want.dtype)
        assert (predicted[name] - want).abs().max() <= tolerance * want.abs().max(), name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_encoder_layers": 0},
        {"num_decoder_layers": 1},
        {"num_encoder_layers": 0, "num_decoder_layers": 1, "num_extra_levels": 0},
        {"learnable_anchors": True},
        {"presence_loss_weight": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch", [1, 3])
def test_folding_changes_nothing_but_rounding(options, batch):
    head = head_with_history(**options)
    assert_same_predictions(head, fold_for_inference(head), feature_maps(batch), tolerance=2e-5)


def test_one_folded_head_takes_maps_of_several_sizes():
    head = head_with_history()
    folded = fold_for_inference(head)
    for side in (8, 4, 8):
        assert_same_predictions(head, folded, feature_maps(2, side), tolerance=2e-5)


def test_it_can_be_moved_after_a_prediction():
    head = head_with_history()
    folded = fold_for_inference(head, packed=False)
    with torch.inference_mode():
        folded(feature_maps(2))
    assert_same_predictions(head.double(), folded.double(), feature_maps(2, dtype=torch.float64), tolerance=2e-5)


def test_a_prediction_does_not_change_the_next():
    folded = fold_for_inference(head_with_history())
    feats = feature_maps(2)
    with torch.inference_mode():
        first, second = folded(feats), folded(feats)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.bfloat16, 0.1)])
def test_other_types_are_folded_without_packing(dtype, tolerance):
    head = head_with_history().to(dtype)
    folded = fold_for_inference(head)
    assert not any(layer.is_packed for layer in fused_layers(folded))
    assert_same_predictions(head, folded, feature_maps(2, dtype=dtype), tolerance)


def fused_layers(folded):
    return [module for module in folded.modules() if isinstance(module, FusedLinear)]


def test_under_autocast_it_is_as_near_to_float32_as_the_head():
    head = head_with_history()
    folded = fold_for_inference(head, packed=False)
    feats = feature_maps(2)
    with torch.inference_mode():
        exact = head.predict_tensors(feats)["keypoints"]
        with torch.autocast("cpu", torch.bfloat16):
            plain, fast = (module.predict_tensors(feats)["keypoints"] for module in (head, folded))
    assert fast.dtype == plain.dtype == torch.float32
    assert (fast - exact).abs().mean() <= 1.5 * (plain - exact).abs().mean()
    assert_same_predictions(head, folded, feats, tolerance=2e-5)  # nothing of the autocast stays


def test_it_can_be_compiled():
    head = head_with_history(num_encoder_layers=1, num_decoder_layers=2)
    compiled = torch.compile(fold_for_inference(head, packed=False), fullgraph=True)
    feats = feature_maps(2)
    with torch.inference_mode():
        for want, got in zip(head(feats), compiled(feats), strict=True):
            assert (got - want).abs().max() <= 2e-5 * want.abs().max()


def test_only_what_predicts_is_kept():
    head = head_with_history()
    folded = fold_for_inference(head)
    assert isinstance(folded.transformer, FoldedA2JTransformer)
    assert (len(folded.offset_mlps), len(folded.weight_mlps)) == (1, 1)
    assert (len(head.offset_mlps), len(head.weight_mlps)) == (3, 3)
    assert not any(isinstance(module, torch.nn.Linear) for module in folded.modules())
