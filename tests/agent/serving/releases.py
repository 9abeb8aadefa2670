"""Releases as they lie in a slot, made from the demo's models or from a few ONNX nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from limosa_agent.serving.slot_ref import SlotRef
from limosa_contracts.baseline import BINS, CONFIDENCE_BINS, Baseline, FeatureBaseline
from limosa_contracts.serving import (
    BASELINE_FILE,
    FILE,
    GOLDEN_FILE,
    FeatureSpec,
    Golden,
    Serving,
    TensorSpec,
)
from limosa_contracts.tensors import RawTensor, encode_tensors
from limosa_devices.demo import motion

Floats = npt.NDArray[np.float32]
CHANNELS = 6
MOTION = "demo/motion"
TINY = "demo/tiny"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one release is made of."""

    model: str
    version: str
    onnx_bytes: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: Mapping[str, npt.NDArray[np.generic]]  # input name -> rows
    features: tuple[FeatureSpec, ...] = ()
    classes: tuple[str, ...] = ()
    probabilities: str = ""
    absolute: float = 1e-3


def motion_plan(version: str = "1.0.0", *, asset: str | None = None) -> Plan:
    """The demo's model; golden cases are evaluation windows, so also 3.0.0 survives them."""
    kinds = [("mean", 0), ("std", 0)]
    features = tuple(
        FeatureSpec(name=f"{kind}{c}", kind="input", tensor=motion.INPUT_NAME, channel=c, reduce=kind)
        for kind, _ in kinds
        for c in range(CHANNELS)
    ) + tuple(
        FeatureSpec(name=kind, kind="output", tensor=motion.OUTPUT_NAME, channel=-1, reduce=kind)
        for kind in ("top", "entropy", "margin")
    )
    return Plan(
        model=MOTION,
        version=version,
        onnx_bytes=motion.asset(f"motion-{asset or version}.onnx"),
        inputs=(
            TensorSpec(
                name=motion.INPUT_NAME, dtype="FP32", shape=(-1, CHANNELS, 100), low=-1000.0, high=1000.0
            ),
        ),
        outputs=(TensorSpec(name=motion.OUTPUT_NAME, dtype="FP32", shape=(-1, len(motion.CLASSES))),),
        golden={motion.INPUT_NAME: motion.load("evaluation").window[:4]},
        features=features,
        classes=motion.CLASSES,
        probabilities=motion.OUTPUT_NAME,
    )


def tiny_plan(version: str = "1.0.0", *, factor: float = 2.0, width: int = 3) -> Plan:
    """y = factor * x, FP32 [-1, width]: an answer says which version gave it."""
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    return make_plan(version, [node], {"factor": np.float32(factor)}, width=width)


def mean_plan(version: str = "1.0.0", *, width: int = 64) -> Plan:
    """`width` monitored scalars in, one number out; no range is declared."""
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)
    plan = make_plan(version, [node], {}, width=width, out_width=1)
    return replace(plan, inputs=tuple(replace(spec, low=None, high=None) for spec in plan.inputs))


def crash_plan(version: str = "6.6.6") -> Plan:
    """A row of -1 divides the smallest int32 by -1, which the runtime does not check: SIGFPE on x86-64."""
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        helper.make_node("Div", ["smallest", "i"], ["d"]),
        helper.make_node("Cast", ["d"], ["y"], to=TensorProto.FLOAT),
    ]
    return make_plan(version, nodes, {"smallest": np.int32(-(2**31))})


def slow_plan(version: str = "1.0.0", *, size: int = 512, layers: int = 8) -> Plan:
    """Milliseconds per run: goes to the threads."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{i}", "v"], [f"h{i + 1}"]) for i in range(layers)]
    nodes += [helper.make_node("ReduceMean", [f"h{layers}"], ["y"], axes=[1], keepdims=1)]
    weights = {
        "w": np.full((3, size), 0.1, np.float32),
        "v": np.full((size, size), 0.001, np.float32),
    }
    return make_plan(version, nodes, weights, out_width=1)


def endless_plan(version: str = "7.7.7", *, slow: bool) -> Plan:
    """A row below 0 never ends. `slow`: milliseconds per run, so that it happens in a thread."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, []),
        ],
    )
    size, layers = (512, 8) if slow else (3, 0)
    nodes = [
        helper.make_node("ReduceMin", ["x"], ["least"], keepdims=0),
        helper.make_node("Less", ["least", "zero"], ["below"]),
        helper.make_node("Loop", ["ever", "below", "zero"], ["sum_of_all"], body=body),
        helper.make_node("MatMul", ["x", "w"], ["h0"]),
        *(helper.make_node("MatMul", [f"h{i}", "v"], [f"h{i + 1}"]) for i in range(layers)),
        helper.make_node("Add", [f"h{layers}", "sum_of_all"], ["h"]),
        helper.make_node("ReduceMean", ["h"], ["y"], axes=[1], keepdims=1),
    ]
    weights: dict[str, npt.NDArray[np.generic] | np.generic] = {
        "w": np.full((3, size), 0.1, np.float32),
        "v": np.full((size, size), 0.001, np.float32),
        "zero": np.float32(0),
        "one": np.float32(1),
        "ever": np.int64(2**62),
    }
    return make_plan(version, nodes, weights, out_width=1)


def echo_plan(dtype: str, onnx_type: int, *, shape: tuple[int, ...] = (-1, 2)) -> Plan:
    """Gives back what it got, of any type."""
    node = helper.make_node("Identity", ["x"], ["y"])
    dimensions = [None if d == -1 else d for d in shape]
    graph = helper.make_graph(
        [node],
        "echo",
        [helper.make_tensor_value_info("x", onnx_type, dimensions)],
        [helper.make_tensor_value_info("y", onnx_type, dimensions)],
    )
    return Plan(
        model=TINY,
        version="1.0.0",
        onnx_bytes=_bytes(graph),
        inputs=(TensorSpec(name="x", dtype=dtype, shape=shape),),
        outputs=(TensorSpec(name="y", dtype=dtype, shape=shape),),
        golden={"x": np.ones([abs(d) for d in shape], np.float32)},
    )


def install(plan: Plan, state_dir: Path) -> SlotRef:
    """Writes `releases/<sha>/`; `current` is not touched."""
    session = onnxruntime.InferenceSession(plan.onnx_bytes, providers=["CPUExecutionProvider"])
    kinds = {"tensor(float)": np.float32}
    feed = {
        node.name: plan.golden[node.name].astype(kinds.get(node.type, plan.golden[node.name].dtype))
        for node in session.get_inputs()
    }
    results = dict(zip([o.name for o in session.get_outputs()], session.run(None, feed), strict=True))
    return lay_out(plan, state_dir, feed, results)


def lay_out(
    plan: Plan,
    state_dir: Path,
    feed: Mapping[str, npt.NDArray[np.generic]],
    results: Mapping[str, npt.NDArray[np.generic]],
    *,
    litert: str = "",
) -> SlotRef:
    """A slot with these golden vectors. `litert`: the version, for a plan whose bytes are a .tflite."""
    cases = len(next(iter(plan.golden.values())))
    model_file = "model.tflite" if litert else "model.onnx"
    serving = Serving(
        model=plan.model,
        version=plan.version,
        variant="cpu",
        precision="fp32",
        runtime="litert" if litert else "onnxruntime",
        runtime_tested=litert or onnxruntime.__version__,
        model_file=model_file,
        inputs=plan.inputs,
        outputs=plan.outputs,
        task="classification" if plan.classes else "other",
        probabilities=plan.probabilities,
        classes=plan.classes,
        features=plan.features,
        golden=Golden(cases=cases, absolute=plan.absolute, relative=0.01),
    )
    tensors = {f"input.{name}": _raw(array) for name, array in feed.items()}
    tensors |= {f"output.{name}": _raw(array) for name, array in results.items()}
    files = {
        model_file: plan.onnx_bytes,
        FILE: serving.encode(),
        BASELINE_FILE: baseline_of(plan).encode(),
        GOLDEN_FILE: encode_tensors(tensors, {}),
    }
    sha = hashlib.sha256(b"".join(files.values())).hexdigest()
    folder = state_dir / "models" / plan.model / "releases" / sha
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return SlotRef(model=plan.model, version=plan.version, manifest_sha256=sha, directory=str(folder))


def make_current(slot: SlotRef) -> None:
    """As the agent does it: a link of a temporary name, renamed."""
    folder = Path(slot.directory).parents[1]
    fresh = folder / "current.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("releases") / slot.manifest_sha256)
    fresh.replace(folder / "current")


def baseline_of(plan: Plan) -> Baseline:
    """Edges at every eighth cell: what a test counts it can work out by hand."""
    features = tuple(
        FeatureBaseline(
            name=feature.name,
            transform="none",
            low=-16.0,
            high=16.0,
            edges=tuple(range(8, 256, 8)),
            counts=(1,) * BINS,
            missing=0,
            mean=0.0,
            std=1.0,
        )
        for feature in plan.features
    )
    return Baseline(
        rows=BINS,
        features=features,
        class_counts=(1,) * len(plan.classes),
        confidence=((1, 1),) * CONFIDENCE_BINS,
    )


def spoil_golden(slot: SlotRef, change: Callable[[Floats], Floats]) -> None:
    """Rewrites the expected outputs, as if the model computed something else on this device."""
    from limosa_contracts.tensors import parse_tensors

    path = Path(slot.directory) / GOLDEN_FILE
    tensors, metadata = parse_tensors(path.read_bytes())
    for name, tensor in tensors.items():
        if name.startswith("output."):
            array = np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)
            tensors[name] = _raw(change(array))
    path.write_bytes(encode_tensors(tensors, metadata))


def make_plan(
    version: str,
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, npt.NDArray[np.generic] | np.generic],
    *,
    width: int = 3,
    out_width: int | None = None,
) -> Plan:
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, out_width or width])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    rows = np.arange(1, 1 + 4 * width, dtype=np.float32).reshape(4, width)
    return Plan(
        model=TINY,
        version=version,
        onnx_bytes=_bytes(graph),
        inputs=(TensorSpec(name="x", dtype="FP32", shape=(-1, width), low=-1e6, high=1e6),),
        outputs=(TensorSpec(name="y", dtype="FP32", shape=(-1, out_width or width)),),
        golden={"x": rows},
        features=tuple(
            FeatureSpec(name=f"x{i}", kind="input", tensor="x", channel=i, reduce="value")
            for i in range(width)
        ),
    )


def _bytes(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _raw(array: npt.NDArray[np.generic]) -> RawTensor:
    names = {
        "bool": "BOOL",
        "float32": "F32",
        "float64": "F64",
        "float16": "F16",
        "int32": "I32",
        "int64": "I64",
        "uint8": "U8",
    }
    return RawTensor(names[array.dtype.name], array.shape, np.ascontiguousarray(array).tobytes())
