"""The file of `limosa delta` between artifacts: version 1 is read as it was agreed."""

from __future__ import annotations

from pathlib import Path

import pytest

from limosa_compiler.artifact.delta_file import DELTA, FULL, KEPT, ArtifactDelta
from limosa_compiler.errors import DeltaUnusable
from limosa_contracts.delta.limits import DeltaLimits
from limosa_contracts.delta.wire import DeltaHead

GOLDEN = Path(__file__).parents[1] / "golden" / "deltas-1.limosadelta"


def test_version_1_reads_and_writes_the_same_bytes() -> None:
    data = GOLDEN.read_bytes()
    delta = ArtifactDelta.parse(data)
    assert delta.encode() == data
    assert (delta.release, delta.mtime) == ("demo/motion@1.1.0", 7)
    assert {way.how for way in delta.ways} == {KEPT, DELTA, FULL}
    (model,) = [way for way in delta.ways if way.name == "cpu-int8/model.onnx"]
    head = DeltaHead.parse(delta.bodies[model.digest], DeltaLimits())
    assert (f"sha256:{head.base_sha256}", head.codec_name) == (model.base, model.codec)


@pytest.mark.parametrize("end", [4, 8, 12, 100, -1])
def test_file_that_is_cut_off_is_refused(end: int) -> None:
    with pytest.raises(DeltaUnusable):
        ArtifactDelta.parse(GOLDEN.read_bytes()[:end])


def test_file_that_goes_on_is_refused() -> None:
    with pytest.raises(DeltaUnusable, match="follow"):
        ArtifactDelta.parse(GOLDEN.read_bytes() + b"\0")
