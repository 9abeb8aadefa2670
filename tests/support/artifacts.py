"""Small artifacts whose bytes are valid everywhere but for the model, which is not an ONNX graph."""

from __future__ import annotations

from pathlib import Path

from limosa_compiler.artifact.archive_file import archive_name, write_archive
from limosa_compiler.artifact.package import Packaged, VariantFiles, package_release
from limosa_contracts.baseline import Baseline
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import Requirements
from limosa_contracts.serving import Golden, Serving, TensorSpec

NOTHING_MONITORED = Baseline(rows=0, features=(), class_counts=(), confidence=())


def serving_of(release: ReleaseName, *, variant: str) -> Serving:
    return Serving(
        model=str(release.name),
        version=release.version,
        variant=variant,
        precision="fp32",
        runtime="onnxruntime",
        runtime_tested="1.20.0",
        model_file="model.onnx",
        inputs=(TensorSpec(name="x", dtype="FP32", shape=(-1, 6)),),
        outputs=(TensorSpec(name="y", dtype="FP32", shape=(-1, 2)),),
        task="other",
        probabilities="",
        classes=(),
        features=(),
        golden=Golden(cases=1, absolute=0.0, relative=0.0),
    )


def small_artifact(
    folder: Path,
    release: str,
    *,
    model: bytes = b"weights",
    variants: tuple[str, ...] = ("cpu-fp32", "cpu-int8"),
) -> Path:
    """NAME-VERSION.limosa in `folder`."""
    packaged = packaged_release(release, model=model, variants=variants)
    path = folder / archive_name(packaged.release)
    write_archive(
        path,
        packaged.blobs,
        packaged.index,
        name=str(packaged.release.name),
        version=packaged.release.version,
    )
    return path


def packaged_release(
    release: str, *, model: bytes = b"weights", variants: tuple[str, ...] = ("cpu-fp32", "cpu-int8")
) -> Packaged:
    parsed = ReleaseName.parse(release)
    return package_release(
        [
            VariantFiles(
                name=name,
                files={
                    "model.onnx": model + name.encode(),
                    "serving.json": serving_of(parsed, variant=name).encode(),
                    "golden.safetensors": b"\x02\0\0\0\0\0\0\0{}",
                    "baseline.json": NOTHING_MONITORED.encode(),
                },
                requirements=Requirements(architectures=("x86_64",)),
            )
            for name in variants
        ]
    )
