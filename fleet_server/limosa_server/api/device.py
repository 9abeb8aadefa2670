"""What a device asks over HTTPS: access token, desired state, reports, renewal (server 3, trust 6.2)."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import Request, Response

from limosa_contracts.assertion import ASSERTION_MAX_CHARS, ASSERTION_TYPE, GRANT_TYPE
from limosa_contracts.errors import InvalidField, NotFound
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import digest_of
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.root_ca import HELD_SCHEMA, RootsHeld, RootsTold
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import FromDevice
from limosa_server.api.bodies import JsonBody, RawBody, json_schema
from limosa_server.api.conditional import not_modified
from limosa_server.api.routing import Router
from limosa_server.api.state import Reports, State
from limosa_server.fleet import enrollment
from limosa_server.reports.ingest import Incoming, check_batch_size
from limosa_server.trust import device_token
from limosa_server.trust import roots as root_cas

router = Router(route_class=AnswerRoute, prefix="/api/v1/device", tags=["device"])
DSSE = "application/vnd.dsse+json"
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type", "client_assertion_type", "client_assertion"],
                    "properties": {
                        "grant_type": {"const": GRANT_TYPE},
                        "client_assertion_type": {"const": ASSERTION_TYPE},
                        "client_assertion": {"type": "string", "maxLength": ASSERTION_MAX_CHARS},
                    },
                }
            }
        },
    }
}


@router.post("/token", openapi_extra=FORM)
def token(body: RawBody, state: State) -> dict[str, JsonValue]:
    """An access token for an assertion that the device's key signed (RFC 7523)."""
    try:
        form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=16)
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidField("not a form", where="body", why=str(error)[:200]) from error
    fields = Fields({name: values[0] for name, values in form.items()}, where="form")
    fields.choice("grant_type", (GRANT_TYPE,))
    fields.choice("client_assertion_type", (ASSERTION_TYPE,))
    access = device_token.exchange(state, fields.text("client_assertion", max_chars=ASSERTION_MAX_CHARS))
    return {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": int(state.settings.limits.access_token_s),
    }


@router.get(
    "/desired",
    response_class=Response,
    responses={200: {"content": {DSSE: {}}}, 304: {"description": "Not modified"}},
)
def desired(request: Request, state: State, caller: FromDevice) -> Response:
    """The signed desired state, the same bytes as the retained MQTT message (trust 4.4)."""
    with state.store.read() as tx:
        envelope = state.desired.one(tx, caller.device)
    if envelope is None:
        raise NotFound("there is no desired state for this device yet", where=caller.device)
    etag = f'"{digest_of(envelope)}"'
    if not_modified(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(envelope, media_type=DSSE, headers={"ETag": etag, "Cache-Control": "no-cache"})


@router.post(
    "/reports",
    openapi_extra=json_schema(
        {"messages": {"type": "array", "items": {"type": "object"}}}, required=["messages"]
    ),
)
def reports(body: JsonBody, state: State, joined: Reports, caller: FromDevice) -> dict[str, JsonValue]:
    """The same signed messages as over MQTT; the answer acknowledges what is committed."""
    limit = state.settings.limits.reports_per_request_max
    items = list(Fields(body, where="reports").items("messages", max_items=limit))
    check_batch_size(len(items), limit)
    batch = [
        Incoming(device=caller.device, message=ReportMessage.from_json(item, where=place))
        for place, item in items
    ]
    acks = joined.take(batch)
    return {"acks": [{"session": one.ack.session, "seq": one.ack.seq} for one in acks]}


@router.post(
    "/roots",
    openapi_extra=json_schema(
        {"schema": {"const": HELD_SCHEMA}, "has": {"type": "array", "items": {"type": "string"}}},
        required=["schema", "has"],
        example={"schema": HELD_SCHEMA, "has": ["0f" * 32]},
    ),
)
def roots(body: JsonBody, state: State, caller: FromDevice) -> dict[str, JsonValue]:
    """A device says which root CAs it trusts, and is told which it shall trust (trust 1.2)."""
    has = RootsHeld.parse(body).has
    renew = root_cas.said(state, caller.device, has, certificate=caller.certificate)
    return RootsTold(ca_pem=state.authority.root_pem, renew=renew).as_json()


@router.post("/renew", openapi_extra=json_schema({"csr": {"type": "string"}}, required=["csr"]))
def renew(body: JsonBody, state: State, caller: FromDevice) -> dict[str, JsonValue]:
    """A certificate for a new key; the old key is proven by the access token, the new by the request."""
    csr = Fields(body, where="renew").text("csr", max_chars=8192)
    issued = enrollment.renew(state, device=caller.device, csr_pem=csr)
    return {"certificate": issued.chain_pem, "ca": state.authority.root_pem}
