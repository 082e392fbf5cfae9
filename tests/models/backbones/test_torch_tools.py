"""What torch's own tools make of each of our backbones: the matrix of docs/backbones.md."""

import warnings

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim

from dfmamba.models import backbones
from dfmamba.models.backbones.staged import StagedBackbone
from dfmamba.ops import use_backend

# Tracing torch's compilers takes a third of the time of these tests, and what they run of ours other tests run, too.
pytestmark = pytest.mark.no_cover

BACKBONES = [cls for cls in vars(backbones).values() if isinstance(cls, type) and issubclass(cls, StagedBackbone)]
ARCHS = [(cls, arch) for cls in BACKBONES for arch in cls.archs]
every = pytest.mark.parametrize("backbone", BACKBONES)


def images(batch=1, height=64, width=64):
    torch.manual_seed(1)
    return torch.randn(batch, 3, height, width)


def build(backbone, **options):
    torch.manual_seed(0)
    model = backbone("nano", **options)
    with torch.no_grad():
        for parameter in model.parameters():  # off the start, at which DSSM samples whole pixels only
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def build_small(backbone):
    """Return one block of the backbone's own kind behind a stem, for tools that take their time."""
    torch.manual_seed(0)
    if backbone is backbones.DFMamba:
        stage = {"block": "dssm", "channels": 8, "depth": 1, "stride": 8, "group_channels": 8, "d_state": 2}
        return backbone({"stem_channels": 4, "stages": [stage]}, mlp_ratio=0)
    return backbone({"dims": (8,) * 4, "depths": (1,) * 4, "expand": 1.0}, out_indices=(0,), mlp_ratio=1.0)


def assert_same(found, model, x):
    """Compare maps with those of the model as it is."""
    expected = model(x)
    assert len(found) == len(expected) > 0
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def gradients(model, function, x):
    """Return the gradients of all parameters for a random projection of the maps."""
    model.zero_grad()
    torch.manual_seed(2)
    sum((feature * torch.randn_like(feature)).sum() for feature in function(x)).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def assert_same_gradients(model, function, x):
    found, expected = gradients(model, function, x), gradients(model, model, x)
    for name, gradient in expected.items():
        scale = gradient.abs().max().clamp(min=1e-3)
        torch.testing.assert_close(found[name] / scale, gradient / scale, rtol=1e-3, atol=1e-3, msg=name)


def test_every_backbone_is_here():
    assert {cls.__name__ for cls in BACKBONES} == {"DFMamba", "VMamba", "SpatialMamba"}


# --- TorchScript ---


@every
def test_traced_models_run_at_other_sizes(backbone, tmp_path):
    model = build(backbone)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)  # no size is taken for a constant
        traced = torch.jit.trace(model, images())
    torch.jit.save(traced, tmp_path / "traced.pt")
    traced = torch.jit.load(tmp_path / "traced.pt")
    for x in (images(), images(2, 96, 64), images(1, 40, 72)):
        assert_same(traced(x), model, x)


@every
def test_scripted_models_run_and_are_saved(backbone, tmp_path):
    model = build(backbone)
    torch.jit.save(torch.jit.script(model), tmp_path / "scripted.pt")
    scripted = torch.jit.load(tmp_path / "scripted.pt")
    for x in (images(), images(2, 40, 72)):
        assert_same(scripted(x), model, x)
    assert_same(torch.jit.freeze(scripted)(images()), model, images())


@every
def test_scripted_models_train(backbone):
    model = build(backbone, drop_path_rate=0.0)
    assert_same_gradients(model, torch.jit.script(model), images(2))


def test_scripting_and_tracing_take_every_kind_of_block():
    options = {
        "arch": {
            "stem_channels": 8,
            "stages": [
                {"block": block, "channels": 16, "depth": 1, "stride": 8} for block in ("dssm", "conv", "mamba", "vss")
            ],
        }
    }
    torch.manual_seed(0)
    model = backbones.DFMamba(
        **options, group_channels=8, norm_scan_input=True, offset_bound=0.7, drop_path_rate=0.2, with_cp=True
    ).eval()
    scripted, traced = torch.jit.script(model), torch.jit.trace(model, images())
    for x in (images(), images(1, 40, 72)):
        assert_same(scripted(x), model, x)
        assert_same(traced(x), model, x)
    scripted.train()(images(2))


@every
def test_scripted_models_do_not_take_another_backend_in_silence(backbone):
    scripted = torch.jit.script(build(backbone, backend="reference"))
    with pytest.raises(Exception, match=r"a scripted model runs the native operators.*got reference"):
        scripted(images())


# --- fx, export ---


@every
def test_fx_takes_models_apart(backbone):
    model = build(backbone)
    module = torch.fx.symbolic_trace(model)
    for x in (images(), images(2, 40, 72)):
        assert_same(module(x), model, x)
    called = {getattr(node.target, "__name__", "") for node in module.graph.nodes}
    assert called & {"run_dssm", "run_selective_scan"}  # the operators are single steps


@pytest.mark.slow
@every
@pytest.mark.parametrize("strict", [False, True])
def test_exported_models_run_at_other_sizes(backbone, strict):
    model = build_small(backbone).eval()
    sizes = {0: Dim("batch", min=1, max=16), 2: 8 * Dim("h", min=2, max=64), 3: 8 * Dim("w", min=2, max=64)}
    exported = torch.export.export(model, (images(2, 64, 48),), dynamic_shapes=(sizes,), strict=strict).module()
    for x in (images(2, 64, 48), images(3, 40, 72)):
        assert_same(exported(x), model, x)


# --- torch.compile ---


@pytest.mark.slow
@every
@pytest.mark.parametrize("dynamic", [False, None])
def test_compiled_graphs_train_at_several_sizes(backbone, dynamic):
    torch._dynamo.reset()
    model = build_small(backbone).train()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for size in ((64, 64), (96, 64), (64, 128)):
        assert_same_gradients(model, compiled, images(2, *size))


@pytest.mark.slow
def test_inductor_trains_at_several_sizes():
    """What it needs is in `StagedBackbone`, which all have in common; compiling C++ takes its minutes."""
    torch._dynamo.reset()
    model = build_small(backbones.DFMamba).train()
    compiled = torch.compile(model, dynamic=True)  # which alone ends in a TypeError: see `fix_size_for_inductor`
    for size in ((64, 64), (96, 64)):
        assert_same_gradients(model, compiled, images(2, *size))


@pytest.mark.slow
def test_inductor_predicts_at_any_size():
    torch._dynamo.reset()
    model, counter = build_small(backbones.DFMamba).eval(), CompileCounterWithBackend("inductor")
    compiled = torch.compile(model, backend=counter, dynamic=True)
    with torch.no_grad():
        for x in (images(2, 64, 96), images(3, 40, 72), images(2, 128, 64)):
            assert_same(compiled(x), model, x)
    assert counter.frame_count < 3


# --- ONNX ---


@pytest.mark.slow
@every
def test_onnx_through_torchscript(backbone, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model, x = build_small(backbone).eval(), images(1, 32, 32)
    with use_backend("reference"):  # plain operators of torch, which ONNX has
        torch.onnx.export(model, (x,), tmp_path / "model.onnx", dynamo=False, opset_version=17)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert_same([torch.from_numpy(feature) for feature in found], model, x)


# --- Memory formats, fake tensors, batch normalisation ---


@every
def test_channels_last(backbone):
    model = build(backbone)
    expected = model(images())
    for a, b in zip(model.to(memory_format=torch.channels_last)(images()), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("backbone", "arch"), ARCHS)
def test_fake_tensors_build_every_architecture(backbone, arch):
    with FakeTensorMode():
        model = backbone(arch, drop_path_rate=0.1)
        maps = model(torch.randn(1, 3, 64, 64))
    assert [feature.shape[1] for feature in maps] == [info["num_chs"] for info in model.feature_info]


@every
@pytest.mark.parametrize("replace", [lambda model: model, torch.nn.SyncBatchNorm.convert_sync_batchnorm])
def test_norm_eval_holds_for_every_batch_norm(backbone, replace):
    model = backbone("nano", norm_eval=True)
    model.stem.append(torch.nn.BatchNorm2d(1)) if backbone is backbones.VMamba else None  # it has none of its own
    model = replace(model).train()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert model.stages[0].training


@pytest.mark.parametrize("backbone", [backbones.DFMamba])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_recomputation_counts_a_batch_once(backbone, momentum):
    plain, saving = build(backbone).train(), build(backbone, with_cp=True).train()
    for model in (plain, saving):
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = momentum
        for _ in range(2):
            gradients(model, model, images(2))
    for (name, expected), found in zip(plain.named_buffers(), saving.buffers(), strict=True):
        torch.testing.assert_close(found, expected, msg=name)
    assert {module.momentum for module in saving.modules() if hasattr(module, "momentum")} == {momentum}
