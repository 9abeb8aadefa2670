"""`/api/v1/permits`: downgrade permits that teams have signed (trust 2.4)."""

from __future__ import annotations

from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import InvalidField, LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_server.access.scope import TEAM
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Publisher
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.trust import permits

router = Router(route_class=AnswerRoute, prefix="/api/v1/permits", tags=["permits"])


@router.put("", openapi_extra=json_schema({"permit": {"type": "object"}}, required=["permit"]))
@scoped(TEAM)
def add(body: JsonBody, state: State, caller: Publisher) -> dict[str, JsonValue]:
    """A permit as `limosa permit` signs it: a DSSE envelope. Idempotent."""
    fields = Fields(body, where="permit")
    try:
        envelope = Envelope.from_object(fields.object("permit"))
    except LimosaError as error:
        raise InvalidField("this is no DSSE envelope", where="permit", why=str(error)[:300]) from error
    fields.refuse_rest()
    caller.needs_team(permits.team_of(envelope))
    with state.store.transaction() as tx:
        kept = permits.add(tx, envelope, at=state.clock(), actor=caller.actor)
    return {"model": kept.model, "from": kept.from_version, "to": kept.to_version}
