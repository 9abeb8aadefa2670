"""`POST /api/v1/enroll`, and the operator's side: tokens with which devices join."""

from __future__ import annotations

from sqlmodel import col, select

from limosa_contracts.enrolment import EnrollRequest
from limosa_contracts.errors import Conflict
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import NAME
from limosa_server.access import audit, tokens, two_person
from limosa_server.access.scope import GROUP
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Caller, Operator
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.fleet import enrollment, groups, leaving
from limosa_server.fleet.labels import check_labels
from limosa_server.mqtt.broker_config import SERVER_NAME
from limosa_server.state import ServerState
from limosa_server.tables.access import EnrollmentToken
from limosa_server.tables.devices import Device

router = Router(route_class=AnswerRoute, tags=["enrolment"])
YEAR_S = 365 * 86400.0


@router.post(
    "/api/v1/enroll",
    status_code=201,
    openapi_extra=json_schema(
        {
            "schema": {"const": "limosa.enroll/1"},
            "token": {"type": "string", "description": "lmt_<id>.<secret>"},
            "csr": {"type": "string", "description": "certificate request, PEM, P-256"},
            "serial": {"type": "string", "maxLength": 128},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "capabilities": {"type": "object"},
        },
        required=["schema", "token", "csr"],
    ),
)
def enroll(body: JsonBody, state: State) -> dict[str, JsonValue]:
    """A device joins with a token and a certificate request; the token is its only credential."""
    return enrollment.enroll(state, EnrollRequest.parse(body)).as_json()


@router.post(
    "/api/v1/enrollment-tokens",
    status_code=201,
    openapi_extra=json_schema(
        {
            "device": {"type": "string", "description": "the id the device will have"},
            "group": {"type": "string", "description": "static group it joins"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "serial": {"type": "string", "description": "only this serial number may use it"},
            "expires_in_s": {"type": "number", "minimum": 1, "maximum": YEAR_S},
        },
        required=[],
        example={"group": "lab", "labels": {"site": "lab"}},
    ),
)
@scoped(GROUP)
def create_token(body: JsonBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """Makes a token for one device; it is shown in this answer and never again."""
    fields = Fields(body, where="enrollment token")
    default_s = state.settings.limits.enroll_token_s
    life_s = fields.optional("expires_in_s", lambda n: fields.number(n, low=1, high=YEAR_S), default_s)
    now = state.clock()
    drawn = tokens.draw("lmt")
    nothing: dict[str, str] = {}
    labels = fields.optional("labels", lambda n: fields.text_map(n, max_items=LIMITS.labels_max), nothing)
    check_labels(labels)
    row = EnrollmentToken(
        id=drawn.id,
        secret_sha256=drawn.secret_sha256,
        created_at=now,
        created_by=caller.actor,
        expires_at=now + life_s,
        device=fields.optional("device", lambda n: fields.text(n, pattern=NAME), ""),
        group=fields.optional("group", lambda n: fields.text(n, pattern=NAME), caller.group),
        serial=fields.optional("serial", lambda n: fields.text(n, max_chars=128), ""),
        labels=dict(labels),
    )
    fields.refuse_rest()
    if row.device == SERVER_NAME:
        raise fields.wrong("device", "this name is the server's own")
    caller.scope.check_group(row.group)
    takes_over = _confirm_taking_over(state, caller, row, life_s=life_s)
    with state.store.transaction() as tx:
        if row.device:
            enrollment.check_name(tx, row.device, caller.scope, now=now)
            if not takes_over and tx.get(Device, row.device) is not None:
                raise Conflict(
                    f"{row.device} was enrolled in this moment", where="enrollment token.device",
                    hint="ask again, if the token is to take its place",
                )  # fmt: skip
        if row.group:
            groups.join(tx, row.group, [], now=now)  # refuses a group that is not there, or by selector
        tx.add(row)
        audit.record(
            tx, at=now, actor=caller.actor, action="enrollment-token.create",
            object=f"enrollment-token {row.id}", after=_shape(row),
        )  # fmt: skip
    return {**_shape(row), "token": drawn.text}


def _confirm_taking_over(state: ServerState, caller: Caller, row: EnrollmentToken, *, life_s: float) -> bool:
    """Whoever enrols under the name of a device shuts that one out (trust 6.1), as `device replace` does.
    Whether there is one. Raises SecondPersonNeeded, NotFound, Conflict."""
    with state.store.read() as tx:
        if not row.device or tx.get(Device, row.device) is None:
            return False
        enrollment.check_name(tx, row.device, caller.scope, now=row.created_at)
    two_person.confirm(
        state, caller, action=leaving.REPLACE, object=f"device {row.device}",
        detail={
            "serial": row.serial, "group": row.group, "labels": dict(row.labels),
            "expires_in_s": life_s,
        },
    )  # fmt: skip
    return True


@router.get("/api/v1/enrollment-tokens")
@scoped(GROUP)
def list_tokens(
    state: State, caller: Operator, limit: Limit = LIMITS.page_size_max, cursor: Cursor = ""
) -> dict[str, JsonValue]:
    """Tokens by id, without their secrets."""
    with state.store.read() as tx:
        rows = tx.exec(
            select(EnrollmentToken)
            .where(EnrollmentToken.id > decode_cursor(cursor), caller.scope.groups(EnrollmentToken.group))
            .order_by(col(EnrollmentToken.id))
            .limit(limit + 1)
        ).all()
    return page(rows, limit=limit, key=lambda row: row.id, shape=_shape)


def _shape(row: EnrollmentToken) -> dict[str, JsonValue]:
    return {
        "id": row.id,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "expires_at": row.expires_at,
        "used_at": row.used_at,
        "used_by": row.used_by,
        "device": row.device,
        "group": row.group,
        "serial": row.serial,
        "labels": dict(row.labels),
    }
