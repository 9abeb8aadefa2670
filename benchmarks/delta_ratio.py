"""How small an update is, and what applying it costs: `python benchmarks/delta_ratio.py [--json] [--quick]`.

A perceptron is trained on digits and then trained on (benchmarks/finetuned.py): the last layer, or all
layers at three learning rates; as fp32 and as static int8 by the compiler's own passes. For each pair of
versions: our delta against `zstd --patch-from` at levels 3, 12 and 19, bsdiff4, and the whole blob by
zstd 19. Then a delta is applied in a fresh process: time, and peak memory with base, delta and result.
All sizes are shares of the blob as it is, since that is what a device would fetch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import bsdiff4
import numpy as np
import onnx

from benchmarks.bars import PACKAGES, Bar, finish
from benchmarks.finetuned import BATCH, Digits, Floats, Network, digits
from limosa_compiler.arrays import Array
from limosa_compiler.calibration.calibrate import calibrate
from limosa_compiler.ingest.prepare import fold_and_fuse
from limosa_compiler.passes import Context
from limosa_compiler.rungs.static_int8 import Setting, quantize_static
from limosa_contracts.delta.limits import DeltaLimits
from limosa_contracts.delta.making import make_delta
from limosa_contracts.delta.wire import DeltaHead

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FP32_HIDDEN: Final = (1300, 1300)  # 10.9 MB as fp32
INT8_HIDDEN: Final = (2900, 2900)  # 10.8 MB as int8
BASE_STEPS: Final = 300
TUNE_STEPS: Final = 3 * 2000 // BATCH  # three times through the rows that are new
RATES: Final = (1e-5, 1e-4, 1e-3)
RATIO_BAR: Final = 1.02  # of the best of the others
INT8_BAR: Final = 0.30
APPLY_MS_BAR: Final = 100.0
MEMORY_BAR: Final = 3.0  # blobs
APPLY_ROUNDS: Final = 9


@dataclass
class Report:
    rows: list[dict[str, object]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def bar(self, name: str, value: float, limit: float) -> None:
        self.bars.append(Bar(name=name, limit=limit, value=round(value, 4)))


# -- models
def tuned(base: Network, data: Digits, *, rates: Iterable[float] = RATES) -> Iterable[tuple[str, Network]]:
    later = data.part(2000, 4000)
    yield "last layer", base.trained(later, steps=TUNE_STEPS, rate=1e-3, seed=3, last_only=True)
    for rate in rates:
        yield f"all layers {rate:.0e}", base.trained(later, steps=TUNE_STEPS, rate=rate, seed=3)


def int8(network: Network, data: Digits) -> bytes:
    """Static QDQ with ranges of 200 training rows, as `limosa build` makes its candidate int8-minmax."""
    model = network.onnx_model()
    prepared, _ = fold_and_fuse(model, Context(where="digits", source_bytes=model.ByteSize()))
    rows: Floats = data.images[:200]

    def stream(size: int) -> Iterable[Mapping[str, Array]]:
        return ({"image": rows[start : start + size]} for start in range(0, len(rows), size))

    ranges = calibrate(prepared, stream).named("minmax")
    return _bytes(
        quantize_static(prepared, ranges, Setting(ranges="minmax", core_only=False), keep=(), where="digits")
    )


def _bytes(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))


# -- sizes
def others(base: bytes, new: bytes) -> dict[str, int]:
    sizes = {f"zstd patch {level}": _patch(base, new, level) for level in (3, 12, 19)}
    sizes["bsdiff4"] = len(bsdiff4.diff(base, new))
    sizes["full zstd 19"] = len(zstd.compress(new, level=19))
    return sizes


def _patch(base: bytes, new: bytes, level: int) -> int:
    """As `zstd --patch-from`: the base as a prefix, a window over both, long distance matching."""
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.window_log: (len(base) + len(new)).bit_length(),
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    prefix = zstd.ZstdDict(base, is_raw=True).as_prefix
    return len(zstd.compress(new, options=options, zstd_dict=prefix))


def compare(report: Report, name: str, base: bytes, new: bytes, *, folder: Path) -> None:
    begin = time.perf_counter()
    delta = make_delta(base, new)
    seconds = time.perf_counter() - begin
    assert delta is not None, name
    sizes = others(base, new)
    best = min(sizes, key=lambda way: sizes[way])
    row: dict[str, object] = {
        "name": name,
        "blob_bytes": len(new),
        "codec": DeltaHead.parse(delta, DeltaLimits()).codec_name,
        "ours": round(len(delta) / len(new), 4),
        **{way: round(size / len(new), 4) for way, size in sizes.items()},
        "make_s": round(seconds, 2),
    }
    report.bar(f"{name}: of the best other ({best})", len(delta) / sizes[best], RATIO_BAR)
    if name.startswith("int8") and name.endswith("1e-04"):
        report.bar(f"{name}: share of the blob", len(delta) / len(new), INT8_BAR)
    if len(new) > 10_000_000:
        cost = apply_cost(base, delta, folder=folder)
        row |= cost
        report.bar(f"{name}: apply, ms", float(cost["apply_ms"]), APPLY_MS_BAR)
        report.bar(f"{name}: peak memory, blobs", float(cost["peak_blobs"]), MEMORY_BAR)
    report.rows.append(row)
    shares = " ".join(f"{row[way]:>12}" for way in ("ours", *sizes))
    sys.stderr.write(f"{name:<28} {len(new):>10} {shares}  {row.get('apply_ms', ''):>8}\n")


# -- applying
def apply_cost(base: bytes, delta: bytes, *, folder: Path) -> dict[str, float]:
    """Median time and peak memory of a process of its own, which has loaded the code but no blob."""
    (folder / "base").write_bytes(base)
    (folder / "delta").write_bytes(delta)
    words = [sys.executable, __file__, "--apply", str(folder)]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    value: dict[str, float] = json.loads(done.stdout)
    return value


def apply_alone(folder: Path) -> dict[str, float]:
    from limosa_contracts.delta.applying import apply_delta

    # What is loaded at the first delta is no memory of this one.
    warm = np.arange(40_000, dtype=np.uint32).tobytes()
    small = make_delta(warm, warm[:-4] + b"last")
    assert small is not None
    apply_delta(warm, small)

    before = _memory("VmRSS")
    base, delta = (folder / "base").read_bytes(), (folder / "delta").read_bytes()
    times: list[float] = []
    size, peak = 0, 0
    for _ in range(APPLY_ROUNDS):
        begin = time.perf_counter()
        result = apply_delta(base, delta)
        times.append(time.perf_counter() - begin)
        size, peak = len(result), peak or _memory("VmHWM")
        del result
    return {
        "apply_ms": round(1000 * sorted(times)[APPLY_ROUNDS // 2], 1),
        "apply_best_ms": round(1000 * min(times), 1),
        "peak_blobs": round((peak - before) / size, 3),
    }


def _memory(name: str) -> int:
    """Bytes, of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


# -- the whole
def run(report: Report, folder: Path, *, quick: bool) -> None:
    data = digits()
    base = Network.new(FP32_HIDDEN, seed=1).trained(data.part(0, 2000), steps=BASE_STEPS, rate=1e-3, seed=2)
    versions = list(tuned(base, data, rates=(1e-4,) if quick else RATES))
    evaluation = data.part(4000, 5000)
    for name, network in (("base", base), *versions):
        share = network.accuracy(evaluation)
        report.rows.append({"name": f"accuracy {name}", "value": round(share, 4)})
        sys.stderr.write(f"accuracy of {name:<20} {share:.3f}\n")
    heads = ["ours", "patch 3", "patch 12", "patch 19", "bsdiff4", "full"]
    sys.stderr.write(f"{'':<39} {' '.join(f'{head:>12}' for head in heads)}  apply ms\n")
    plain, small = _bytes(base.onnx_model()), int8(base, data)
    for name, network in versions:
        compare(report, f"fp32 {name}", plain, _bytes(network.onnx_model()), folder=folder)
    for name, network in versions:
        compare(report, f"int8 {name}", small, int8(network, data), folder=folder)
    if not quick:
        wide = Network.new(INT8_HIDDEN, seed=1)
        wide = wide.trained(data.part(0, 2000), steps=BASE_STEPS // 2, rate=1e-3, seed=2)
        later = wide.trained(data.part(2000, 4000), steps=TUNE_STEPS, rate=1e-4, seed=3)
        compare(report, "int8 wide, all layers 1e-04", int8(wide, data), int8(later, data), folder=folder)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="one learning rate, no second model")
    parser.add_argument("--apply", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.apply:
        sys.stdout.write(json.dumps(apply_alone(arguments.apply)))
        return 0
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        run(report, Path(name), quick=arguments.quick)
    libraries = {"zstd": zstd.zstd_version}
    return finish(
        report.rows, report.bars, as_json=arguments.json, packages=(*PACKAGES, "bsdiff4"), libraries=libraries
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
