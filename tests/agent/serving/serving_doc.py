"""The least serving.json that declares some inputs."""

from __future__ import annotations

from limosa_contracts.serving import Golden, Serving, TensorSpec


def serving_of(*inputs: TensorSpec) -> Serving:
    return Serving(
        model="demo/tiny",
        version="1.0.0",
        variant="cpu",
        precision="fp32",
        runtime="onnxruntime",
        runtime_tested="1",
        model_file="model.onnx",
        inputs=inputs,
        outputs=(TensorSpec(name="y", dtype="FP32", shape=(-1,)),),
        task="other",
        probabilities="",
        classes=(),
        features=(),
        golden=Golden(cases=1, absolute=1e-3, relative=1e-2),
    )
