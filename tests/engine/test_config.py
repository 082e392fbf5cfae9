import pytest
from mmengine.config import Config

from dfmamba.engine import ConfigError, load_config
from dfmamba.engine.config import check_types, parse_options
from dfmamba.engine.registered import accepted_keywords, find_registered, nearest, wrong_keyword


@pytest.mark.parametrize(
    ("option", "unknown", "suggestion"),
    [
        ("modle.width=4", "has no 'modle'", "model.width"),
        ("model.widht=4", "has no 'widht'", "model.width"),
        ("train_cfg.max_epoch=9", "has no 'max_epoch'", "train_cfg.max_epochs"),
        ("optim_wrapper.optimizr.lr=1", "has no 'optimizr'", "optim_wrapper.optimizer.lr"),
        ("optim_wrapper.lr=1", "has no 'lr'", "optim_wrapper.optimizer.lr"),
        ("train_dataloader.batchsize=1", "has no 'batchsize'", "train_dataloader.batch_size"),
        ("default_hooks.checkpoint.save_bst=x", "has no 'save_bst'", "default_hooks.checkpoint.save_best"),
        ("param_scheduler.3.gamma=1", "a list of 1 entries", "a number from 0 to 0"),
        ("param_scheduler.x.gamma=1", "a list of 1 entries", "got 'x'"),
        ("model.width.size=1", "'model.width' is the value 8", "+model.width.size"),
        ("model=3", "'model' holds the keys type, width", "model.SOMETHING"),
        ("picture=x", "'picture' is a helper variable", "custom_hooks.0.filename"),
        ("train_cfg.max_epochs", "expected KEY=VALUE", "'train_cfg.max_epochs'"),
    ],
)
def test_a_wrong_option_names_the_place_and_the_nearest_key(toy_config_path, option, unknown, suggestion):
    with pytest.raises(ConfigError) as error:
        load_config(toy_config_path, [option])
    assert unknown in str(error.value)
    assert suggestion in str(error.value)


@pytest.mark.parametrize(
    ("option", "path", "value"),
    [
        ("optim_wrapper.optimizer.lr=1e-3", ("optim_wrapper", "optimizer", "lr"), 1e-3),
        ("model.dropout=0.5", ("model", "dropout"), 0.5),  # not in the config, but in the constructor
        ("default_hooks.checkpoint.interval=3", ("default_hooks", "checkpoint", "interval"), 3),
        ("default_hooks.checkpoint.priority=LOW", ("default_hooks", "checkpoint", "priority"), "LOW"),
        ("param_scheduler.0.gamma=0.5", ("param_scheduler", 0, "gamma"), 0.5),
        ("param_scheduler.0.milestones=[1,2]", ("param_scheduler", 0, "milestones"), [1, 2]),
        ("train_cfg.val_begin=2", ("train_cfg", "val_begin"), 2),
        ("train_dataloader.drop_last=True", ("train_dataloader", "drop_last"), True),
        ("optim_wrapper.accumulative_counts=2", ("optim_wrapper", "accumulative_counts"), 2),
        ("load_from=x.pth", ("load_from",), "x.pth"),
        ("find_unused_parameters=True", ("find_unused_parameters",), True),
        ("+my_own.key=5", ("my_own", "key"), 5),
        ("val_dataloader=None", ("val_dataloader",), None),
    ],
)
def test_a_right_option_is_set(toy_config_path, option, path, value):
    node = load_config(toy_config_path, [option])
    for key in path:
        node = node[key]
    assert node == value


@pytest.mark.parametrize("option", ["num_samples=4", "dataset.num_samples=4"])
def test_a_helper_variable_is_set_wherever_it_went(toy_config_path, option):
    config = load_config(toy_config_path, [option])
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        assert config[loader].dataset.num_samples == 4
    assert config.model.width == 8  # the same value under another name


def test_options_may_come_as_a_dict_and_are_merged_in_order(toy_config_path):
    config = load_config(toy_config_path, {"+extra.first": 1, "+extra.second": 2, "model.width": 4})
    assert (config.extra, config.model.width) == ({"first": 1, "second": 2}, 4)


@pytest.mark.parametrize(
    ("option", "path", "suggestion"),
    [
        ("model.type=ToyModl", "model.type", "ToyModel"),
        ("model.type=toymodel", "model.type", "ToyModel"),
        ("optim_wrapper.optimizer.type=AdmaW", "optim_wrapper.optimizer.type", "AdamW"),
        ("default_hooks.timer.type=IterTimeHook", "default_hooks.timer.type", "IterTimerHook"),
        ("custom_hooks.1.type=LossCurvHook", "custom_hooks.1.type", "LossCurveHook"),
        ("model.type=mmnowhere.ResNet", "model.type", "package mmnowhere, which is not installed"),
    ],
)
def test_a_misspelled_registry_name_is_refused_with_its_path(toy_config_path, option, path, suggestion):
    with pytest.raises(ConfigError) as error:
        load_config(toy_config_path, [option])
    assert f"{path}: " in str(error.value)
    assert suggestion in str(error.value)


def test_misspelled_keywords_in_a_file_are_all_named(toy_config_path):
    config = Config.fromfile(toy_config_path)
    config.model.widht = 3
    config.train_dataloader.dataset.num_sample = 3
    config.default_hooks.checkpoint.save_bst = "x"
    config.custom_hook = []
    with pytest.raises(ConfigError) as error:
        check_types(config)
    message = str(error.value)
    assert "model: ToyModel takes no keyword 'widht'. Did you mean width?" in message
    assert "train_dataloader.dataset: ToyHands takes no keyword 'num_sample'. Did you mean num_samples?" in message
    assert "CheckpointHook takes no keyword 'save_bst'. Did you mean save_best" in message
    assert "custom_hook: mmengine does not read this key. Did you mean custom_hooks?" in message


def test_names_with_a_scope_or_a_module_path_are_found():
    assert find_registered("mmengine.AdamW", "mmpose") == find_registered("AdamW", "mmpose")
    assert find_registered("torch.optim.AdamW", "mmpose")
    assert find_registered("mmpose.ResNet", "mmengine")
    assert find_registered("NoSuchThing", "mmpose") == []


class Parent:
    def __init__(self, width, depth=1):
        pass


class Closed(Parent):
    def __init__(self, colour, **kwargs):
        self.size = kwargs.pop("size", None)
        super().__init__(**kwargs)


class Open:
    def __init__(self, colour, **kwargs):
        pass


def test_kwargs_are_followed_through_the_classes():
    names, is_open = accepted_keywords(Closed)
    assert {"colour", "width", "depth", "size"} <= names
    assert "self" not in names
    assert not is_open
    assert accepted_keywords(Open)[1]


def test_open_kwargs_take_new_names_but_no_slips():
    assert wrong_keyword("anything", [Open]) is None
    assert wrong_keyword("colours", [Open]) == ["colour"]
    assert wrong_keyword("anything", [Closed]) == []
    assert wrong_keyword("deph", [Closed]) == ["depth"]
    assert wrong_keyword("deph", [Closed, dict]) is None  # a signature that cannot be read


def test_nearest_ignores_case():
    assert nearest("dfmanba", {"DFMamba", "VMamba", "ResNet"})[0] == "DFMamba"


def test_parse_options_reads_numbers_lists_and_text():
    parsed = parse_options(["a=1", "b=1e-3", "c=[1,2]", "d=(x,y)", "e=True", "f=None", "g=x=y"])
    assert parsed == {"a": 1, "b": 1e-3, "c": [1, 2], "d": ("x", "y"), "e": True, "f": None, "g": "x=y"}


def test_a_missing_config_suggests_a_file(toy_config_path):
    with pytest.raises(FileNotFoundError, match=r"toy_config\.py"):
        load_config(toy_config_path.with_name("toy_confg.py"))


def test_a_broken_config_is_the_users_error(tmp_path):
    (tmp_path / "broken.py").write_text("model = dict(")
    with pytest.raises(ConfigError, match=r"broken\.py: cannot be read"):
        load_config(tmp_path / "broken.py")
