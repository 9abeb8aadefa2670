"""The Open Inference Protocol over the loaded models: request in, reply out (agent 5.1).

A fast model runs at once, on the loop; a slow one, or a large batch, in a pool of threads. Either way
the loop alone writes observations.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from limosa_agent.installed import installed_version
from limosa_agent.serving.errors import BadInferRequest, NotServing, Overloaded, UnknownModel
from limosa_agent.serving.feedback_request import parse_feedback
from limosa_agent.serving.http_messages import (
    INFERENCE_HEADER,
    INFERENCE_HEADER_NAME,
    PLAIN,
    Answer,
    Pending,
    Reply,
    Request,
    json_reply,
)
from limosa_agent.serving.known_requests import KnownRequests
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.loaded_model import LoadedModel
from limosa_agent.serving.oip_answer import AnswerWriter
from limosa_agent.serving.oip_json import InferRequest
from limosa_agent.serving.routes import Route, check_method, parse_route
from limosa_agent.serving.run_pool import RunPool
from limosa_agent.serving.shared_counters import SharedCounters
from limosa_agent.serving.tensor_codec import Array, arrays_of
from limosa_contracts.errors import FaultError, RequestError, TransferError
from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import TensorSpec

ROUTES_MAX: Final = 256  # paths that are kept parsed


PLATFORMS: Final = {"onnxruntime": "onnxruntime_onnx", "litert": "tensorflow_lite"}
"""Names of the protocol and of servers that speak it; another runtime goes by its own name."""
EXTENSIONS: Final[tuple[JsonValue, ...]] = ("binary_tensor_data", "model_repository(index)", "feedback")


@dataclass(slots=True)
class Served:
    """One model, and what of its requests and answers is known already."""

    number: int  # 1 + its index: what the shared page calls it
    model: LoadedModel
    outputs: frozenset[str]
    requests: KnownRequests
    answers: AnswerWriter

    @classmethod
    def of(cls, number: int, model: LoadedModel) -> Served:
        names = tuple(spec.name for spec in model.serving.outputs)
        slot = model.slot
        return cls(
            number=number,
            model=model,
            outputs=frozenset(names),
            requests=KnownRequests(),
            answers=AnswerWriter(model=slot.model, version=slot.version, outputs=names),
        )

    def take_feedback(self, body: bytes | memoryview) -> dict[str, JsonValue]:
        """What came of it. Raises BadFeedback (rollouts 6)."""
        return self.model.observations.feedback.take(parse_feedback(body)).as_json()


@dataclass(slots=True)
class Call:
    """One inference request that has passed every check."""

    served: Served
    request: InferRequest
    inputs: Mapping[str, Array]
    rows: int
    spent_ns: int = 0

    def run(self) -> dict[str, Array]:
        """Raises InferenceFailed."""
        began = time.perf_counter_ns()
        outputs = self.served.model.run(self.inputs)
        self.spent_ns = time.perf_counter_ns() - began
        return outputs


class InferenceApi:
    def __init__(
        self,
        models: Sequence[LoadedModel],
        limits: ServingLimits,
        counters: SharedCounters,
        *,
        metrics_text: Callable[[], str] = lambda: "",
    ) -> None:
        """`metrics_text`: what GET /metrics gives, in Prometheus' text format."""
        self._served: Final = {model.slot.model: Served.of(i + 1, model) for i, model in enumerate(models)}
        self._limits: Final = limits
        self._counters: Final = counters
        self._metrics_text: Final = metrics_text
        self._pool: Final[RunPool[dict[str, Array]]] = RunPool(limits.threads or os.cpu_count() or 1)
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
        if route.action == "feedback":
            return json_reply(self._find(route).take_feedback(request.body))
        return self._describe(route)

    def longest_run_s(self, now: float) -> float:
        """For how long the run that is oldest has been in its thread."""
        return self._pool.longest_run_s(now)

    def close(self) -> None:
        self._pool.close()

    # -- metadata and health

    def _describe(self, route: Route) -> Reply:
        if route.action == "live":
            return json_reply({"live": True})
        if route.action == "ready":
            ready = bool(self._served)
            return json_reply({"ready": ready}, status=200 if ready else 503)
        if route.action == "server":
            return json_reply(
                {"name": "limosa-agent", "version": _own_version(), "extensions": list(EXTENSIONS)}
            )
        if route.action == "metrics":
            return Reply(200, (self._metrics_text().encode(),), content_type=PLAIN)
        if route.action == "index":
            return json_reply([_index(served.model) for _, served in sorted(self._served.items())])
        model = self._find(route).model
        if route.action == "model_ready":
            return json_reply({"name": model.slot.model, "ready": True})
        runtime = model.serving.runtime
        return json_reply(
            {
                "name": model.slot.model,
                "versions": [model.slot.version],
                "platform": PLATFORMS.get(runtime, runtime),
                "inputs": [_metadata(spec) for spec in model.serving.inputs],
                "outputs": [_metadata(spec) for spec in model.serving.outputs],
            }
        )

    def _find(self, route: Route) -> Served:
        found = self._served.get(route.model)
        if found is None:
            if not self._served:
                raise NotServing("no model is active on this device", where=route.model)
            raise UnknownModel(
                f"model {route.model[:160]!r} is not served here",
                hint=f"served: {', '.join(sorted(self._served))}",
            )
        active = found.model.slot.version
        if route.version not in ("", active):
            raise UnknownModel(
                f"version {route.version[:80]!r} of {route.model} is not active", hint=f"active: {active}"
            )
        return found

    # -- inference

    def _infer(self, route: Route, request: Request) -> Answer:
        served = self._find(route)
        model = served.model
        try:
            call = _checked(served, request)
        except RequestError as error:
            model.observations.refuse(error.code)
            raise
        if model.run_us * call.rows <= self._limits.inline_max_us:
            return self._run_inline(call)
        if self._pool.waiting >= self._pool.threads + self._limits.queue_max:
            full = Overloaded(f"{self._pool.waiting} requests wait already", where=route.model)
            model.observations.fail(full.code)
            raise full
        return self._run_in_thread(call)

    def _run_inline(self, call: Call) -> Reply:
        served = call.served
        self._counters.running = served.number
        try:
            outputs = call.run()
        except FaultError as error:
            served.model.observations.fail(error.code)
            raise
        finally:
            self._counters.running = 0
        return _answered(call, outputs, None)

    def _run_in_thread(self, call: Call) -> Pending:
        pending = Pending()
        served = call.served
        self._counters.running = served.number

        def done(outputs: dict[str, Array] | None, failed: Exception | None) -> None:
            if not self._pool.waiting:
                self._counters.running = 0
            pending.settle(lambda: _answered(call, outputs, failed))

        self._pool.submit(call.run, done)
        return pending


def _answered(call: Call, outputs: Mapping[str, Array] | None, failed: Exception | None) -> Reply:
    """Counts what came of it. Raises `failed`."""
    served = call.served
    if outputs is None:
        assert failed is not None
        if isinstance(failed, (FaultError, TransferError)):
            served.model.observations.fail(failed.code)
        raise failed
    observations = served.model.observations
    observations.add(call.inputs, outputs, call.rows, call.spent_ns)
    if call.request.id:
        observations.feedback.remember(call.request.id, outputs, call.rows)
    return served.answers.write(call.request, outputs)


def _checked(served: Served, request: Request) -> Call:
    """Raises RequestError."""
    body = request.body if isinstance(request.body, memoryview) else memoryview(request.body)
    cut = _json_bytes(request.headers.get(INFERENCE_HEADER), len(body))
    parsed = served.requests.parse(bytes(body[:cut]))
    for name in parsed.outputs:
        if name not in served.outputs:
            raise BadInferRequest(
                f"output {name[:80]!r} is unknown",
                hint=f"the model gives {', '.join(sorted(served.outputs))}",
            )
    inputs = arrays_of(parsed.inputs, body[cut:])
    if len(inputs) != len(parsed.inputs):
        raise BadInferRequest("an input is given twice", where="inputs")
    return Call(served, parsed, inputs, served.model.check(inputs))


def _json_bytes(header: bytes | None, body_bytes: int) -> int:
    """Where the JSON of the body ends. Raises BadInferRequest."""
    if header is None:
        return body_bytes
    if not header.isdigit() or len(header) > 12 or int(header) > body_bytes:
        raise BadInferRequest(
            "the header is no length within the body",
            where=INFERENCE_HEADER_NAME,
            why=f"{header[:40].decode('ascii', 'replace')!r} of {body_bytes} bytes",
        )
    return int(header)


def _index(model: LoadedModel) -> JsonValue:
    return {"name": model.slot.model, "version": model.slot.version, "state": "READY", "reason": ""}


def _metadata(spec: TensorSpec) -> JsonValue:
    return {"name": spec.name, "datatype": spec.dtype, "shape": list(spec.shape)}


def _own_version() -> str:
    return installed_version("limosa") or "unknown"  # run from a source tree that was not installed
