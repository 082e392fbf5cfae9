import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from dfmamba.synthesis.output import LIST, NOTE, STAGE, Layout, begin_set, finish_set, work

FIRST = Layout("first", "First v1", ("train", "test"), ("images", "labels.json"), 1)
SECOND = Layout("second", "Second v1", ("test",), ("images", "depth"), 1)
FILES = {FIRST: ("images/train/0.jpg", "images/train/1.jpg", "labels.json"), SECOND: ("images/0.png", "depth/0.png")}


def square(number):
    return number * number


def die_at_three(number):
    if number == 3:
        os._exit(1)  # as if the kernel had ended it for want of memory
    return number


def fail_at_three(number):
    if number == 3:
        raise RuntimeError("three")
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    seen = []
    assert work(square, range(20), workers, seen.append) == [n * n for n in range(20)]
    assert seen == [n * n for n in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_arrives(workers):
    with pytest.raises(RuntimeError, match="three"):
        work(fail_at_three, range(5), workers, lambda result: None)


def test_a_process_that_dies_ends_the_work():
    with pytest.raises(BrokenProcessPool):
        work(die_at_three, range(5), 2, lambda result: None)


def test_at_least_one_worker():
    with pytest.raises(ValueError, match="workers"):
        work(square, range(3), 0, lambda result: None)


def make(folder, layout, seed=0, overwrite=False, finish=True):
    """Write a set as the writers do; say whether there was something to do."""
    begun = begin_set(folder, layout, {"test": 1}, seed, None, overwrite)
    if begun is None:
        return False
    for name in FILES[layout]:
        path = folder / STAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{layout.name} {seed}")
    (folder / STAGE / "images" / "empty").mkdir()
    if finish:
        finish_set(folder, layout, begun[1])
    return True


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (NOTE, LIST)
    }


def test_a_set_of_the_same_layout_is_replaced_and_the_same_one_is_not_made_twice(tmp_path):
    assert make(tmp_path, FIRST)
    assert content(tmp_path) == dict.fromkeys(FILES[FIRST], "first 0")
    assert (tmp_path / "images" / "empty").is_dir()
    assert not make(tmp_path, FIRST)
    assert make(tmp_path, FIRST, seed=1)
    assert content(tmp_path) == dict.fromkeys(FILES[FIRST], "first 1")


def test_a_set_of_another_layout_stays_unless_it_is_to_be_replaced(tmp_path):
    make(tmp_path, FIRST)
    before = content(tmp_path)
    with pytest.raises(FileExistsError, match=r"Second v1, but .* a synthetic set of another layout.*overwrite"):
        make(tmp_path, SECOND)
    assert content(tmp_path) == before
    assert make(tmp_path, SECOND, overwrite=True)
    assert content(tmp_path) == dict.fromkeys(FILES[SECOND], "second 0")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_users_file_where_the_set_would_come_is_never_deleted(tmp_path, overwrite):
    mine = tmp_path / "images" / "deep" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    message = r"images/deep.* is in the way" if overwrite else "other files.*--overwrite"
    with pytest.raises(FileExistsError, match=message):
        make(tmp_path, FIRST, overwrite=overwrite)
    assert content(tmp_path) == {"images/deep/mine.jpg": "precious"}


def test_a_users_file_within_an_earlier_set_is_never_deleted(tmp_path):
    make(tmp_path, FIRST)
    mine = tmp_path / "images" / "train" / "mine.jpg"
    mine.write_text("precious")
    before = content(tmp_path)
    for layout, overwrite in ((FIRST, False), (FIRST, True), (SECOND, True)):
        with pytest.raises(FileExistsError, match=r"mine\.jpg is in the way"):
            make(tmp_path, layout, seed=1, overwrite=overwrite)
    assert content(tmp_path) == before


def test_a_users_file_beside_a_set_stays(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    (tmp_path / "labels.json.bak").write_text("precious")
    assert make(tmp_path, FIRST, overwrite=True)
    assert make(tmp_path, SECOND, overwrite=True)
    assert content(tmp_path) == dict.fromkeys(("thesis.tex", "labels.json.bak"), "precious") | dict.fromkeys(
        FILES[SECOND], "second 0"
    )


def test_an_unfinished_set_is_made_anew_and_the_earlier_one_stays_so_long(tmp_path):
    make(tmp_path, FIRST)
    make(tmp_path, FIRST, seed=1, finish=False)
    assert content(tmp_path)["labels.json"] == "first 0"
    assert NOTE in {path.name for path in (tmp_path / STAGE).iterdir()}
    (tmp_path / STAGE / "images" / "rest.jpg").write_text("half")
    assert make(tmp_path, FIRST, seed=1)
    assert content(tmp_path) == dict.fromkeys(FILES[FIRST], "first 1")
    assert not (tmp_path / STAGE).exists()


def test_a_users_folder_with_the_name_of_an_unfinished_set_is_not_touched(tmp_path):
    (tmp_path / STAGE).mkdir()
    (tmp_path / STAGE / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="not of this tool"):
        make(tmp_path, FIRST, overwrite=True)
    assert content(tmp_path) == {f"{STAGE}/mine.txt": "precious"}


def test_a_list_cannot_name_files_elsewhere(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    make(tmp_path / "set", FIRST)
    with (tmp_path / "set" / LIST).open("a") as file:
        file.write(f"../mine.txt\n{tmp_path}/mine.txt\n/\n./\n")
    make(tmp_path / "set", FIRST, seed=1)
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("spread", [float("nan"), float("inf"), -1.0, 181.0])
def test_an_impossible_spread_is_refused(tmp_path, spread):
    with pytest.raises(ValueError, match="view_spread_deg: expected 0 to 180"):
        begin_set(tmp_path / "set", FIRST, {"test": 1}, 0, spread, False)
    assert not (tmp_path / "set").exists()
