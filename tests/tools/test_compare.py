"""The comparison: it compares like with like, finds what is there, and can say that DF-Mamba loses."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

import compare
import tool_process
from dfmamba.engine import comparison_runs
from dfmamba.engine.comparison_runs import load_configs
from dfmamba.engine.errors import ConfigError
from dfmamba.evaluation import comparison
from dfmamba.models.cost import RawEstimator, count_multiply_adds, count_parameters

ROOT = Path(__file__).parents[2]
NANO, PLAIN = (
    ROOT / "configs" / "comparison" / f"{name}.py" for name in ("dfmamba_nano", "dfmamba_nano_no_deformation")
)


def simulated_gt(rng, images=120):
    joints = rng.normal((0, 0, 600), 40, (images, 42, 3))
    return {
        "joints": joints,
        "valid": np.ones((images, 42), bool),
        "ids": list(range(images)),
        "sequence": np.arange(images) // 4,
    }


def simulated_errors(rng, mean_mm, images=120):
    return mean_mm + rng.normal(0, 0.1, (3, 1, 1)) + rng.normal(0, 2, (3, images, 42))


@pytest.mark.parametrize(
    ("second_mm", "expected"), [(22.0, "worse than ours"), (18.0, "better than ours"), (20.0, "no difference shown")]
)
def test_the_conclusion_follows_the_errors(second_mm, expected):
    rng = np.random.default_rng(1)
    gt = simulated_gt(rng)
    errors = {"ours": simulated_errors(rng, 20.0), "theirs": simulated_errors(rng, second_mm)}
    ours, theirs = comparison.summarise(["ours", "theirs"], errors, gt["valid"], gt)
    assert comparison.conclusion(ours, "ours") == "-"
    assert comparison.conclusion(theirs, "ours") == expected
    assert theirs["over_seeds"].mean == pytest.approx(errors["theirs"].mean())
    assert theirs["difference"].mean == pytest.approx(errors["theirs"].mean() - errors["ours"].mean())


def test_one_seed_is_said_to_be_one():
    rng = np.random.default_rng(1)
    gt = simulated_gt(rng)
    errors = {"ours": simulated_errors(rng, 20.0)[:1], "theirs": simulated_errors(rng, 22.0)[:1]}
    table = comparison.summarise(["ours", "theirs"], errors, gt["valid"], gt)
    assert comparison.conclusion(table[1], "ours") == "worse than ours, one seed only"
    costs = {"parameters_m": 1.0, "multiply_adds_g": 1.0, "training_s": 1.0}
    text = comparison.as_markdown([{**row, **costs} for row in table], "a header")
    assert text.count("(one seed)") == 2
    assert "nan" not in text


def test_thirds_are_by_hidden_joints():
    gt = simulated_gt(np.random.default_rng(2))
    thirds = comparison.occlusion_thirds(gt)
    assert [len(rows) for rows, _ in thirds] == [40, 40, 40]
    assert sorted(np.concatenate([rows for rows, _ in thirds])) == list(range(120))
    shares = [share for _, share in thirds]
    assert shares == sorted(shares)
    assert shares[0] < shares[2]


def test_only_models_may_differ(tmp_path):
    unfair = tmp_path / "unfair.py"
    unfair.write_text(f"_base_ = ['{NANO}']\noptim_wrapper = dict(optimizer=dict(lr=1e-2))\n")
    with pytest.raises(ConfigError, match=r"differs from .* in optim_wrapper\.optimizer\.lr: 0\.01 and 0\.0015"):
        load_configs([NANO, unfair], [])
    with pytest.raises(ConfigError, match="different file names"):
        load_configs([NANO, NANO], [])
    faster = tmp_path / "faster.py"
    faster.write_text(f"_base_ = ['{NANO}']\nvaried = ['optim_wrapper.optimizer.lr']\n")
    assert [config.optim_wrapper.optimizer.lr for config in load_configs([faster, unfair], [])] == [1.5e-3, 1e-2]
    assert len(load_configs(sorted((ROOT / "configs" / "comparison").glob("*.py")), [])) >= 4


def test_the_study_compares_models_of_equal_cost():
    """As its first config says: all else being equal, and the costs within some percent."""
    configs = load_configs(sorted((ROOT / "configs" / "study").glob("*.py")), [])
    assert len(configs) >= 10
    init_default_scope(configs[0].default_scope)
    for config in configs:
        model = MODELS.build(config.model)
        assert count_multiply_adds(RawEstimator(model), (3, 96, 96)) == pytest.approx(0.031e9, rel=0.06)
        assert count_parameters(model) < 0.66e6 or "resnet18" in config.filename


def test_the_constant_pose_is_the_protocols_own():
    """No error where every hand has one pose; a joint that moves by 30 mm in one of four makes one."""
    joints = np.zeros((4, 42, 3))
    valid = np.ones((4, 42), dtype=bool)
    assert comparison.constant_pose_mm({"joints": joints, "valid": valid}) == pytest.approx(0, abs=1e-3)
    joints[0, 0, 1] = 30
    assert comparison.constant_pose_mm({"joints": joints, "valid": valid}) == pytest.approx(30 / 4 / 42, abs=1e-3)


@pytest.mark.slow
def test_a_small_comparison_from_training_to_report(synthetic_set, tmp_path, monkeypatch, capsys):
    options = [
        f"{loader}.dataset.data_root={synthetic_set('interhand26m')}"
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader")
    ]
    options += [
        "train_dataloader.batch_size=2",
        "train_cfg.max_epochs=1",
        "train_dataloader.num_workers=0",
        "test_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=False",
        "test_dataloader.persistent_workers=False",
    ]
    command = [
        "compare",
        str(NANO),
        str(PLAIN),
        "--seeds",
        "0",
        "1",
        "--out",
        str(tmp_path / "out"),
        "--cfg-options",
        *options,
    ]

    def call(command, stdout, stderr, env):
        done = tool_process.run(*command[1:], env=env, merge=True)
        stdout.write(done.stdout)
        return done.returncode

    monkeypatch.setattr(comparison_runs.subprocess, "call", call)
    monkeypatch.setattr("sys.argv", command)
    compare.main()
    table = capsys.readouterr().out
    assert "| dfmamba_nano_no_deformation |" in table
    assert "| dfmamba_nano | 0.75 | 0.0230 |" in table
    assert "the best constant pose has" in table
    report = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [row["config"] for row in report["results"]] == [NANO.stem, PLAIN.stem]
    assert "SYNTHETIC" in report["header"].upper()
    layers = [len(row["deformation"]) for row in report["results"]]
    assert layers == [3, 0]  # nano's two DSSM stages have three blocks
    assert table.count("| dfmamba_nano | backbone.") == 3
    # the same number as the evaluator's own
    result = (tmp_path / "out" / NANO.stem / "seed0" / "test.log").read_text()
    assert f"{report['results'][0]['by_seed_mm'][0]:.2f}" in result
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 5000

    # What a report needs can be kept without the rest, and nothing is trained again.
    for folder in (tmp_path / "out").glob("*/seed*"):
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            if path.name not in ("run.json", "errors.npz", "deformation.json"):
                path.unlink()
    compare.main()
    again = capsys.readouterr().out
    assert again.count("is there") == 4
    assert again.endswith(table[table.index("comparison on") :])
