"""The Open Inference Protocol over the loaded models: request in, reply out (agent 5.1).

A fast model runs at once, on the loop; a slow one, or a large batch, in a pool of threads. Either way
the loop alone writes observations.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from threading import get_ident
from typing import Final

from limosa_agent.serving.errors import BadInferRequest, NotServing, Overloaded, UnknownModel
from limosa_agent.serving.http_messages import INFERENCE_HEADER, Reply, Request, json_reply
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.loaded_model import LoadedModel
from limosa_agent.serving.oip_json import InferRequest, encode_answer, parse_infer_request
from limosa_agent.serving.protocol import Answer
from limosa_agent.serving.routes import Route, check_method, parse_route
from limosa_agent.serving.runtime import PLATFORMS
from limosa_agent.serving.shared_counters import SharedCounters
from limosa_agent.serving.tensor_codec import OIP, Array, arrays_of, to_binary, to_json
from limosa_contracts.errors import FaultError, RequestError, TransferError
from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import TensorSpec

ROUTES_MAX: Final = 256  # paths that are kept parsed


@dataclass(frozen=True, slots=True)
class Call:
    """One inference request that has passed every check."""

    model: LoadedModel
    number: int
    request: InferRequest
    inputs: Mapping[str, Array]
    rows: int


class InferenceApi:
    def __init__(
        self, models: Sequence[LoadedModel], limits: ServingLimits, counters: SharedCounters
    ) -> None:
        self._models: Final = {model.slot.model: (i + 1, model) for i, model in enumerate(models)}
        self._limits: Final = limits
        self._counters: Final = counters
        self._threads: Final = limits.threads or os.cpu_count() or 1
        self._executor: Final = ThreadPoolExecutor(self._threads, thread_name_prefix="run")
        self._in_threads = 0
        self._running_since: Final[dict[int, float]] = {}  # thread -> monotonic seconds
        self._routes: Final[dict[bytes, Route]] = {}

    def answer(self, request: Request) -> Answer:
        """Raises LimosaError; its `http_status` is the answer."""
        route = self._routes.get(request.target)
        if route is None:
            route = parse_route(request.target)
            if len(self._routes) < ROUTES_MAX:
                self._routes[request.target] = route
        check_method(route, request.method)
        if route.action == "infer":
            return self._infer(route, request)
        return self._describe(route)

    def longest_run_s(self, now: float) -> float:
        """For how long the run that is oldest has been in its thread."""
        return now - min(self._running_since.copy().values(), default=now)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    # -- metadata and health

    def _describe(self, route: Route) -> Reply:
        if route.action == "live":
            return json_reply({"live": True})
        if route.action == "ready":
            ready = bool(self._models)
            return json_reply({"ready": ready}, status=200 if ready else 503)
        if route.action == "server":
            return json_reply(
                {"name": "limosa-agent", "version": _own_version(), "extensions": ["binary_tensor_data"]}
            )
        _, model = self._find(route)
        if route.action == "model_ready":
            return json_reply({"name": model.slot.model, "ready": True})
        return json_reply(
            {
                "name": model.slot.model,
                "versions": [model.slot.version],
                "platform": PLATFORMS[model.serving.runtime],
                "inputs": [_metadata(spec) for spec in model.serving.inputs],
                "outputs": [_metadata(spec) for spec in model.serving.outputs],
            }
        )

    def _find(self, route: Route) -> tuple[int, LoadedModel]:
        found = self._models.get(route.model)
        if found is None:
            if not self._models:
                raise NotServing("no model is active on this device", where=route.model)
            raise UnknownModel(
                f"model {route.model[:160]!r} is not served here",
                hint=f"served: {', '.join(sorted(self._models))}",
            )
        active = found[1].slot.version
        if route.version not in ("", active):
            raise UnknownModel(
                f"version {route.version[:80]!r} of {route.model} is not active", hint=f"active: {active}"
            )
        return found

    # -- inference

    def _infer(self, route: Route, request: Request) -> Answer:
        number, model = self._find(route)
        try:
            call = self._check(number, model, request)
        except RequestError as error:
            model.observations.refuse(error.code)
            raise
        if model.run_us * call.rows <= self._limits.inline_max_us:
            return self._run_inline(call)
        if self._in_threads >= self._threads + self._limits.queue_max:
            full = Overloaded(f"{self._in_threads} requests wait already", where=route.model)
            model.observations.fail(full.code)
            raise full
        self._in_threads += 1  # here, not in the task: the next request is judged before that runs
        return asyncio.ensure_future(self._run_in_thread(call))

    def _check(self, number: int, model: LoadedModel, request: Request) -> Call:
        body = memoryview(request.body)
        cut = _json_bytes(request.headers.get(INFERENCE_HEADER), len(body))
        parsed = parse_infer_request(body[:cut])
        names = {spec.name for spec in model.serving.outputs}
        for name in parsed.outputs:
            if name not in names:
                raise BadInferRequest(
                    f"output {name[:80]!r} is unknown", hint=f"the model gives {', '.join(sorted(names))}"
                )
        inputs = arrays_of(parsed.inputs, body[cut:])
        if len(inputs) != len(parsed.inputs):
            raise BadInferRequest("an input is given twice", where="inputs")
        return Call(model, number, parsed, inputs, model.check(inputs))

    def _run_inline(self, call: Call) -> Reply:
        self._counters.running = call.number
        began = time.perf_counter_ns()
        try:
            outputs = call.model.run(call.inputs)
        except FaultError as error:
            call.model.observations.fail(error.code)
            raise
        finally:
            self._counters.running = 0
        call.model.observations.add(call.inputs, outputs, call.rows, time.perf_counter_ns() - began)
        return _reply(call, outputs)

    async def _run_in_thread(self, call: Call) -> Reply:
        self._counters.running = call.number
        try:
            outputs, spent = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._timed, call.model, call.inputs
            )
        except (FaultError, TransferError) as error:
            call.model.observations.fail(error.code)
            raise
        finally:
            self._in_threads -= 1
            if not self._in_threads:
                self._counters.running = 0
        call.model.observations.add(call.inputs, outputs, call.rows, spent)
        return _reply(call, outputs)

    def _timed(self, model: LoadedModel, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], int]:
        """In a thread of the pool."""
        thread, began = get_ident(), time.perf_counter_ns()
        self._running_since[thread] = time.monotonic()
        try:
            outputs = model.run(inputs)
        finally:
            del self._running_since[thread]
        return outputs, time.perf_counter_ns() - began


def _reply(call: Call, outputs: Mapping[str, Array]) -> Reply:
    request, slot = call.request, call.model.slot
    wanted = request.outputs or {spec.name: request.binary_default for spec in call.model.serving.outputs}
    described: list[dict[str, JsonValue]] = []
    tail: list[bytes] = []
    for name, binary in wanted.items():
        array = outputs[name]
        item: dict[str, JsonValue] = {
            "name": name,
            "datatype": OIP[array.dtype],
            "shape": list(array.shape),
        }
        if binary:
            tail.append(to_binary(array))
            item["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            item["data"] = to_json(array)
        described.append(item)
    head = encode_answer(model=slot.model, version=slot.version, ident=request.id, outputs=described)
    if not tail:
        return Reply(200, (head,))
    headers = (("Inference-Header-Content-Length", str(len(head))),)
    return Reply(200, (head, *tail), headers, "application/octet-stream")


def _json_bytes(header: bytes | None, body_bytes: int) -> int:
    """Where the JSON of the body ends. Raises BadInferRequest."""
    if header is None:
        return body_bytes
    if not header.isdigit() or len(header) > 12 or int(header) > body_bytes:
        raise BadInferRequest(
            "the header is no length within the body",
            where="Inference-Header-Content-Length",
            why=f"{header[:40].decode('ascii', 'replace')!r} of {body_bytes} bytes",
        )
    return int(header)


def _metadata(spec: TensorSpec) -> JsonValue:
    return {"name": spec.name, "datatype": spec.dtype, "shape": list(spec.shape)}


def _own_version() -> str:
    try:
        return version("limosa")
    except PackageNotFoundError:
        return "unknown"  # run from a source tree that was not installed
