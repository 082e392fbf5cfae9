"""What of a file's weights goes into a model, and what is said about it."""

import pytest
import torch
from torch import nn

from dfmamba.engine.errors import ConfigError
from dfmamba.engine.weights import CheckedPretrained, load_weights, refuse_non_finite


def make_net(channels: int = 3, width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 1))


def filled(net: nn.Module, value: float = 0.5) -> dict[str, torch.Tensor]:
    return {
        name: torch.full_like(weight, value) if weight.is_floating_point() else weight
        for name, weight in net.state_dict().items()
    }


@pytest.mark.parametrize("key", ["state_dict", "model", "state_dict_ema", None])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone."])
def test_the_usual_keys_and_prefixes_are_understood(key, prefix):
    net = make_net()
    weights = {prefix + name: value for name, value in filled(net).items()}
    fit = load_weights(net, {key: weights, "epoch": 3} if key else weights, "x.pth", whole=True)
    assert all((weight == 0.5).all() for weight in net.parameters())
    assert fit.describe().startswith(f"{len(net.state_dict())} of {len(net.state_dict())} weights loaded")
    assert fit.renamed == (f" (names without '{prefix}')" if prefix else "")


def test_a_backbones_file_fits_a_whole_model():
    model = nn.ModuleDict({"backbone": make_net(), "head": nn.Linear(2, 2)})
    fit = load_weights(model, filled(make_net()), "x.pth")
    assert (model["backbone"][0].weight == 0.5).all()
    assert fit.missing == ["head.weight", "head.bias"]
    assert "names with 'backbone.' before them" in fit.describe()


def test_what_is_not_loaded_is_counted_and_named():
    net = make_net()
    weights = filled(net)
    del weights["1.bias"]
    weights["2.weight"] = torch.zeros(5, 5)
    weights["fc.weight"] = torch.zeros(1)
    fit = load_weights(net, {"state_dict": weights}, "x.pth")
    total = len(net.state_dict())
    assert fit.describe() == (
        f"{total - 2} of {total} weights loaded; 1 of another shape, not loaded (2.weight: (5, 5) instead of "
        "(2, 4, 1, 1)); 1 not in the file (1.bias); 1 in the file but not in the model (fc.weight)"
    )
    with pytest.raises(ConfigError, match=r"does not fit the model: \d+ of \d+ weights loaded; 1 of another shape"):
        load_weights(net, {"state_dict": weights}, "x.pth", whole=True)


@pytest.mark.parametrize("content", [{"state_dict": {"a": torch.zeros(1)}}, {"model": {"a": torch.zeros(1)}}])
def test_where_nothing_fits_it_is_an_error(content):
    with pytest.raises(ConfigError, match="no weight fits the model"):
        load_weights(make_net(), content, "x.pth")


@pytest.mark.parametrize("content", [{}, {"meta": {"epoch": 1}}, {"state_dict": {}}, {"state_dict": {"a": 3}}])
def test_a_file_without_weights_is_an_error(content):
    with pytest.raises(ConfigError, match="holds no weights"):
        load_weights(make_net(), content, "x.pth")


@pytest.mark.parametrize(("there", "wanted"), [(3, 1), (1, 3)])
def test_the_first_layer_is_adapted_to_grey_or_colour(there, wanted):
    """A grey picture gives the same response before and after: its three equal channels are summed, or spread."""
    source, target = make_net(there), make_net(wanted)
    fit = load_weights(target, {"state_dict": source.state_dict()}, "x.pth")
    grey = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(target[0](grey.expand(-1, wanted, -1, -1)), source[0](grey.expand(-1, there, -1, -1)))
    assert "1 adapted to other input channels (0.weight)" in fit.describe()


def test_other_channel_numbers_are_not_adapted():
    with pytest.raises(ConfigError, match=r"0\.weight: \(4, 3, 3, 3\) instead of \(4, 2, 3, 3\)"):
        load_weights(make_net(2), {"state_dict": make_net(3).state_dict()}, "x.pth", whole=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value):
    weights = filled(make_net())
    weights["1.running_var"][2] = value
    with pytest.raises(ConfigError, match=r"x\.pth: 1 of 4 numbers of the weight 1\.running_var are NaN or infinite"):
        load_weights(make_net(), {"state_dict": weights}, "x.pth")
    with pytest.raises(ConfigError, match="diverged"):
        refuse_non_finite(weights, "x.pth")


def test_init_cfg_takes_a_part_and_says_what_it_loaded(tmp_path, log):
    torch.save(
        {"state_dict": {f"backbone.{name}": value for name, value in filled(make_net()).items()}}, tmp_path / "x.pth"
    )
    net = make_net()
    CheckedPretrained(str(tmp_path / "x.pth"), prefix="backbone")(net)
    assert (net[0].weight == 0.5).all()
    assert f"Sequential from {tmp_path / 'x.pth'}: 9 of 9 weights loaded" in log.text
    with pytest.raises(ConfigError, match=r"no weight's name begins with 'neck\.', such as backbone"):
        CheckedPretrained(str(tmp_path / "x.pth"), prefix="neck.")(net)
