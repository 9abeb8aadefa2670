"""A model from an MLflow model folder, or from a registry by URI (compiler 1.2).

A folder is read without MLflow. A URI needs the `mlflow` extra; MLflow decides where the registry is
(MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI) and who may read it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from limosa_compiler.errors import RegistryFailed
from limosa_compiler.external.yaml_documents import parse_yaml
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields

DESCRIPTION: Final = "MLmodel"
URI_SCHEMES: Final = ("models:/", "runs:/")


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowModel:
    """The ONNX file of a model folder, and what MLflow says of it."""

    file: Path
    lineage: dict[str, str]


def is_uri(text: str) -> bool:
    """Whether a recipe's model is to be had from a registry."""
    return text.startswith(URI_SCHEMES)


@contextmanager
def model_file(given: Path) -> Iterator[MlflowModel]:
    """The file to compile: `given` itself, that of a model folder, or what a URI names.

    What is downloaded is removed when the block ends. Raises RegistryFailed.
    """
    if is_uri(str(given)):
        with TemporaryDirectory(prefix="limosa-mlflow-") as folder:
            yield _downloaded(str(given), Path(folder))
    elif (given / DESCRIPTION).is_file():
        yield read_folder(given)
    else:
        yield MlflowModel(file=given, lineage={})


def read_folder(folder: Path) -> MlflowModel:
    """By its MLmodel file. Raises RegistryFailed where there is no ONNX flavour in it."""
    where = f"{folder.name}/{DESCRIPTION}"
    try:
        fields = Fields(parse_yaml((folder / DESCRIPTION).read_bytes(), where=where), where=where)
        flavors = fields.fields("flavors")
        known = sorted(fields.object("flavors"))
        if "onnx" not in known:
            raise RegistryFailed(
                "the model has no ONNX flavour",
                where=where,
                why=f"it has {', '.join(known) or 'none'}",
                hint="log it with mlflow.onnx.log_model, or export it to .onnx and name that file",
            )
        name = flavors.fields("onnx").text("data", max_chars=256)
        said = {
            f"mlflow_{key}": fields.text(key, max_chars=256)
            for key in ("run_id", "model_uuid", "mlflow_version", "utc_time_created")
            if fields.has(key)
        }
    except InvalidField as error:
        raise RegistryFailed("the MLmodel file cannot be read", where=where, why=str(error)) from error
    return MlflowModel(file=_inside(folder, name, where=where), lineage=said)


def _inside(folder: Path, name: str, *, where: str) -> Path:
    """A name from the file must not lead out of the folder; a folder of external data is refused later."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise RegistryFailed(
            "the MLmodel file names no file of its folder", where=where, why=repr(name[:120])
        )
    return path


def _downloaded(uri: str, folder: Path) -> MlflowModel:
    """Anything may come out of a registry's client: what it raises becomes one error with its words."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at import: nothing unasked goes out
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise RegistryFailed("a model URI needs MLflow", where=uri, why=str(error)) from error
    try:
        found = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
        version = _version(uri)
    except (MlflowException, OSError, ValueError) as error:
        raise RegistryFailed(
            "the registry does not give the model", where=uri, why=" ".join(str(error).split())[:300]
        ) from error
    model = read_folder(_folder_with_description(found, uri))
    return MlflowModel(file=model.file, lineage={**model.lineage, "mlflow_uri": uri, **version})


def _version(uri: str) -> dict[str, str]:
    """The registered version and the run it came from; an alias or stage is made a number."""
    if not uri.startswith("models:/"):
        return {"mlflow_run_id": uri.removeprefix("runs:/").partition("/")[0]}
    from mlflow import MlflowClient

    name, _, version = uri.removeprefix("models:/").partition("/")
    client = MlflowClient()
    if "@" in name:
        name, _, alias = name.partition("@")
        entry = client.get_model_version_by_alias(name, alias)
    else:
        entry = client.get_model_version(name, version)
    said = {"mlflow_model": f"{entry.name}/{entry.version}", "mlflow_run_id": entry.run_id}
    return {key: str(text) for key, text in said.items() if text}


def _folder_with_description(found: Path, uri: str) -> Path:
    if (found / DESCRIPTION).is_file():
        return found
    raise RegistryFailed(
        "what the registry gives is no model folder", where=uri, why=f"no {DESCRIPTION} in it"
    )
