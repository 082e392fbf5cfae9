import errno
import json
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from dfmamba.datasets import annotation_index, index_files, source_digests
from dfmamba.datasets.annotation_index import AnnotationColumns, Index, cache_folder, digest_of_columns, open_index
from dfmamba.datasets.source_digests import digest_sources


def columns_of(text):
    return {
        "number": np.arange(6, dtype=np.int32).reshape(3, 2) + len(text),
        "word": np.array([text.encode(), b"b", b""]),
        "flag": np.array([True, False]),
        "nothing": np.zeros((0, 3), np.float32),
    }


class Parser:
    """A parser of the source's text that counts its calls."""

    def __init__(self, source):
        self.source, self.calls = source, 0

    def __call__(self):
        self.calls += 1
        return AnnotationColumns(columns_of(self.source.read_text()), {"root invalid": 2})


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.json"
    path.write_text("text")
    return path


@pytest.fixture
def parser(source):
    return Parser(source)


def reopen(parser, cache, options=None, version=1, layout="toy"):
    return open_index(layout, version, [parser.source], parser, options or {"faulty": "raise"}, cache)


def stored(cache):
    """The folder of the only index, whose files a test may damage."""
    (manifest,) = Path(cache).glob("annotation_index_v2/*/*/manifest.json")
    for path in manifest.parent.iterdir():
        path.chmod(0o644)
    return manifest.parent


def is_mapped(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return type(array).__name__ == "mmap"


# ---- built once, then mapped


def test_built_once_then_mapped(parser, tmp_path):
    indices = [reopen(parser, tmp_path / "cache") for _ in range(3)]
    assert parser.calls == 1
    for index in indices:
        assert index.skipped == {"root invalid": 2}
        assert index.digest == digest_of_columns(columns_of("text"))
        assert list(index.columns) == list(columns_of("text"))
        for name, expected in columns_of("text").items():
            column = index.columns[name]
            assert column.dtype == expected.dtype
            np.testing.assert_array_equal(column, expected)
            assert type(column) is np.ndarray
            assert is_mapped(column) or not column.size
            with pytest.raises(ValueError, match="read-only"):
                column[...] = 0


def test_manifest_says_what_was_read(parser, tmp_path):
    reopen(parser, tmp_path / "cache", {"hand": "right"})
    manifest = json.loads((stored(tmp_path / "cache") / "manifest.json").read_text())
    assert manifest["layout"] == "toy"
    assert manifest["options"] == {"hand": "right"}
    assert list(manifest["sources"]) == [str(parser.source)]
    assert manifest["columns"]["number"]["shape"] == [3, 2]


@pytest.mark.parametrize("change", [{"options": {"faulty": "skip"}}, {"version": 2}, {"layout": "other"}])
def test_other_settings_have_an_index_of_their_own(parser, tmp_path, change):
    reopen(parser, tmp_path)
    reopen(parser, tmp_path, **change)
    assert parser.calls == 2
    reopen(parser, tmp_path)
    assert parser.calls == 2


def test_another_format_has_another_folder(parser, tmp_path, monkeypatch):
    reopen(parser, tmp_path)
    monkeypatch.setattr(annotation_index, "FORMAT_VERSION", 3)
    reopen(parser, tmp_path)
    assert parser.calls == 2
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"annotation_index_v2", "annotation_index_v3"}


def test_the_content_decides_not_name_or_time(parser, tmp_path):
    first = reopen(parser, tmp_path / "cache")
    os.utime(parser.source, (1, 1))
    parser.source = parser.source.rename(tmp_path / "moved.json")
    assert reopen(parser, tmp_path / "cache").digest == first.digest
    assert parser.calls == 1
    parser.source.write_text("TEXT")  # as long as before
    second = reopen(parser, tmp_path / "cache")
    assert parser.calls == 2
    assert second.columns["word"][0] == b"TEXT"
    assert second.digest != first.digest


def test_digest_changes_with_name_type_shape_and_entry():
    base = {"a": np.arange(6)}
    others = [
        {"b": np.arange(6)},
        {"a": np.arange(6, dtype=np.int32)},
        {"a": np.arange(6).reshape(2, 3)},
        {"a": np.arange(1, 7)},
    ]
    assert len({digest_of_columns(columns) for columns in [base, *others]}) == 5


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DFMAMBA_CACHE_DIR", str(tmp_path / "variable"))
    assert cache_folder(tmp_path / "argument") == tmp_path / "argument/annotation_index_v2"
    assert cache_folder() == tmp_path / "variable/annotation_index_v2"
    monkeypatch.delenv("DFMAMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_folder() == tmp_path / "user/dfmamba/annotation_index_v2"


# ---- other processes


def open_in_process(source, cache, calls, seconds, queue):
    """Open with a slow parser that leaves a line in the file `calls`."""

    def build():
        with Path(calls).open("a") as file:
            file.write("call\n")
        time.sleep(seconds)
        return Parser(Path(source))()

    index = open_index("toy", 1, [Path(source)], build, {}, cache)
    queue.put((index.digest, is_mapped(index.columns["number"])))


def start(source, cache, calls, seconds=0.0):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=open_in_process, args=(source, cache, calls, seconds, queue))
    process.start()
    return process, queue


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_that_open_at_once_build_once(source, tmp_path, damaged):
    calls = tmp_path / "calls"
    if damaged:
        open_index("toy", 1, [source], Parser(source), {}, tmp_path / "cache")
        swap(stored(tmp_path / "cache"))
    started = [start(source, tmp_path / "cache", calls, 0.5) for _ in range(4)]
    results = [queue.get(timeout=30) for _, queue in started]
    for process, _ in started:
        process.join()
    assert results == [(digest_of_columns(columns_of("text")), True)] * 4
    assert calls.read_text() == "call\n"


@pytest.mark.parametrize("moment", ["parsing", "writing"])
def test_killed_while_building(source, tmp_path, monkeypatch, moment):
    calls, cache = tmp_path / "calls", tmp_path / "cache"
    if moment == "writing":  # hang after the second column, inherited by the forked process
        write = index_files._write_file

        def hang(path, *parts):
            write(path, *parts)
            if path.name == "word.npy":
                time.sleep(60)

        monkeypatch.setattr(index_files, "_write_file", hang)
    process, _ = start(source, cache, calls, 60 if moment == "parsing" else 0)
    deadline = time.monotonic() + 30
    while not (calls.exists() and (moment == "parsing" or list(cache.rglob("word.npy")))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    monkeypatch.undo()
    assert not list(cache.rglob("manifest.json"))
    process, queue = start(source, cache, calls)
    assert queue.get(timeout=30) == (digest_of_columns(columns_of("text")), True)
    process.join()
    assert not list(cache.rglob("*.tmp"))


def test_copies_for_other_processes_are_small_and_mapped(parser, tmp_path):
    index = reopen(parser, tmp_path)
    pickled = pickle.dumps(index)
    assert len(pickled) < 500
    copy = pickle.loads(pickled)
    assert is_mapped(copy.columns["number"])
    np.testing.assert_array_equal(copy.columns["number"], index.columns["number"])


@pytest.mark.slow
def test_worker_that_is_spawned_maps_its_index_anew(parser, tmp_path):
    index = reopen(parser, tmp_path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        digest, mapped, numbers = pool.apply(look_at, (index,))
    assert (digest, mapped) == (index.digest, True)
    np.testing.assert_array_equal(numbers, index.columns["number"])


def look_at(index):
    return index.digest, is_mapped(index.columns["number"]), index.columns["number"].copy()


def test_who_has_mapped_a_damaged_index_keeps_it(parser, tmp_path):
    index = reopen(parser, tmp_path)
    (stored(tmp_path) / "manifest.json").unlink()
    reopen(parser, tmp_path)
    np.testing.assert_array_equal(index.columns["number"], columns_of("text")["number"])


# ---- damage and trouble


def cut(folder):
    path = folder / "number.npy"
    path.write_bytes(path.read_bytes()[:-1])


def swap(folder):
    """Another column of as many bytes."""
    numbers = columns_of("text")["number"]
    np.save(folder / "number.npy", numbers.view(np.float32))


DAMAGES = {
    "column cut short": cut,
    "column of another type": swap,
    "column missing": lambda folder: (folder / "flag.npy").unlink(),
    "column emptied": lambda folder: (folder / "number.npy").write_bytes(b""),
    "column overwritten": lambda folder: (folder / "word.npy").write_bytes(b"x" * (folder / "word.npy").stat().st_size),
    "manifest missing": lambda folder: (folder / "manifest.json").unlink(),
    "manifest cut short": lambda folder: (folder / "manifest.json").write_text("{"),
    "manifest of another kind": lambda folder: (folder / "manifest.json").write_text("[1]"),
    "manifest without columns": lambda folder: (folder / "manifest.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_index_is_built_anew(parser, tmp_path, log, damage):
    reopen(parser, tmp_path)
    DAMAGES[damage](stored(tmp_path))
    log.clear()
    index = reopen(parser, tmp_path)
    assert parser.calls == 2
    assert f"{stored(tmp_path)} is damaged and is rebuilt" in log.text
    np.testing.assert_array_equal(index.columns["number"], columns_of("text")["number"])
    log.clear()
    reopen(parser, tmp_path)
    assert parser.calls == 2
    assert not log.text
    assert not list(tmp_path.rglob("*.tmp"))


def test_cache_that_cannot_be_written(parser, tmp_path, log):
    (tmp_path / "file").write_text("no folder")
    index = reopen(parser, tmp_path / "file")
    assert parser.calls == 1
    assert log.text.count("cannot be stored in") == 1
    assert "cache_dir or DFMAMBA_CACHE_DIR" in log.text
    assert index.folder is None
    copy = pickle.loads(pickle.dumps(index))
    for column in (index.columns["number"], copy.columns["number"]):
        np.testing.assert_array_equal(column, columns_of("text")["number"])
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0


def test_full_disk(parser, tmp_path, log, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    index = reopen(parser, tmp_path)
    assert "No space left on device" in log.text
    np.testing.assert_array_equal(index.columns["number"], columns_of("text")["number"])
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    reopen(parser, tmp_path)
    assert stored(tmp_path)


def test_stored_index_needs_no_writing(parser, tmp_path, monkeypatch, log):
    reopen(parser, tmp_path)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("mkdir", "write_text", "replace", "rename"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(annotation_index, "FileLock", refuse)
    log.clear()
    assert is_mapped(reopen(parser, tmp_path).columns["number"])
    assert not log.text
    assert reopen(parser, tmp_path, version=2).folder is None
    assert "Permission denied" in log.text


def test_error_of_the_parser_leaves_nothing(source, tmp_path):
    def fail():
        raise ValueError("record 5: broken")

    with pytest.raises(ValueError, match="record 5: broken"):
        open_index("toy", 1, [source], fail, {}, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    index = open_index("toy", 1, [source], Parser(source), {}, tmp_path / "cache")  # the lock is free again
    assert is_mapped(index.columns["number"])


@pytest.mark.parametrize("things", [np.array([{}]), np.array(["text"]), np.zeros(2, dtype="i4,i4")])
def test_columns_of_other_things_are_refused(things):
    with pytest.raises(TypeError, match="'things': expected numbers or bytes, got"):
        AnnotationColumns({"things": things}, {})


def test_source_that_changes_while_it_is_parsed(source, tmp_path):
    def build():
        source.write_text("more text")
        return Parser(source)()

    with pytest.raises(ValueError, match="changed while they were read"):
        open_index("toy", 1, [source], build, {}, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("manifest.json"))


def test_missing_source(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        open_index("toy", 1, [tmp_path / "nowhere.json"], dict, {}, tmp_path / "cache")


# ---- digests of sources


def settle(path):
    """Wait until the file is older than what may change unseen."""
    time.sleep(max(0.0, path.stat().st_ctime + source_digests.UNSETTLED_NS / 1e9 - time.time() + 0.01))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(source_digests, "UNSETTLED_NS", 10**8)


def test_digests_are_remembered(source, tmp_path, monkeypatch, quick):
    settle(source)
    first = digest_sources([source], tmp_path / "memory.json")
    monkeypatch.setattr(source_digests, "_digest_file", lambda *_: pytest.fail("read again"))
    assert digest_sources([source], tmp_path / "memory.json") == first


def test_long_reading_is_announced(source, tmp_path, monkeypatch, log):
    digest_sources([source], tmp_path / "memory.json")
    assert not log.text
    monkeypatch.setattr(source_digests, "SLOW_BYTES", 3)
    digest_sources([source], tmp_path / "memory.json")
    assert f"reading {source}" in log.text


def test_young_file_is_not_remembered(source, tmp_path):
    first = digest_sources([source], tmp_path / "memory.json")
    stat = source.stat()
    source.write_text("TEXT")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digest_sources([source], tmp_path / "memory.json") != first


def test_change_behind_the_back_is_seen(source, tmp_path, quick):
    """As long as before and the same time of change: the time of the entry tells."""
    settle(source)
    first = digest_sources([source], tmp_path / "memory.json")
    stat = source.stat()
    source.write_text("TEXT")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digest_sources([source], tmp_path / "memory.json") != first


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"path": 5}', '{"path": [["x"], "y"]}'])
def test_damaged_memory_is_ignored(source, tmp_path, quick, damage):
    settle(source)
    first = digest_sources([source], tmp_path / "memory.json")
    (tmp_path / "memory.json").write_text(damage)
    assert digest_sources([source], tmp_path / "memory.json") == first


def test_listing_of_a_folder(tmp_path):
    folder, memory = tmp_path / "masks", tmp_path / "memory.json"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/0.png").write_bytes(b"12")
    first = digest_sources([folder], memory)
    assert digest_sources([folder], memory) == first
    (folder / "deep/1.png").write_bytes(b"12")
    second = digest_sources([folder], memory)
    (folder / "deep/1.png").write_bytes(b"123")
    third = digest_sources([folder], memory)
    (folder / "deep/1.png").rename(folder / "1.png")
    assert len({*first, *second, *third, *digest_sources([folder], memory)}) == 4


@pytest.mark.parametrize("keep", ["nothing", "times", "time of change"])
def test_listing_shows_a_file_of_the_same_size(tmp_path, monkeypatch, keep):
    """Swapped by renaming, perhaps with the time of change set back; or rewritten within a tick of a coarse clock."""
    if keep != "times":
        monkeypatch.setattr(source_digests, "UNSETTLED_NS", 0)  # no file is so young that its content counts
    path, memory = tmp_path / "masks/0.png", tmp_path / "memory.json"
    path.parent.mkdir()
    path.write_bytes(b"12")
    first = digest_sources([path.parent], memory)
    status = path.stat()
    if keep == "times":
        path.write_bytes(b"21")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        (tmp_path / "other").write_bytes(b"21")
        if keep == "time of change":
            os.utime(tmp_path / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
        (tmp_path / "other").replace(path)
    assert digest_sources([path.parent], memory) != first


def test_content_of_young_files_counts_not_their_times(tmp_path):
    path, memory = tmp_path / "masks/0.png", tmp_path / "memory.json"
    path.parent.mkdir()
    path.write_bytes(b"12")
    now_ns = time.time_ns()
    first = digest_sources([path.parent], memory, now_ns)
    os.utime(path, ns=(now_ns, now_ns))
    assert digest_sources([path.parent], memory, now_ns) == first
    path.write_bytes(b"21")
    assert digest_sources([path.parent], memory, now_ns) != first


def test_young_folder_can_be_read_slowly(tmp_path, quick):
    """The files are young when reading begins, and are not when it ends: this is no change."""
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/0.png").write_bytes(b"12")

    def build():
        settle(tmp_path / "masks/0.png")
        return AnnotationColumns({"a": np.arange(3)}, {})

    assert open_index("toy", 1, [tmp_path / "masks"], build, {}, tmp_path / "cache").folder


def test_index_alone_is_picklable_without_a_folder():
    index = Index({"a": np.arange(3)}, {}, "0")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(index)).columns["a"], np.arange(3))
