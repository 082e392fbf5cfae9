"""What becomes of damaged indices: nothing is ever read wrong, and nothing ends with an error that says nothing."""

import itertools
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from interhand_fixture import contents, write_annotations, write_images

from dfmamba.datasets import InterHand26MDataset, annotation_index, index_files
from dfmamba.datasets.annotation_index import AnnotationColumns, map_index, open_index, verify_index


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.json"
    path.write_text("text")
    return path


class Opener:
    """Opens an index of a few columns, and counts how often it is built."""

    def __init__(self, source, cache):
        self.source, self.cache, self.builds = source, cache, 0

    def __call__(self, **arguments):
        return open_index("toy", 1, [self.source], self.build, {}, self.cache, **arguments)

    def build(self):
        self.builds += 1
        return AnnotationColumns(
            {
                "number": np.arange(6, dtype=np.int32).reshape(3, 2),
                "word": np.array([b"text", b"b", b""]),
                "empty": np.zeros((0, 3), np.float32),
            },
            {"root invalid": 2},
        )

    @property
    def folder(self):
        (manifest,) = Path(self.cache).glob("annotation_index_v*/toy/*/manifest.json")
        return manifest.parent


@pytest.fixture
def opener(source, tmp_path):
    return Opener(source, tmp_path / "cache")


def overwrite(path, content):
    """Write a file of an index, which is read-only (root may all the same)."""
    path.chmod(0o644)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def flip(path, position, bits):
    content = bytearray(path.read_bytes())
    content[position] ^= bits
    overwrite(path, bytes(content))


# ---- every sample of a data set, after any single flipped byte


FLIPS = 10  # in each of the 22 files


def open_interhand(root, **arguments):
    return InterHand26MDataset(split="test", data_root=str(root), cache_dir=str(root / "cache"), **arguments)


def all_samples(dataset):
    return [dataset.get_data_info(number) for number in range(len(dataset))], dataset.skipped, dataset.metainfo


def assert_same(one, two):
    (samples, *rest), (expected, *expected_rest) = one, two
    assert len(samples) == len(expected)
    for sample, other in zip(samples, expected, strict=True):
        assert sample.keys() == other.keys()
        for key in sample:
            np.testing.assert_array_equal(sample[key], other[key])
    np.testing.assert_equal(rest, expected_rest)


@pytest.mark.slow
def test_any_flipped_byte_is_noticed(tmp_path, log):
    write_annotations(tmp_path, contents())
    write_images(tmp_path, contents())
    expected = all_samples(open_interhand(tmp_path))
    (manifest,) = (tmp_path / "cache").rglob("manifest.json")
    rng = np.random.default_rng(0)
    files, content = sorted(manifest.parent.iterdir()), json.loads(manifest.read_text())
    assert len(files) > 10
    rebuilt = 0
    for file, _ in itertools.product(files, range(FLIPS)):
        position, bits = int(rng.integers(file.stat().st_size)), int(rng.integers(1, 256))
        flip(file, position, bits)
        log.clear()
        assert_same(all_samples(open_interhand(tmp_path)), expected)
        warnings = [record.getMessage() for record in log.records if record.levelname == "WARNING"]
        if file == manifest and not warnings:  # white space became other white space
            assert json.loads(manifest.read_text()) == content
            flip(file, position, bits)
            continue
        assert len(warnings) == 1, (file, position, bits)
        assert "is damaged and is rebuilt: " in warnings[0]
        assert file.name in warnings[0]
        rebuilt += 1
    assert rebuilt > 0.95 * len(files) * FLIPS


@pytest.mark.parametrize("name", ["number.npy", "word.npy", "empty.npy"])
def test_large_indices_are_compared_on_request(opener, monkeypatch, name):
    index = opener()
    monkeypatch.setattr(index_files, "CHECKED_BYTES", 100)
    verify_index(index)
    flip(opener.folder / name, -1, 1)
    opener()
    assert opener.builds == 1
    with pytest.raises(ValueError, match=rf"{name}: expected the checksum \(CRC-32\) [0-9a-f]{{8}}, got"):
        verify_index(index)
    mended = opener(verify=True)
    assert opener.builds == 2
    assert name in mended.replaced
    verify_index(mended)


def test_a_digest_of_other_columns_is_noticed():
    index = index_files.Index({"a": np.arange(3)}, {}, index_files.digest_of_columns({"a": np.arange(3)}))
    verify_index(index)
    index.digest = "0" * 64
    with pytest.raises(ValueError, match="an annotation index in memory: expected columns with the digest 0000"):
        verify_index(index)


def test_numbers_that_lead_nowhere(tmp_path, monkeypatch):
    """A large index, which is not compared with its checksums at opening."""
    write_annotations(tmp_path, contents())
    write_images(tmp_path, contents())
    open_interhand(tmp_path)
    (path,) = (tmp_path / "cache").rglob("camera.npy")
    flip(path, -1, 0x40)
    monkeypatch.setattr(index_files, "CHECKED_BYTES", 100)
    dataset = open_interhand(tmp_path)
    with pytest.raises(
        ValueError,
        match=rf"row \d+ of the annotation index cannot be read .*{path.parent}.*"
        "verify_index=True",
    ):
        all_samples(dataset)
    all_samples(open_interhand(tmp_path, verify_index=True))


# ---- manifests


def forge(folder, change):
    """Change a manifest and its checksum, as no accident would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("sha256")
    change(manifest)
    overwrite(folder / "manifest.json", json.dumps({**manifest, "sha256": index_files._digest_of_json(manifest)}))


def set_column(**entries):
    return lambda manifest: manifest["columns"]["number"].update(entries)


def rename_column(name):
    return lambda manifest: manifest["columns"].update({name: manifest["columns"].pop("number")})


FORGERIES = {
    "a name that leads out": rename_column("../number"),
    "an absolute name": rename_column("/tmp/number"),
    "an empty name": rename_column(""),
    "a huge shape": set_column(shape=[2**62, 2**62]),
    "a negative shape": set_column(shape=[-3, -2]),
    "a shape of text": set_column(shape=["3", "2"]),
    "a shape of ground truth": set_column(shape=[True, 6]),
    "no shape": lambda manifest: manifest["columns"]["number"].pop("shape"),
    "a key more": set_column(extra=1),
    "an offset behind the end": set_column(offset=10**6),
    "a negative offset": set_column(offset=-24, bytes=0),
    "objects": set_column(dtype="|O8"),
    "a type of nonsense": set_column(dtype="(3,"),
    "a type that is a list": set_column(dtype=[["a", "<i4"]]),
    "a column that is a number": lambda manifest: manifest["columns"].update(number=5),
    "columns in a list": lambda manifest: manifest.update(columns=[]),
    "counts of text": lambda manifest: manifest.update(skipped={"root invalid": "many"}),
    "counts in a list": lambda manifest: manifest.update(skipped=[1]),
    "no digest": lambda manifest: manifest.pop("digest"),
    "a digest that is a number": lambda manifest: manifest.update(digest=5),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_manifest(opener, log, name):
    expected = opener().columns["number"].copy()
    forge(opener.folder, FORGERIES[name])
    with pytest.raises(ValueError, match="expected the manifest of an annotation index, got a damaged one"):
        map_index(opener.folder)
    np.testing.assert_array_equal(opener().columns["number"], expected)
    assert opener.builds == 2
    assert log.text.count("is damaged and is rebuilt") == 1


OTHER_CONTENTS = {
    "not UTF-8": b"\xff\xfe{",
    "NUL": b"\0" * 50,
    "deep": b"[" * 100_000,
    "null": b"null",
    "text": b'"x"',
    "a manifest of version 1": b'{"format": 1, "columns": {}, "skipped": {}, "digest": "0"}',
    "a huge number": b"[" + b"9" * 10_000 + b"]",
}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"root invalid": 2', '"root invalid": 3'),
        ('"digest": "', '"digest": "0'),
        ('"dtype": "<i4"', '"dtype": "<f4"'),
        ("source.json", "source.jsom"),
    ],
)
def test_manifest_that_says_something_else(opener, log, old, new):
    before = opener()
    manifest = opener.folder / "manifest.json"
    assert old in manifest.read_text()
    overwrite(manifest, manifest.read_text().replace(old, new))
    after = opener()
    assert opener.builds == 2
    assert log.text.count("is damaged and is rebuilt") == 1
    assert (after.skipped, after.digest) == (before.skipped, before.digest)


@pytest.mark.parametrize("name", OTHER_CONTENTS)
def test_manifest_of_another_content(opener, log, name):
    opener()
    overwrite(opener.folder / "manifest.json", OTHER_CONTENTS[name])
    opener()
    assert opener.builds == 2
    assert log.text.count("is damaged and is rebuilt") == 1


@pytest.mark.parametrize("name", ["manifest.json", "number.npy"])
@pytest.mark.parametrize("replace", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_other_things_in_place_of_a_file(opener, name, replace):
    opener()
    path = opener.folder / name
    folder = opener.folder
    path.unlink()
    replace(path)
    opener()
    assert opener.builds == 2
    assert opener.folder == folder
    assert path.is_file()


def test_a_file_in_place_of_the_folder(opener):
    opener()
    folder = opener.folder
    folder.rename(folder.with_name("away"))
    folder.write_text("")
    opener()
    assert opener.builds == 2
    assert folder.is_dir()
    assert not list(folder.parent.glob("*.tmp"))


def test_damaged_index_of_a_source_that_is_gone(opener):
    opener()
    flip(opener.folder / "number.npy", -1, 1)
    opener.source.unlink()
    with pytest.raises(FileNotFoundError, match=r"source\.json"):
        opener()


def test_index_deleted_before_a_worker_maps_it(opener):
    pickled = pickle.dumps(opener())
    shutil.rmtree(opener.folder)
    with pytest.raises(FileNotFoundError, match=r"no annotation index in .*deleted"):
        pickle.loads(pickled)


# ---- files that change under the reader


def test_files_are_read_only(opener):
    opener()
    for path in opener.folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o444, path


@pytest.mark.slow
def test_file_cut_short_while_it_is_mapped(tmp_path):
    """Reading it would kill the process by SIGBUS, so it runs in another one."""
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from interhand_fixture import contents, write_annotations, write_images
from test_index_damage import open_interhand
root = Path({str(tmp_path)!r})
write_annotations(root, contents())
write_images(root, contents())
dataset = open_interhand(root)
dataset.get_data_info(0)
(path,) = root.rglob("world_mm.npy")
path.chmod(0o644)
os.truncate(path, 0)
try:
    dataset.get_data_info(0)
except ValueError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "refused:" in done.stdout
    assert "world_mm.npy: expected" in done.stdout
    assert "got 0: the file was cut short while it was in use" in done.stdout


# ---- trouble while building


def test_disk_that_is_full_while_building(opener, log):
    """The limit on the size of files is the kernel's own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    build = opener.build
    opener.build = lambda: AnnotationColumns(build().columns | {"big": np.arange(10_000)}, {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        index = opener()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in log.text
    assert "it is held in memory" in log.text
    assert index.folder is None
    np.testing.assert_array_equal(index.columns["big"], np.arange(10_000))
    assert not [path for path in opener.cache.rglob("*") if path.suffix in (".tmp", ".npy")]
    assert opener().folder is not None


def test_disk_that_stores_something_else(opener, log, monkeypatch):
    write = index_files._write_file
    monkeypatch.setattr(
        index_files,
        "_write_file",
        lambda path, *parts: write(path, *(bytes(part).replace(b"text", b"tent") for part in parts)),
    )
    index = opener()
    assert "word.npy: expected the checksum" in log.text
    assert index.folder is None
    assert index.columns["word"][0] == b"text"
    assert not list(opener.cache.rglob("*.npy"))


def test_lock_of_a_process_that_is_gone(opener):
    opener()
    (lock,) = opener.cache.rglob("*.lock")
    flip(opener.folder / "number.npy", -1, 1)
    lock.write_text("4194304")  # its number; nobody holds the lock
    opener()
    assert opener.builds == 2


def test_names_of_columns_are_those_of_files():
    for name in ("../x", "a/b", "", "a b", "manifest.json", "1", "é"):
        with pytest.raises(TypeError, match="expected a name of letters, digits and underscores"):
            AnnotationColumns({name: np.arange(3)}, {})


def test_damage_is_logged_once_though_looked_at_twice(opener, log, monkeypatch):
    opener()
    flip(opener.folder / "number.npy", -1, 1)
    looked = []
    map_if_whole = annotation_index._map_if_whole
    monkeypatch.setattr(annotation_index, "_map_if_whole", lambda *args: looked.append(1) or map_if_whole(*args))
    opener()
    assert len(looked) == 2
    assert log.text.count("is damaged and is rebuilt") == 1
