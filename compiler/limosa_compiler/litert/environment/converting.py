"""ONNX to .tflite in fp32, without TensorFlow."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np


def convert(
    model: bytes, *, folder: str, keep: list[str], names: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model as an array of bytes, `fp32`. Inputs named in `keep` keep their shape, whatever the layout.
    In the signature, what is called by a key of `names` gets its value as name.

    The file's name ends up in the result, so it is always the same one. The converter may rewrite the file
    it is given, hence a copy in `folder`, which the caller removes.
    """
    from onnx2tf.onnx2tf import convert as run

    logging.disable(logging.CRITICAL)
    source, out = Path(folder) / "model.onnx", Path(folder) / "out"
    source.write_bytes(model)
    os.chdir(folder)  # it leaves files where it stands
    run(
        input_onnx_file_path=str(source),
        output_folder_path=str(out),
        tflite_backend="flatbuffer_direct",
        keep_shape_absolutely_input_names=keep,
        copy_onnx_input_output_names_to_tflite=True,
        not_use_onnxsim=True,
        not_use_opname_auto_generate=True,
        non_verbose=True,
        verbosity="error",
    )
    path = out / "model_float32.tflite"
    if names:
        rename(path, names)
    return {}, {"fp32": np.frombuffer(path.read_bytes(), dtype=np.uint8)}


def rename(path: Path, names: dict[str, str]) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.read_model(str(path))
    for signature in parsed.signatureDefs:
        for tensor in (*signature.inputs, *signature.outputs):
            said = tensor.name.decode() if isinstance(tensor.name, bytes) else tensor.name
            tensor.name = names.get(said, said)
    flatbuffer_utils.write_model(parsed, str(path))
