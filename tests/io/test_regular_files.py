"""What is opened as a file, and how texts are read."""

import os
import socket

import pytest

from dfmamba.io.regular_files import check_regular, encoding_of, open_regular, open_text, read_bytes, read_text, to_utf8

TEXT = "länger als vier Zeichen: 日本\n"
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")


@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-16-be with a mark"])
def test_text_with_or_without_a_mark(tmp_path, encoding):
    content = b"\xfe\xff" + TEXT.encode("utf-16-be") if "with" in encoding else TEXT.encode(encoding)
    (tmp_path / "a").write_bytes(content)
    assert read_text(tmp_path / "a") == TEXT
    with open_text(tmp_path / "a") as file:
        assert list(file) == [TEXT]
    assert to_utf8(content) == TEXT.encode("utf-8")
    assert read_bytes(tmp_path / "a") == content


@pytest.mark.parametrize("content", [b"\xff\xfea", b"caf\xe9", b"\xef\xbb\xbf\xff", b"\xff\xfe\0\0\xff\xff\xff\xff"])
def test_no_text(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match="a: expected a text in UTF-8, or with a byte-order mark"):
        read_text(tmp_path / "a")


def test_short_text(tmp_path):
    for content in (b"", b"a", b"\xef\xbb\xbf"):
        (tmp_path / "a").write_bytes(content)
        assert read_text(tmp_path / "a") == content.decode("utf-8-sig")
    assert encoding_of(b"") == "utf-8"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("folder", "a folder"),
        ("pipe", r"a pipe \(FIFO\)"),
        ("socket", "a socket"),
        ("device", "a device"),
        ("link to a device", "a device"),
    ],
)
def test_no_regular_file(tmp_path, kind, name):
    path = tmp_path / "a"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.path.relpath(path))
        server.close()
    elif kind == "device":
        path = path.__class__("/dev/zero")
    else:
        path.symlink_to("/dev/zero")
    for read in (open_regular, read_bytes, open_text, read_text):
        with pytest.raises(ValueError, match=f"{path}: expected a file, got {name}$"):
            read(path)
    if kind == "folder":
        check_regular(path)
    else:
        with pytest.raises(ValueError, match=name):
            check_regular(path)


def test_file_replaced_by_a_pipe_meanwhile(tmp_path, monkeypatch):
    """What was a file when it was looked at may be a pipe when it is opened: nobody waits for the other end."""
    os.mkfifo(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"")
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: real(tmp_path / "b", **options))
    with pytest.raises(ValueError, match="a pipe"):
        open_regular(tmp_path / "a")


def test_link_to_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_bytes(tmp_path / "b") == b"x"
    (tmp_path / "c").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "c")


def test_large_file(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**34 + 1)
    with pytest.raises(ValueError, match=f"expected a file of at most {2**34} bytes, got {2**34 + 1}"):
        open_regular(tmp_path / "a")
    with pytest.raises(ValueError, match="at most 10 bytes"):
        read_text(tmp_path / "a", 10)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_permission(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0)
    with pytest.raises(PermissionError, match=r"Permission denied: .*a'"):
        open_regular(tmp_path / "a")
