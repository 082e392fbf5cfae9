"""Which file a training goes on from."""

import os

import pytest
import torch

from dfmamba.engine.checkpoint_folder import newest_checkpoint
from dfmamba.engine.errors import ConfigError
from dfmamba.io.atomic import remove_leftovers, write_atomically


def write_state(folder, name, iteration, training="a", age_s=0):
    path = folder / name
    meta = {"iter": iteration, "epoch": 0, "training_id": training}
    torch.save({"meta": meta, "optimizer": {}, "state_dict": {}}, path)
    os.utime(path, ns=(0, 10**18 - age_s * 10**9))
    return path


def test_the_state_that_came_farthest_is_taken_even_if_the_pointer_is_behind(tmp_path, log):
    write_state(tmp_path, "epoch_1.pth", 4)
    newest = write_state(tmp_path, "epoch_2.pth", 8)
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_1.pth"))
    assert newest_checkpoint(tmp_path) == newest
    assert "epoch_2.pth, iteration 8" in log.text


@pytest.mark.parametrize("pointer", [None, "", "epoch_9.pth"])
def test_a_missing_empty_or_wrong_pointer_does_not_matter(tmp_path, pointer):
    newest = write_state(tmp_path, "epoch_2.pth", 8)
    if pointer is not None:
        (tmp_path / "last_checkpoint").write_text(pointer)
    assert newest_checkpoint(tmp_path) == newest


def test_damaged_files_are_passed_over_and_named(tmp_path, log):
    whole = write_state(tmp_path, "epoch_1.pth", 4)
    half = write_state(tmp_path, "epoch_2.pth", 8)
    half.write_bytes(half.read_bytes()[:300])
    (tmp_path / "last_checkpoint").write_text(str(half))
    assert newest_checkpoint(tmp_path) == whole
    assert "left alone" in log.text
    assert "epoch_2.pth" in log.text


def test_states_of_another_training_in_the_folder_are_not_taken(tmp_path):
    write_state(tmp_path, "epoch_42.pth", 168, training="old", age_s=99)
    own = write_state(tmp_path, "epoch_1.pth", 4, training="new")
    assert newest_checkpoint(tmp_path) == own
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_42.pth"))
    assert newest_checkpoint(tmp_path).name == "epoch_42.pth"


def test_best_files_and_weights_alone_are_no_states(tmp_path):
    write_state(tmp_path, "best_x_epoch_1.pth", 4)
    assert newest_checkpoint(tmp_path) is None
    torch.save({"state_dict": {}}, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"none of its 1 checkpoints .*weights\.pth: holds no state"):
        newest_checkpoint(tmp_path)


def test_a_pointer_that_leads_out_of_the_folder_is_refused(tmp_path):
    inside, outside = tmp_path / "work", tmp_path / "other"
    inside.mkdir()
    outside.mkdir()
    write_state(inside, "epoch_1.pth", 4)
    target = write_state(outside, "epoch_1.pth", 8)
    for text in (str(target), "../other/epoch_1.pth", str(outside / "epoch_9.pth")):
        (inside / "last_checkpoint").write_text(text)
        if text.endswith("9.pth") or text.startswith(".."):
            (inside / "epoch_1.pth").unlink(missing_ok=True)
        with pytest.raises(ConfigError, match="outside of its folder"):
            newest_checkpoint(inside)


def test_a_folder_that_was_moved_still_works(tmp_path):
    state = write_state(tmp_path, "epoch_1.pth", 4)
    (tmp_path / "last_checkpoint").write_text("/where/it/was/epoch_1.pth")
    assert newest_checkpoint(tmp_path) == state


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "x.pth"
    write_atomically(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_leftovers_of_killed_processes_are_removed(tmp_path):
    for name in ("epoch_1.pth", "epoch_1.pth.123.tmp", "notes.tmp", "epoch_1.pth.mine.tmp"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "*.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch_1.pth", "epoch_1.pth.mine.tmp", "notes.tmp"]
