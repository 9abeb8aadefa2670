"""Trains the demo's motion models and writes the files of `limosa_devices/demo/assets`.

    pip download --no-deps seglearn==1.2.5
    pip install torch==2.13.0 onnx numpy
    PYTHONPATH=devices python -m tools.train_motion seglearn-1.2.5-py3-none-any.whl

torch is needed here only. One thread and fixed seeds: one machine gives the same bytes on every run.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limosa_devices.demo.motion import CHANNELS, CLASSES, Motion, Windows, in_wrong_unit
from tools.motion_data import CUTS, cut_windows, read_wheel, write_split
from tools.motion_graph import GATE_RAD_PER_S, ConvLayer, Network, build, effort_feature

ASSETS = Path(__file__).resolve().parents[1] / "limosa_devices" / "demo" / "assets"
BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one version is trained."""

    version: str
    widths: tuple[int, int, int]  # channels of the three convolutions
    epochs: int
    seed: int
    augmented: bool
    effort: bool = False  # one more feature for the head
    wrong_unit: bool = False  # trained on m/s² and deg/s


STRONG = Plan(version="2.0.0", widths=(40, 80, 80), epochs=14, seed=2, augmented=True)
PLANS: Sequence[Plan] = (
    Plan(version="1.0.0", widths=(16, 32, 32), epochs=3, seed=1, augmented=False),
    STRONG,
    replace(STRONG, version="3.0.0", effort=True),
    replace(STRONG, version="3.0.1", epochs=5, seed=31, augmented=False),
    replace(STRONG, version="4.0.0", wrong_unit=True),
)
KERNELS_AND_STRIDES = ((7, 2), (5, 2), (3, 1))


def trunk_of(plan: Plan) -> Any:
    """Convolution, normalisation, Relu, three times; then the mean over time: [N, 6, T] -> [N, features]."""
    layers: list[Any] = []
    before = len(CHANNELS)
    for width, (kernel, stride) in zip(plan.widths, KERNELS_AND_STRIDES, strict=True):
        layers += [
            torch.nn.Conv1d(before, width, kernel, stride=stride, padding=kernel // 2, bias=False),
            torch.nn.BatchNorm1d(width),
            torch.nn.ReLU(),
        ]
        before = width
    return torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten())


def rotated(windows: Any) -> Any:
    """Each window as if the watch sat turned by a small angle (sd 0.15 rad per axis), and 10 % scaling."""
    angles = torch.randn(len(windows), 3) * 0.15
    skew = torch.zeros(len(windows), 3, 3)
    for row, column, axis, sign in ((0, 1, 2, -1), (0, 2, 1, 1), (1, 2, 0, -1)):
        skew[:, row, column] = sign * angles[:, axis]
        skew[:, column, row] = -sign * angles[:, axis]
    turn = torch.matrix_exp(skew)
    turned = torch.cat([turn @ windows[:, :3], turn @ windows[:, 3:]], dim=1)
    return turned * (1 + 0.1 * torch.randn(len(windows), 1, 1))


def fold(trunk: Any) -> list[ConvLayer]:
    """The trunk's convolutions with their batch normalisations folded into weight and bias."""
    layers: list[ConvLayer] = []
    modules = list(trunk)
    for convolution, norm in zip(modules[0:9:3], modules[1:9:3], strict=True):
        gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
        weight = (convolution.weight.detach() * gain[:, None, None]).numpy()
        bias = (norm.bias.detach() - norm.running_mean * gain).numpy()
        layers.append(ConvLayer(weight=weight, bias=bias, stride=int(convolution.stride[0])))
    return layers


def train(plan: Plan, motion: Motion) -> Network:
    """Cross entropy with label smoothing, AdamW, one cosine; everything random comes from the plan's seed."""
    torch.manual_seed(plan.seed)
    windows: Windows = in_wrong_unit(motion.window) if plan.wrong_unit else motion.window
    mean, std = windows.mean(axis=(0, 2)), windows.std(axis=(0, 2))
    extra = effort_feature(windows) if plan.effort else np.zeros((len(windows), 0), np.float32)
    inputs, labels, extras = (torch.from_numpy(rows) for rows in (windows, motion.label, extra))
    centre, spread = (torch.from_numpy(value).reshape(1, -1, 1) for value in (mean, std))
    trunk = trunk_of(plan)
    head = torch.nn.Linear(plan.widths[-1] + extra.shape[1], len(CLASSES))
    optimiser = torch.optim.AdamW([*trunk.parameters(), *head.parameters()], lr=3e-3, weight_decay=1e-2)
    steps = plan.epochs * (len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(plan.epochs):
        order = torch.randperm(len(inputs))[: len(inputs) // BATCH * BATCH]
        for rows in order.reshape(-1, BATCH):
            batch = rotated(inputs[rows]) if plan.augmented else inputs[rows]
            features = torch.cat([trunk((batch - centre) / spread), extras[rows]], dim=1)
            loss = torch.nn.functional.cross_entropy(head(features), labels[rows], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return Network(
        version=plan.version,
        mean=mean,
        std=std,
        convolutions=fold(trunk.eval()),
        head_weight=head.weight.detach().numpy(),
        head_bias=head.bias.detach().numpy(),
        effort=plan.effort,
    )


def write_table(readme: Path, folder: Path) -> None:
    """Replaces the README's table of files, sizes and hashes by that of the folder's present files."""
    kept = [line for line in readme.read_text("utf-8").splitlines() if not line.startswith("| `")]
    rows = [
        f"| `{path.name}` | {path.stat().st_size} | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |"
        for path in sorted([*folder.glob("*.npz"), *folder.glob("*.onnx")])
    ]
    place = kept.index("| --- | ---: | --- |") + 1
    readme.write_text("\n".join([*kept[:place], *rows, *kept[place:]]) + "\n", "utf-8")


def require_gate(splits: dict[str, Motion]) -> None:
    """Every calibration and evaluation window must exceed the gate, and 3 to 8 % of live ones must not."""
    at_rest = {
        name: float((np.abs(splits[name].window[:, 3:]).max(axis=(1, 2)) <= GATE_RAD_PER_S).mean())
        for name in ("calibration", "evaluation", "live")
    }
    if at_rest["calibration"] or at_rest["evaluation"] or not 0.03 <= at_rest["live"] <= 0.08:
        raise ValueError(f"the gate does not separate the people: share of windows at rest {at_rest}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wheel", type=Path, help="seglearn-1.2.5-py3-none-any.whl")
    parser.add_argument("--into", type=Path, default=ASSETS, help="where the files go (default: the package)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recordings = read_wheel(options.wheel)
    splits = {name: cut_windows(recordings, cut) for name, cut in CUTS.items()}
    require_gate(splits)
    options.into.mkdir(parents=True, exist_ok=True)
    for name in ("calibration", "evaluation", "live"):
        write_split(options.into / f"{name}.npz", splits[name])
    for plan in PLANS:
        path = options.into / f"motion-{plan.version}.onnx"
        path.write_bytes(build(train(plan, splits["train"])))
        sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")
    if options.into == ASSETS:
        write_table(ASSETS / "README.md", ASSETS)


if __name__ == "__main__":
    main()
