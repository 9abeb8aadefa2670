"""`/api/v1/mirrors`: a mirror for devices without a network (trust 3.5)."""

from __future__ import annotations

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import NAME
from limosa_server.access import two_person
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Operator
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.mirror.mirroring import make_mirror

router = Router(route_class=AnswerRoute, prefix="/api/v1/mirrors", tags=["mirrors"])


@router.post(
    "",
    status_code=201,
    openapi_extra=json_schema(
        {
            "valid_s": {"type": "number"},
            "devices": {"type": "array", "items": {"type": "string"}},
        },
        required=["valid_s"],
        example={"valid_s": 2592000, "devices": ["dev-0017"]},
    ),
)
def make(body: JsonBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """Signs a timestamp and desired documents of that life, and lists every file that belongs to them.

    `metadata` is below /tuf/metadata, `targets` below /tuf/targets, `blobs` are those of the registry.
    """
    fields = Fields(body, where="mirror")
    valid_s = fields.number("valid_s", low=0)
    none: tuple[str, ...] = ()
    limit = state.settings.limits.mirror_devices_max
    devices = fields.optional("devices", lambda n: fields.texts(n, pattern=NAME, max_items=limit), none)
    fields.refuse_rest()
    asked: list[JsonValue] = [*sorted(devices)]
    two_person.confirm(
        state, caller, action="mirror.export", object="mirror", detail={"valid_s": valid_s, "devices": asked}
    )
    made = make_mirror(state, devices=devices, valid_s=valid_s, actor=caller.actor)
    return {
        "id": made.id,
        "made": made.made,
        "expires": int(made.lent.expires),
        "ends_first": made.lent.ends_first,
        "timestamp": made.lent.timestamp.decode(),
        "metadata": list(made.lent.files),
        "targets": list(made.targets),
        "releases": [str(name) for name in made.releases],
        "blobs": [
            {"repository": blob.repository, "sha256": blob.sha256, "size": blob.size} for blob in made.blobs
        ],
        "desired": {device: envelope.decode() for device, envelope in made.desired.items()},
    }
