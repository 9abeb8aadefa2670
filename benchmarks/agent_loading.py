"""What optimised graphs save: `python benchmarks/agent_loading.py [NAME …] [--json] [--quick]`.

A model loaded from its file against the same one loaded from the graph that was made here: reading,
making the session, and of the graph its digest; in turns, medians of processor time, which neighbours
disturb less. The names are of `real_models.py`; the demo's model is always there. No bar: it shows
whether a graph is worth keeping, and that it answers the same.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import numpy as np
import onnxruntime

from benchmarks.bars import Bar, finish, print_table
from benchmarks.real_models import model_path
from limosa_agent.serving.graph_cache import GraphKey, read_graph, write_graph
from limosa_agent.serving.runtime_onnx import OnnxRuntime, graph_key, optimised_graph
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.serving import NUMPY_OF_DTYPE, Golden, Serving, TensorSpec
from limosa_devices.demo import motion

REAL: Final = ("magika", "orientation", "nsfw", "ocr_det")
OPTIONS: Final = RuntimeOptions(graph_cache=True)
FREE: Final = {"ocr_det": (1, 3, 64, 64)}  # shapes for dimensions that are free


def serving_of(model: bytes) -> tuple[Serving, dict[str, tuple[int, ...]]]:
    """What serving.json would say, as far as loading asks for it; and the shapes, -1 where free."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    named = {np.dtype(kind).name: name for name, kind in NUMPY_OF_DTYPE.items()}
    kinds = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32"}

    def spec(node: onnxruntime.NodeArg) -> TensorSpec:
        shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
        return TensorSpec(name=node.name, dtype=named[kinds[node.type]], shape=shape)

    inputs = tuple(spec(node) for node in session.get_inputs())
    serving = Serving(
        model="bench/model",
        version="1.0.0",
        variant="cpu",
        precision="fp32",
        runtime="onnxruntime",
        runtime_tested=onnxruntime.__version__,
        model_file="model.onnx",
        inputs=inputs,
        outputs=tuple(spec(node) for node in session.get_outputs()),
        task="other",
        probabilities="",
        classes=(),
        features=(),
        golden=Golden(cases=1, absolute=0.0, relative=0.0),
    )
    return serving, {item.name: item.shape for item in inputs}


def lay_out(folder: Path, model: bytes) -> Path:
    release = folder / "releases" / hashlib.sha256(model).hexdigest()
    release.mkdir(parents=True)
    (release / "model.onnx").write_bytes(model)
    return release


def compare(name: str, model: bytes, folder: Path, rounds: int) -> dict[str, object]:
    serving, shapes = serving_of(model)
    release = lay_out(folder / name, model)
    key = graph_key(release, serving, OPTIONS)
    assert key is not None
    began = time.process_time()
    graph = optimised_graph(model, serving, OPTIONS, folder / "scratch")
    made_ms = (time.process_time() - began) * 1000
    write_graph(release, key, graph)
    steps: dict[str, Callable[[], OnnxRuntime]] = {
        "file": lambda: OnnxRuntime((release / "model.onnx").read_bytes(), serving, OPTIONS),
        "graph": lambda: _from_graph(release, key, serving),
    }
    spent: dict[str, list[float]] = {step: [] for step in steps}
    for _ in range(rounds):
        for step, load in steps.items():
            began = time.process_time()
            load()
            spent[step].append((time.process_time() - began) * 1000)
    inputs = _inputs(serving, {item: FREE.get(name, shape) for item, shape in shapes.items()})
    loaded = {step: load() for step, load in steps.items()}
    worst = _difference(loaded["file"].run(inputs), loaded["graph"].run(inputs))
    runs = {step: _run_ms(runtime, inputs, rounds) for step, runtime in loaded.items()}
    file_ms, graph_ms = median(spent["file"]), median(spent["graph"])
    return {
        "model": name,
        "bytes": len(model),
        "from file, ms": round(file_ms, 2),
        "from graph, ms": round(graph_ms, 2),
        "times as fast": round(file_ms / graph_ms, 2),
        "graph, bytes": len(graph),
        "made in, ms": round(made_ms, 1),
        "run, ms": round(runs["file"], 3),
        "run of graph, ms": round(runs["graph"], 3),
        "largest difference": worst,
    }


def _from_graph(release: Path, key: GraphKey, serving: Serving) -> OnnxRuntime:
    graph = read_graph(release, key)
    assert graph is not None
    return OnnxRuntime.of_graph(graph, serving, OPTIONS)


def _inputs(serving: Serving, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    chance = np.random.default_rng(7)
    return {
        spec.name: chance.random([abs(size) for size in shapes[spec.name]]).astype(NUMPY_OF_DTYPE[spec.dtype])
        for spec in serving.inputs
    }


def _difference(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> float:
    return max(
        float(np.abs(ours[name].astype(np.float64) - theirs[name].astype(np.float64)).max()) for name in ours
    )


def _run_ms(runtime: OnnxRuntime, inputs: Mapping[str, Array], rounds: int) -> float:
    spent: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        runtime.run(inputs)
        spent.append((time.process_time() - began) * 1000)
    return median(spent)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(REAL), help="of real_models.py")
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args(words)
    rounds = 5 if arguments.quick else 21
    with tempfile.TemporaryDirectory() as folder:
        models = {"motion": motion.asset("motion-2.0.0.onnx")}
        models |= {name: model_path(name).read_bytes() for name in arguments.names}
        rows = [compare(name, model, Path(folder), rounds) for name, model in models.items()]
    print_table(rows)
    bars: list[Bar] = []
    return finish(rows, bars, as_json=arguments.json, packages=("limosa", "numpy", "onnxruntime"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
