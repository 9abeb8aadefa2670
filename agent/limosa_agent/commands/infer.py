"""`limosa-agent infer`: files with inputs against the local endpoint, over the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, columns, command, json_option
from limosa_contracts.json_value import JsonObject, JsonValue

if TYPE_CHECKING:
    import numpy as np

SHOWN_VALUES: Final = 8  # of one output, for people


@command(
    "infer",
    examples=[
        "limosa-agent infer window.npy  # one array for a model with one input",
        "limosa-agent infer inputs.npz --model demo/motion --json",
        'limosa-agent infer request.json  # {"inputs": {"name": [[…]]}} or a whole request',
    ],
)
@config_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--model", default="", help="team/model; not needed where one model is served.")
@click.option("--url", default="", help="Another endpoint than the running agent's.")
@json_option
def infer_command(config: Path, files: tuple[Path, ...], model: str, url: str, as_json: bool) -> None:
    """Ask the model on this device about the inputs in files (.npy, .npz, .json)."""
    base, served = (url.rstrip("/"), model) if url else _endpoint(config, model)
    described = _exchange(base, "GET", f"/v2/models/{served}", None)
    results: list[JsonValue] = []
    for path in files:
        request = _request(path, described)
        answered = _exchange(base, "POST", f"/v2/models/{served}/infer", request)
        results.append({"file": str(path), "outputs": answered.get("outputs"), "model": served})
    answer({"results": results}, as_json=as_json, text=lambda: _table(results))


def _endpoint(config: Path, model: str) -> tuple[str, str]:
    from limosa_agent.config import AgentConfig
    from limosa_agent.control_socket import ask_agent
    from limosa_agent.errors import InferenceRefused
    from limosa_contracts.fields import Fields

    status = Fields(ask_agent(AgentConfig.load(config).control_socket, "status"), where="status")
    served = [
        Fields(item, where=where).text("model")
        for where, item in status.items("models")
        if Fields(item, where=where).has("serving")
    ]
    if model and model not in served:
        raise InferenceRefused(
            f"{model} is not served here", why=f"served: {', '.join(served) or 'no model'}"
        )
    if not model and len(served) != 1:
        raise InferenceRefused(
            "which model?", why=f"{len(served)} are served", hint=f"--model {served[0]}" if served else ""
        )
    return f"http://{status.text('listen')}", model or served[0]


def _exchange(base: str, method: str, path: str, body: bytes | None) -> JsonObject:
    from limosa_agent.errors import InferenceRefused
    from limosa_agent.link.https import exchange
    from limosa_contracts.canonical import parse_json

    headers = {"Content-Type": "application/json"} if body is not None else {}
    got = exchange(base, method, path, context=None, body=body, headers=headers)
    value = parse_json(got.body, what="answer") if got.body else {}
    if got.status != 200 or not isinstance(value, dict):
        said = value.get("error") or value.get("what") if isinstance(value, dict) else ""
        raise InferenceRefused(f"the endpoint answered {got.status}", where=path, why=str(said or "")[:1000])
    return value


def _request(path: Path, described: JsonObject) -> bytes:
    """The JSON body of one inference request."""
    from limosa_agent.errors import InputUnreadable

    specs = _specs(described)
    if path.suffix == ".json":
        value = _json_file(path)
        inputs = value.get("inputs")
        if isinstance(inputs, list):
            return json.dumps(value).encode()
        if isinstance(inputs, dict):
            return _encode({name: _as_array(array) for name, array in inputs.items()}, specs, path)
        raise InputUnreadable('there is no "inputs" in the file', where=str(path))
    return _encode(_arrays(path, specs), specs, path)


def _json_file(path: Path) -> dict[str, Any]:
    from limosa_agent.errors import InputUnreadable

    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputUnreadable("the file is not JSON", where=str(path), why=str(error)) from error
    if not isinstance(value, dict):
        raise InputUnreadable("the file is not a JSON object", where=str(path))
    return value


def _arrays(path: Path, specs: Mapping[str, str]) -> dict[str, np.ndarray[Any, Any]]:
    import zipfile

    import numpy as np

    from limosa_agent.errors import InputUnreadable

    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {next(iter(specs), "input"): loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputUnreadable("the file is neither .npy nor .npz", where=str(path), why=str(error)) from error


def _encode(arrays: Mapping[str, Any], specs: Mapping[str, str], path: Path) -> bytes:
    from limosa_agent.errors import InputUnreadable

    inputs = []
    for name, array in arrays.items():
        if name not in specs:
            raise InputUnreadable(
                f"the model has no input {name!r}", where=str(path), why=f"it has {', '.join(specs)}"
            )
        inputs.append(
            {
                "name": name,
                "datatype": specs[name],
                "shape": list(array.shape),
                "data": array.ravel().tolist(),
            }
        )
    return json.dumps({"inputs": inputs}).encode()


def _as_array(value: object) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.asarray(value)


def _specs(described: JsonObject) -> dict[str, str]:
    from limosa_contracts.fields import Fields

    fields = Fields(described, where="model")
    result = {}
    for where, item in fields.items("inputs"):
        spec = Fields(item, where=where)
        result[spec.text("name")] = spec.text("datatype")
    return result


def _table(results: list[JsonValue]) -> str:
    rows: list[list[str]] = []
    for result in results:
        assert isinstance(result, dict)
        outputs = result.get("outputs")
        for output in outputs if isinstance(outputs, list) else []:
            data = output.get("data") or []
            shown = " ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in data[:SHOWN_VALUES])
            more = " …" if len(data) > SHOWN_VALUES else ""
            shape = "×".join(map(str, output.get("shape") or []))
            rows.append([str(result["file"]), str(output.get("name")), shape, shown + more])
    return columns(["FILE", "OUTPUT", "SHAPE", "VALUES"], rows)
