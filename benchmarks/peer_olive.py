"""The same task given to Olive (`olive-ai`): `python benchmarks/peer_olive.py --yes [--only NAME …]`.

Makes two temporary environments and measures what an installation costs (bytes, packages, seconds):
`pip install limosa[compiler]` from this checkout, and `pip install olive-ai onnxruntime`, with its torch
as pip chooses it. Then Olive optimizes two models in its own: one pass OnnxStaticQuantization as its
documentation shows, and a search over that pass's settings with a goal of 0.01 accuracy lost, 8 samples.
Beside it stands `limosa_compiler.build`; all are scored by this benchmark's own code.

Downloads some 3 GB and takes ten minutes, hence `--yes`; without it nothing is done. What Olive 0.13.0
needs beyond its declared dependencies (`requests`) is installed and said.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

from benchmarks.bars import Bar, finish, print_table
from benchmarks.quality.case_folder import write_case
from benchmarks.quality.compare import FP32, OURS, compared
from benchmarks.quality.ours import ROOT, built
from benchmarks.real_data import case_of
from benchmarks.real_models import model_path

MODELS: Final = {"mnist": 10, "magika": 214}  # and how many classes they have
SAMPLES: Final = 8
TIMEOUT_S: Final = 1200.0
OURS_BAR_MB: Final = 350.0
OLIVE: Final = ("olive-ai==0.13.0", "onnxruntime", "requests")
DATA_SCRIPT: Final = """
import numpy as np
import torch
from olive.data.registry import Registry


class Rows(torch.utils.data.Dataset):
    def __init__(self, path):
        with np.load(path) as stored:
            self.arrays = {name: stored[name] for name in stored.files}
        self.labels = self.arrays.pop("label", None)

    def __len__(self):
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, at):
        label = -1 if self.labels is None else int(self.labels[at])
        return {name: array[at] for name, array in self.arrays.items()}, label


@Registry.register_dataset()
def rows_of(path, **_):
    return Rows(path)


@Registry.register_post_process()
def class_of(output, **_):
    return torch.argmax(output if isinstance(output, torch.Tensor) else next(iter(output.values())), dim=-1)
"""


def environment_of(folder: Path, words: Sequence[str]) -> dict[str, object]:
    """Makes one, and says what it costs. Raises CalledProcessError."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", *words], check=True, capture_output=True, timeout=TIMEOUT_S)
    seconds = time.perf_counter() - begin
    listed = subprocess.run([*pip, "list", "--format=json"], check=True, capture_output=True, text=True)
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        "environment": " ".join(word.replace(str(ROOT), "limosa") for word in words if word[0] != "-"),
        "MB": round(size / 1e6),
        "packages": len(json.loads(listed.stdout)),
        "seconds": round(seconds),
    }


def olive_config(case: Path, model: Path, result: Path, *, classes: int, search: bool) -> dict[str, Any]:
    """For `olive run`. The evaluator's type is written out: without it 0.13.0 ends in an AttributeError."""
    config: dict[str, Any] = {
        "input_model": {"type": "OnnxModel", "model_path": str(model)},
        "systems": {
            "local": {
                "type": "LocalSystem",
                "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
            }
        },
        "data_configs": [_data("calibration", case), _data("evaluation", case)],
        "passes": {"quantization": {"type": "OnnxStaticQuantization", "data_config": "calibration"}},
        "host": "local",
        "target": "local",
        "output_dir": str(result),
        "cache_dir": str(result.with_name(f"{result.name}-cache")),
    }
    if search:
        config["passes"]["quantization"] |= dict.fromkeys(
            ("per_channel", "calibrate_method", "activation_type"), "SEARCHABLE_VALUES"
        )
        config["evaluators"] = {"both": {"type": "OnnxEvaluator", "metrics": _metrics(classes)}}
        config["evaluator"] = "both"
        config["search_strategy"] = {
            "execution_order": "joint",
            "sampler": "tpe",
            "max_samples": SAMPLES,
            "seed": 0,
        }
    return config


def _data(name: str, case: Path) -> dict[str, Any]:
    return {
        "name": name,
        "type": "DataContainer",
        "user_script": str(case / "rows.py"),
        "load_dataset_config": {"type": "rows_of", "params": {"path": str(case / f"{name}.npz")}},
        "dataloader_config": {"batch_size": 1},
        "post_process_data_config": {"type": "class_of"},
    }


def _metrics(classes: int) -> list[dict[str, Any]]:
    goal = {"type": "max-degradation", "value": 0.01}
    score = {
        "name": "accuracy_score",
        "priority": 1,
        "metric_config": {"task": "multiclass", "num_classes": classes},
        "goal": goal,
    }
    speed = {"name": "avg", "priority": 2}
    return [
        {"name": "accuracy", "type": "accuracy", "data_config": "evaluation", "sub_types": [score]},
        {"name": "latency", "type": "latency", "data_config": "evaluation", "sub_types": [speed]},
    ]


def run_olive(program: Path, config: Mapping[str, Any], folder: Path) -> tuple[Path | None, float, str]:
    """(its model, seconds, the last line if there is none)."""
    path = folder / "olive.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            [str(program), "run", "--config", str(path), "--disable_telemetry"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=folder,
            env={**os.environ, "OLIVE_DISABLE_TELEMETRY": "1"},
        )
    except subprocess.TimeoutExpired:
        return None, TIMEOUT_S, f"no end after {TIMEOUT_S:.0f} s"
    seconds = time.perf_counter() - begin
    model = Path(config["output_dir"]) / "model.onnx"
    if model.exists():
        return model, seconds, ""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["no model"]
    return None, seconds, lines[-1][:160]


def model_rows(name: str, program: Path, scratch: Path) -> list[dict[str, object]]:
    """fp32, Olive's two, ours."""
    case, model = case_of(name), model_path(name)
    folder = scratch / name
    write_case(case, folder)
    (folder / "rows.py").write_text(DATA_SCRIPT, encoding="utf-8")
    models: dict[str, Path] = {FP32: model}
    seconds: dict[str, float] = {}
    errors: dict[str, str] = {}
    for label, search in (("olive static", False), ("olive search", True)):
        out = folder / label.replace(" ", "-")
        config = olive_config(folder, model, out, classes=MODELS[name], search=search)
        found, seconds[label], error = run_olive(program, config, folder)
        if found is None:
            errors[label] = error
        else:
            models[label] = found
    ours = built(name, model, folder)
    seconds[OURS] = ours.seconds
    if ours.model is None:
        errors[OURS] = ours.error
    else:
        models[OURS] = ours.model
    rows = compared(name, case, models, errors, rounds=60)
    return [{**row.shown(), "note": f"{seconds.get(row.variant, 0):.0f} s {row.error}"[:90]} for row in rows]


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--yes", action="store_true", help="download and install, some 6 GB on disk")
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--only", nargs="+", choices=tuple(MODELS), default=tuple(MODELS), metavar="NAME")
    arguments = parser.parse_args(words)
    if not arguments.yes:
        sys.stderr.write("not run: it downloads some 3 GB and takes ten minutes; give --yes\n")
        return 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        constraints = ["-c", str(ROOT / "constraints.txt")]
        ours = environment_of(scratch / "ours", [*constraints, f"{ROOT}[compiler]"])
        theirs = environment_of(scratch / "olive", OLIVE)
        installs: list[Mapping[str, object]] = [ours, theirs]
        print_table(installs)
        rows: list[Mapping[str, object]] = [*installs]
        for model in arguments.only:
            found = model_rows(model, scratch / "olive" / "bin" / "olive", scratch)
            print_table(found)
            rows += found
    size = float(str(ours["MB"]))
    return finish(
        rows, [Bar(name="our environment, MB", limit=OURS_BAR_MB, value=size)], as_json=arguments.json
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
