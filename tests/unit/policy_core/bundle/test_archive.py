"""The archive reader accepts exactly what the writer writes; everything hostile is refused before it is used."""

import contextlib
import gzip
import io
import os
import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core import gzipped
from policy_core.bundle import archive
from policy_core.bundle.archive import ArchiveError, compress, decompress, read_tar, write_tar
from policy_core.gzipped import PIECE

FILES = {
    "manifest.json": b"{}",
    "policies/a.yaml": b"version: v1\n",
    "policies/" + "long/" * 40 + "b.yaml": b"x" * 1500,
}
_segment = st.text("abcxyz-_.0é", min_size=1, max_size=12).filter(lambda s: s not in {".", ".."})
_paths = st.lists(_segment, min_size=1, max_size=4).map("/".join)


@given(st.dictionaries(_paths, st.binary(max_size=1200), max_size=6))
def test_reading_inverts_writing(files):
    assert read_tar(decompress(compress(write_tar(files)))) == files


def test_order_of_files_does_not_matter():
    assert write_tar(FILES) == write_tar(dict(reversed(FILES.items())))


def test_ordinary_tar_tools_can_read_a_bundle():
    with tarfile.open(fileobj=io.BytesIO(compress(write_tar(FILES)))) as tar:
        assert sorted(tar.getnames()) == sorted(FILES)
        assert all(member.mode == 0o644 and member.mtime == 0 for member in tar.getmembers())


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_no_flipped_bit_changes_what_is_read(position, bit):
    blob = bytearray(compress(write_tar(FILES)))
    position %= len(blob)
    blob[position] ^= 1 << bit

    with contextlib.suppress(ArchiveError):
        assert read_tar(decompress(bytes(blob))) == FILES  # flipped: the unused bits after the last deflate block


@given(st.integers(0, 10_000))
def test_any_truncation_is_refused(length):
    blob = compress(write_tar(FILES))

    with pytest.raises(ArchiveError):
        read_tar(decompress(blob[: length % len(blob)]))


@given(st.binary(max_size=3000))
def test_arbitrary_bytes_are_refused_cleanly(junk):
    with pytest.raises(ArchiveError):
        decompress(junk)
    with pytest.raises(ArchiveError):
        read_tar(junk + bytes(512))


def _tar_with(change) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("policies/a.yaml")
        info.size, info.mode = 3, 0o644
        change(info)
        tar.addfile(info, io.BytesIO(b"abc"))
    return buffer.getvalue()


def _make(**fields):
    def change(info):
        for name, value in fields.items():
            setattr(info, name, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        _make(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        _make(type=tarfile.LNKTYPE, linkname="manifest.json"),
        _make(type=tarfile.CHRTYPE),
        _make(type=tarfile.DIRTYPE),
        _make(type=tarfile.FIFOTYPE),
        _make(name="/etc/passwd"),
        _make(name="../outside"),
        _make(name="policies/../../outside"),
        _make(name="policies//a"),
        _make(name="policies/./a"),
        _make(name="a\\b"),
        _make(mode=0o4755),
        _make(mtime=1),
        _make(uid=1000),
        _make(uname="root"),
    ],
    ids=lambda change: str(change.__closure__[0].cell_contents),
)
def test_what_is_no_plain_canonical_file_is_refused(change):
    with pytest.raises(ArchiveError):
        read_tar(_tar_with(change))


@pytest.mark.parametrize("size", [-1, -511, -512])
def test_a_negative_size_is_refused(size):
    tar = archive._header("a", size) + bytes(1024)

    with pytest.raises(ArchiveError, match="unreadable archive header"):
        read_tar(tar)


def test_a_path_that_comes_twice_is_refused():
    one = write_tar({"a": b"1"})

    with pytest.raises(ArchiveError, match="twice"):
        read_tar(one[:1024] + one)


def test_data_after_the_end_is_refused():
    with pytest.raises(ArchiveError, match="after the end"):
        read_tar(write_tar({"a": b"1"}) + bytes(512))
    with pytest.raises(ArchiveError, match="truncated"):
        decompress(compress(b"") + compress(b""))


def test_a_foreign_gzip_header_is_refused():
    with pytest.raises(ArchiveError, match="gzip header"):
        decompress(gzip.compress(write_tar({"a": b"1"})))


def test_a_decompression_bomb_stops_at_the_limit(monkeypatch):
    monkeypatch.setattr(archive, "MAX_TAR_BYTES", 1 << 20)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = gzipped._HEADER + deflate.compress(bytes(64 << 20)) + deflate.flush() + bytes(8)

    with pytest.raises(ArchiveError, match="more than"):
        decompress(bomb)


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "..", "a/../b", "a\x00b", "a\nb", "x" * 101, "é" * 130])
def test_paths_that_cannot_be_stored_safely_are_refused_when_writing(path):
    with pytest.raises(ArchiveError):
        write_tar({path: b""})


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
@pytest.mark.parametrize("content", [bytes, os.urandom])
def test_large_files_are_read_in_pieces_as_they_were_written(size, content):
    files = {"large": content(size), "small": b"x"}

    assert read_tar(decompress(compress(write_tar(files)))) == files
