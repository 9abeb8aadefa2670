"""Artifacts as files: what is damaged, smuggled or cut is refused, what is written is whole (trust 7.1)."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limosa_compiler.artifact.archive_file import read_archive, write_archive
from limosa_compiler.artifact.whole_files import written_at_once
from limosa_compiler.building import BuildResult
from limosa_contracts.errors import DigestMismatch, InvalidArtifact, LimosaError
from limosa_contracts.oci import LAYOUT, digest_of
from tests.support.waiting import wait_until


def tar_of(*members: tuple[tarfile.TarInfo | str, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def fill_disk(stream: BinaryIO) -> None:
    stream.write(b"half")
    raise OSError("disk full")


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def test_what_is_written_is_read_back(toy: BuildResult) -> None:
    archive = read_archive(toy.path)
    assert archive.index_descriptor.digest == toy.index_digest
    assert str(archive.release) == "demo/toy@1.0.0"
    assert archive.content_digest == toy.archive.content_digest
    (variant,) = archive.variants
    assert sorted(archive.files(variant)) == [
        "baseline.json",
        "bom.json",
        "card.md",
        "golden.safetensors",
        "labels.json",
        "model.onnx",
        "serving.json",
    ]


def test_the_tar_is_plain_ustar_with_nobodys_name_in_it(toy: BuildResult) -> None:
    with tarfile.open(toy.path, "r:") as tar:
        for info in tar:
            assert (info.uid, info.gid, info.uname, info.gname, info.mtime) == (0, 0, "", "", 0)
            assert info.isreg()
            assert info.mode == 0o644
            assert not info.pax_headers


@pytest.mark.parametrize(
    "name",
    [
        "../escape",
        "/etc/passwd",
        "blobs/sha256/../../x",
        "blobs/sha256/" + "A" * 64,
        "blobs/md5/ab",
        "extra.txt",
    ],
)
def test_member_with_another_name_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.limosa"
    path.write_bytes(tar_of(("oci-layout", LAYOUT), (name, b"x")))
    with pytest.raises(InvalidArtifact, match="does not belong"):
        read_archive(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_member_that_is_no_regular_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.limosa"
    path.write_bytes(tar_of((link("oci-layout", kind), b"")))
    with pytest.raises(InvalidArtifact):
        read_archive(path)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_of_other_tar_forms_are_refused(tmp_path: Path, form: int) -> None:
    path = tmp_path / "a.limosa"
    path.write_bytes(tar_of(("blobs/sha256/" + "a" * 200, b"x"), form=form))
    with pytest.raises(InvalidArtifact):
        read_archive(path)


def test_blob_under_another_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.limosa"
    name = "blobs/sha256/" + digest_of(b"good").removeprefix("sha256:")
    path.write_bytes(tar_of(("oci-layout", LAYOUT), (name, b"evil")))
    with pytest.raises(DigestMismatch):
        read_archive(path)


def test_member_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.limosa"
    path.write_bytes(tar_of(("oci-layout", LAYOUT), ("oci-layout", LAYOUT)))
    with pytest.raises(InvalidArtifact, match="twice"):
        read_archive(path)


def test_gnu_tar_may_have_packed_it_again(tmp_path: Path, toy: BuildResult) -> None:
    with tarfile.open(toy.path, "r:") as tar:
        members = [("./" + info.name, extracted(tar, info)) for info in tar]
    path = tmp_path / "again.limosa"
    path.write_bytes(tar_of(*members, form=tarfile.GNU_FORMAT))
    assert read_archive(path).content_digest == toy.archive.content_digest


def extracted(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(info)
    assert stream is not None
    return stream.read()


@pytest.mark.parametrize("keep", [0, 1, 511, 512, 513, 5000])
def test_cut_archive_is_refused(tmp_path: Path, toy: BuildResult, keep: int) -> None:
    path = tmp_path / "cut.limosa"
    path.write_bytes(toy.path.read_bytes()[:keep])
    with pytest.raises(InvalidArtifact) as refused:
        read_archive(path)
    assert str(path) in refused.value.where


def test_archive_cut_anywhere_but_in_its_end_mark_is_refused(tmp_path: Path, toy: BuildResult) -> None:
    data, path = toy.path.read_bytes(), tmp_path / "cut.limosa"
    for keep in range(0, len(data) - 1024, 997):
        path.write_bytes(data[:keep])
        with pytest.raises((InvalidArtifact, DigestMismatch)):
            read_archive(path)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_bit_is_refused_or_changes_nothing(
    tmp_path: Path, toy: BuildResult, place: float, bit: int
) -> None:
    data = bytearray(toy.path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path = tmp_path / "flipped.limosa"
    path.write_bytes(data)
    try:
        archive = read_archive(path)
    except LimosaError as error:
        assert isinstance(error, (InvalidArtifact, DigestMismatch))
    else:  # padding between members, or the annotations of index.json, which no digest covers
        assert archive.content_digest == toy.archive.content_digest


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.limosa"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"), written_at_once(path) as stream:
        fill_disk(stream)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_archive_with_a_blob_under_another_digest_is_not_written(tmp_path: Path, toy: BuildResult) -> None:
    blobs = dict(toy.archive.blobs)
    some = next(iter(blobs))
    blobs[some] += b"x"
    with pytest.raises(InvalidArtifact):
        write_archive(
            tmp_path / "a.limosa", blobs, toy.archive.index_descriptor, name="demo/toy", version="1.0.0"
        )
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background was started to ignore it
from limosa_compiler.artifact.whole_files import written_at_once
with written_at_once(Path(sys.argv[1])) as stream:
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def test_interrupt_while_writing_leaves_no_half_file(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "a.limosa")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
        assert [path.name for path in tmp_path.iterdir()] != []
        os.kill(child.pid, signal.SIGINT)
        wait_until(lambda: child.poll() is not None, timeout_s=20, what="the child has ended")
    assert list(tmp_path.iterdir()) == []


def test_folder_or_pipe_is_refused_for_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.limosa")
    for path in (tmp_path, tmp_path / "pipe.limosa"):
        with pytest.raises(InvalidArtifact, match="regular file"):
            read_archive(path)


def test_device_file_is_refused_for_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "null.limosa"
    path.symlink_to(os.devnull)
    with pytest.raises(InvalidArtifact, match="regular file"):
        read_archive(path)
