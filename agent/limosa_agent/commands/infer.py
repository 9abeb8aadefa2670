"""`limosa-agent infer`: files with inputs against the local endpoint, over the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, columns, command, json_option
from limosa_contracts.errors import LimosaError, TransferError
from limosa_contracts.json_value import JsonObject, JsonValue

if TYPE_CHECKING:
    from limosa_agent.commands.infer_requests import InputSpec

SHOWN_VALUES: Final = 8  # of one output, for people
UNIX: Final = "unix:"


@command(
    "infer",
    examples=[
        "limosa-agent infer window.npy  # one array for a model with one input",
        "limosa-agent infer inputs.npz --model demo/motion --json",
        "limosa-agent infer *.npy  # one line per file and output",
        'limosa-agent infer request.json  # {"inputs": {"name": [[…]]}} or a whole request',
    ],
)
@config_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--model", default="", help="team/model; not needed where one model is served.")
@click.option("--url", default="", help="Another endpoint than the running agent's: http://… or unix:PATH.")
@json_option
def infer_command(config: Path, files: tuple[Path, ...], model: str, url: str, as_json: bool) -> None:
    """Ask the model on this device about the inputs in files (.npy, .npz, .json).

    A file with many rows is asked in parts. A file that is refused does not stop the
    others; the exit code is then that of its error.
    """
    from limosa_agent.commands.infer_requests import specs_of

    base, served = _elsewhere(url, model) if url else _endpoint(config, model)
    specs = specs_of(_exchange(base, "GET", f"/v2/models/{served}", None, {}))
    results: list[JsonValue] = []
    failed: list[LimosaError] = []
    for path in files:
        item: dict[str, JsonValue] = {"file": str(path), "model": served}
        try:
            item["outputs"] = _ask(base, served, path, specs)
        except TransferError:
            raise  # nobody answers: the other files would fare no better
        except LimosaError as error:
            if len(files) == 1:
                raise
            failed.append(error)
            item["error"] = error.as_json()
        results.append(item)
    answer({"results": results}, as_json=as_json, text=lambda: _table(results))
    if failed:
        click.get_current_context().exit(failed[0].exit_code)


def _ask(base: str, served: str, path: Path, specs: tuple[InputSpec, ...]) -> list[JsonValue]:
    from limosa_agent.commands.infer_requests import bodies_of, joined

    where = f"/v2/models/{served}/infer"
    bodies = bodies_of(path, specs)
    return joined([_exchange(base, "POST", where, one.body, one.headers) for one in bodies])


def _elsewhere(url: str, model: str) -> tuple[str, str]:
    from limosa_agent.errors import InferenceRefused

    if not model:
        raise InferenceRefused("which model?", where="--url", hint="--model team/model")
    return url.rstrip("/"), model


def _endpoint(config: Path, model: str) -> tuple[str, str]:
    """(base, model): where the running agent answers, over TCP if it does."""
    from limosa_agent.config import AgentConfig
    from limosa_agent.control_socket import ask_agent
    from limosa_agent.errors import InferenceRefused
    from limosa_contracts.fields import Fields

    settings = AgentConfig.load(config)
    status = Fields(ask_agent(settings.control_socket, "status"), where="status")
    served = [
        Fields(item, where=where).text("model")
        for where, item in status.items("models")
        if Fields(item, where=where).has("serving")
    ]
    if model and model not in served:
        raise InferenceRefused(
            f"{model} is not served here", why=f"served: {', '.join(served) or 'no model'}"
        )
    if not model and not served:
        raise InferenceRefused("no model is served here", hint="limosa-agent status says what it waits for")
    if not model and len(served) != 1:
        raise InferenceRefused(
            "which model?", why=f"served: {', '.join(served)}", hint=f"--model {served[0]}"
        )
    listen = status.text("listen", empty=True)
    if not listen and settings.socket is None:
        hint = "set listen or socket in agent.toml"
        raise InferenceRefused("the agent has no inference endpoint", where=str(config), hint=hint)
    return f"http://{listen}" if listen else f"{UNIX}{settings.socket}", model or served[0]


def _exchange(
    base: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> JsonObject:
    from limosa_agent.commands.over_unix import exchange_over_unix
    from limosa_agent.errors import InferenceRefused
    from limosa_agent.link.https import exchange
    from limosa_contracts.canonical import parse_json

    if base.startswith(UNIX):
        place = base.removeprefix(UNIX)
        code, data = exchange_over_unix(place, method, path, body=body, headers=headers)
    else:
        got = exchange(base, method, path, context=None, body=body, headers=headers)
        code, data = got.status, got.body
    value = parse_json(data, what="answer") if data else {}
    if code != 200 or not isinstance(value, dict):
        said = value.get("error") or value.get("what") if isinstance(value, dict) else ""
        raise InferenceRefused(f"the endpoint answered {code}", where=path, why=str(said or "")[:1000])
    return value


def _table(results: list[JsonValue]) -> str:
    rows: list[list[str]] = []
    for result in results:
        assert isinstance(result, dict)
        if isinstance(error := result.get("error"), Mapping):
            rows.append([str(result["file"]), "error", str(error.get("code")), _told(error)])
        outputs = result.get("outputs")
        for output in outputs if isinstance(outputs, list) else []:
            data = output.get("data") or []
            shown = " ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in data[:SHOWN_VALUES])
            more = " …" if len(data) > SHOWN_VALUES else ""
            shape = "×".join(map(str, output.get("shape") or []))
            rows.append([str(result["file"]), str(output.get("name")), shape, shown + more])
    return columns(["FILE", "OUTPUT", "SHAPE", "VALUES"], rows)


def _told(error: JsonObject) -> str:
    return ": ".join(str(error[key]) for key in ("what", "why") if error.get(key))
