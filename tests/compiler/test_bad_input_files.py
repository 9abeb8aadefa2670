"""Artifacts that were damaged, disks that are full, builds that are interrupted."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from limosa_compiler.artifact.archive_file import Archive, read_archive
from limosa_compiler.artifact.inspection import describe
from limosa_compiler.building import BuildResult
from limosa_contracts.errors import LimosaError
from tests.compiler.graphs import classifier, recipe_folder
from tests.compiler.mutants import mutant
from tests.support.processes import script

LENIENT = "[gate]\nmax_loss_points = 20\n"
FILE_BYTES_MAX = 30_000  # less than an artifact of the toy model, more than its temporary files


def read_mutant(original: bytes, number: int, path: Path) -> Archive | None:
    path.write_bytes(mutant(original, number))
    try:
        archive = read_archive(path)
        describe(path, archive)
    except LimosaError:
        return None
    return archive


def check_artifacts(toy: BuildResult, folder: Path, *, first: int, count: int) -> int:
    """What is read is what was built; all else is refused. Gives how many were refused."""
    original = toy.path.read_bytes()
    refused = 0
    for number in range(first, first + count):
        archive = read_mutant(original, number, folder / "mutant.limosa")
        if archive is None:
            refused += 1
        else:  # the damage lies in what tar does not read, such as padding
            assert archive.content_digest == toy.archive.content_digest, number
    return refused


def test_two_hundred_damaged_artifacts_are_refused_or_hold_what_was_built(
    toy: BuildResult, tmp_path: Path
) -> None:
    assert check_artifacts(toy, tmp_path, first=0, count=200) > 150


@pytest.mark.soak
def test_two_thousand_damaged_artifacts_are_refused_or_hold_what_was_built(
    toy: BuildResult, tmp_path: Path
) -> None:
    assert check_artifacts(toy, tmp_path, first=1000, count=2000) > 1500


def test_damaged_artifact_has_an_exit_code_of_its_own_and_no_traceback(
    toy: BuildResult, tmp_path: Path
) -> None:
    data = bytearray(toy.path.read_bytes())
    data[random.Random(1).randrange(2048, len(data) - 4096)] ^= 1
    (tmp_path / "damaged.limosa").write_bytes(data)
    for command in ("verify", "inspect"):
        done = subprocess.run(
            [script("limosa"), command, str(tmp_path / "damaged.limosa")],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (1, 2, 5)
        assert "error[LM-" in done.stderr
        assert "Traceback" not in done.stderr


def build_process(
    recipe: Path, output: Path, *, file_bytes_max: int | None = None, temporary: Path | None = None
) -> subprocess.Popen[str]:
    def limited() -> None:
        if file_bytes_max is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))

    return subprocess.Popen(
        [script("limosa"), "build", str(recipe), "--output", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | ({"TMPDIR": str(temporary)} if temporary else {}),
        preexec_fn=limited,
    )


def test_disk_that_is_full_leaves_neither_half_an_artifact_nor_evidence_of_none(tmp_path: Path) -> None:
    """The kernel refuses the write in the middle of a file, as it does on a full disk."""
    recipe = recipe_folder(tmp_path, classifier(), more=LENIENT)
    with build_process(recipe, tmp_path / "dist", file_bytes_max=FILE_BYTES_MAX) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "error[LM-" in said
    assert "Traceback" not in said
    assert list((tmp_path / "dist").iterdir()) == []  # it was reached, and names nothing


@pytest.mark.parametrize("line", ["first_load", "calibrate", "measure"])
def test_interrupt_in_the_middle_leaves_nothing(line: str, tmp_path: Path) -> None:
    recipe = recipe_folder(tmp_path, classifier(), more=LENIENT)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with build_process(recipe, tmp_path / "dist", temporary=temporary) as process:
        assert process.stderr is not None
        for said in process.stderr:
            if said.startswith(line):
                os.kill(process.pid, signal.SIGINT)
                break
        rest = process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert not list((tmp_path / "dist").glob("*"))
    assert not list(temporary.iterdir())
