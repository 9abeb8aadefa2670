"""What serving refuses, and how it fails. LM-550 to LM-579.

RequestError    BadInferRequest, BadFeedback, UnknownModel, InputNames, InputDtype, InputShape, InputRange,
                InputCategory,
                MethodRefused, EncodingRefused, HeadersTooLarge, BodyTooLarge, RequestTooSlow, BadHttp
TransferError   Overloaded, NotServing, TooManyConnections
VerdictError    GoldenMismatch
FaultError      InferenceFailed, LoadFailed, SelfTestFailed, WorkerGone, NothingToFallBackTo, NoSlot,
                CopyBroken
"""

from __future__ import annotations

from limosa_contracts.errors import FaultError, RequestError, TransferError, VerdictError


class BadInferRequest(RequestError):
    code = "LM-550"
    summary = "an inference request is not what the Open Inference Protocol asks for"
    http_status = 400
    default_hint = 'it looks like {"inputs": [{"name": …, "datatype": …, "shape": …, "data": …}]}'


class BadFeedback(RequestError):
    code = "LM-638"
    summary = "feedback on a prediction cannot be read or counted"
    http_status = 400
    default_hint = 'it looks like {"id": …, "label": …} or {"id": …, "name": …, "value": …}'


class UnknownModel(RequestError):
    code = "LM-551"
    summary = "no such model, version or path is served here"
    http_status = 404
    default_hint = "limosa-agent status lists the models that are served"


class InputNames(RequestError):
    code = "LM-552"
    summary = "inputs are missing, unknown or given twice"
    http_status = 400


class InputDtype(RequestError):
    code = "LM-553"
    summary = "an input has another data type than the model takes"
    http_status = 400
    default_hint = "GET /v2/models/{team}/{model} says the types"


class InputShape(RequestError):
    code = "LM-554"
    summary = "an input has a shape that the model does not take, or not the elements its shape says"
    http_status = 400
    default_hint = "GET /v2/models/{team}/{model} says the shapes; -1 is any length"


class InputRange(RequestError):
    code = "LM-555"
    summary = "an input holds a value outside its declared range, or one its data type cannot hold"
    http_status = 400


class InputCategory(RequestError):
    code = "LM-576"
    summary = "a text input is none of the categories that the model knows"
    http_status = 400


class MethodRefused(RequestError):
    code = "LM-556"
    summary = "the path exists, but not with this HTTP method"
    http_status = 405


class EncodingRefused(RequestError):
    code = "LM-557"
    summary = "a request body is compressed; this server takes it as it is"
    http_status = 415


class HeadersTooLarge(RequestError):
    code = "LM-558"
    summary = "request line and headers are larger than their limit"
    http_status = 431


class BodyTooLarge(RequestError):
    code = "LM-559"
    summary = "a request body is larger than its limit"
    http_status = 413
    default_hint = "send fewer rows at once, or set body_max_bytes below [inference] in agent.toml"


class RequestTooSlow(RequestError):
    code = "LM-560"
    summary = "a request did not arrive in full in the time it has"
    http_status = 408


class BadHttp(RequestError):
    code = "LM-561"
    summary = "the bytes are not an HTTP/1.1 request"
    http_status = 400


class Overloaded(TransferError):
    code = "LM-562"
    summary = "more requests wait than the queue may hold"
    http_status = 429
    default_hint = "try again after Retry-After"


class TooManyConnections(TransferError):
    code = "LM-563"
    summary = "more connections are open than the limit"
    http_status = 503
    default_hint = (
        "keep connections open and use them again, or set connections_max below [inference] in agent.toml"
    )


class NotServing(TransferError):
    code = "LM-564"
    summary = "this device serves no model now"
    http_status = 503
    default_hint = "try again after Retry-After; limosa-agent status on the device says what it waits for"


class InferenceFailed(FaultError):
    code = "LM-565"
    summary = "the runtime raised an error inside the model"


class LoadFailed(FaultError):
    code = "LM-566"
    summary = "a release cannot be loaded or warmed up"
    reason_code = "load_failed"


class WorkerGone(FaultError):
    code = "LM-567"
    summary = "the serving worker has ended or does not answer"


class NothingToFallBackTo(FaultError):
    code = "LM-568"
    summary = "there is no previous set of models"


class NoSlot(FaultError):
    code = "LM-569"
    summary = "the state folder holds no active release of this model"
    default_hint = "limosa-agent slots"


class GoldenMismatch(VerdictError):
    code = "LM-570"
    summary = "outputs differ from the golden vectors by more than their tolerance"
    reason_code = "golden_mismatch"


class SelfTestFailed(FaultError):
    code = "LM-571"
    summary = "the self-test did not come to an end by itself within its limits"
    reason_code = "self_test_failed"


class CopyBroken(FaultError):
    code = "LM-572"
    summary = "a copy for the shadow worker is not what the serving worker writes"
