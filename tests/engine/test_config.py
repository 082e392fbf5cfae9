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
    assert find_registered("pseudo_collate", "mmpose")  # mmpose has no registry of functions, mmengine has
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


@pytest.mark.parametrize(
    ("text", "now", "value"),
    [
        ("1", None, 1),
        ("1e-3", 0.1, 1e-3),
        ("[1,2]", None, [1, 2]),
        ("(x,y)", None, ("x", "y")),
        ("True", None, True),
        ("None", "text", None),
        ("x=y", None, "x=y"),
        ("[(1, 2), [a]]", None, [(1, 2), ["a"]]),
        ("", "text", ""),
        ("1,2", None, [1, 2]),
        ("a,b", ["c"], ["a", "b"]),
        ("a,b", None, "a,b"),
        ("1,2", "text", "1,2"),
        ("/data/a,b", "/data", "/data/a,b"),
        ("/data/my set", "/data", "/data/my set"),
        ("'1,2'", None, "1,2"),
        ('{"a": "b,c", "d": [1]}', None, {"a": "b,c", "d": [1]}),
        ("512", "dynamic", 512),
        ("\u0661", 1, "\u0661"),
    ],
)
def test_parse_options_reads_numbers_lists_literals_and_text(text, now, value):
    parsed = parse_options([f"x.y={text}"], {"x.y": now})["x.y"]
    assert (parsed, type(parsed)) == (value, type(value))


def test_digits_may_name_a_folder():
    assert parse_options(["data_root=1_000", "load_from=2024"], {"data_root": "data", "load_from": "x.pth"}) == {
        "data_root": "1_000",
        "load_from": "2024",
    }


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.width={type:X}", "model.width: expected a Python literal, .* got {type:X}"),
        ("+model.extra=dict(type='X', a=1)", "expected a dict as a literal"),
        ("model.width=[1,2", r"model.width: expected a list such as \[a,b\], got \[1,2"),
        ("model.width=nan", "model.width: expected a value, got NaN"),
        ("+custom_hooks.7.type=x", "cannot set '\\+custom_hooks.7.type': "),
        ("=3", "expected KEY=VALUE, got '=3'"),
    ],
)
def test_an_option_that_is_no_value_is_refused(toy_config_path, option, message):
    with pytest.raises(ConfigError, match=message):
        load_config(toy_config_path, [option])


def test_a_dict_is_merged_and_its_type_checked(toy_config_path):
    config = load_config(toy_config_path, ["optim_wrapper.optimizer={'type': 'SGD', 'momentum': 0.5}"])
    assert config.optim_wrapper.optimizer == {"type": "SGD", "lr": 0.01, "momentum": 0.5}
    with pytest.raises(ConfigError, match=r"nothing is registered as 'SDG'.* Did you mean SGD"):
        load_config(toy_config_path, ["optim_wrapper.optimizer={'type': 'SDG'}"])


def test_a_missing_config_suggests_a_file(toy_config_path):
    with pytest.raises(FileNotFoundError, match=r"toy_config\.py"):
        load_config(toy_config_path.with_name("toy_confg.py"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x = 1\nmodel = dict(", r"line 2: '\(' was never closed: model = dict\("),
        (b"x = 1\ny = x / 0", r"line 2 of broken\.py: ZeroDivisionError"),
        (b"import math\nx = unknown", r"line 2 of broken\.py: NameError: name 'unknown'"),
        (b"import no_such_package\nmodel = dict(type='X')", "no_such_package"),
        (b"_base_ = ['other.py']", r"names .*/other\.py in _base_, and there is no such file\. .* absolute paths"),
        (b"_base_ = ['broken.py']", "_base_ goes in a circle"),
        (b"x = 3\0", "expected a text file in UTF-8, got other bytes"),
        ("# café".encode("latin-1"), "expected a text file in UTF-8, got other bytes"),
        (b"\x80\x02}q\x00.", "expected a text file in UTF-8, got other bytes"),
        (
            b"custom_imports = dict(imports=['no_such.part'])",
            "custom_imports: cannot import no_such.part, for it needs no_such.* PYTHONPATH",
        ),
        (b"custom_imports = dict(imports=['dfmamba.no_such'])", r"cannot import dfmamba.no_such, which is not there"),
        (b"custom_imports = ['dfmamba']", r"custom_imports: expected dict\(imports="),
    ],
)
def test_a_broken_config_is_the_users_error(tmp_path, content, message):
    (tmp_path / "broken.py").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as error:
        load_config(tmp_path / "broken.py")
    assert str(error.value).startswith(f"{tmp_path}/broken.py: ")


def test_what_is_no_file_is_called_so(tmp_path):
    with pytest.raises(ConfigError, match="expected a config file, got a folder"):
        load_config(tmp_path)
    (tmp_path / "x.txt").touch()
    with pytest.raises(ConfigError, match=r"x\.txt: cannot be read as a config: OSError: Only py"):
        load_config(tmp_path / "x.txt")


def test_a_module_that_is_there_and_broken_is_no_mistake_in_the_config(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("1 + 'a'")
    (tmp_path / "config.py").write_text("custom_imports = dict(imports=['broken_module'])")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TypeError):
        load_config(tmp_path / "config.py")
