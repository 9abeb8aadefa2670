"""`/api/v1/devices:export` and `:import`: the inventory as CSV. A colon, for no device can be named so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from limosa_contracts.json_value import JsonValue
from limosa_contracts.selector import SELECTOR_MAX_CHARS, Selector
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Operator, Viewer
from limosa_server.api.bodies import read_body
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.core.device_state import DeviceState
from limosa_server.fleet import bulk, bulk_export
from limosa_server.fleet.csv_cells import BYTES_MAX
from limosa_server.fleet.device_states import STATES
from limosa_server.fleet.inventory import TEXT_MAX_CHARS, DeviceFilter

router = Router(route_class=AnswerRoute, prefix="/api/v1", tags=["devices"])
CSV: Final = "text/csv"
_STATE_PATTERN: Final = f"^({'|'.join((DeviceState.ACTIVE.value, 'all', *STATES))})?$"


def device_filter(
    device_state: Annotated[
        str, Query(alias="state", pattern=_STATE_PATTERN, description="active if left out")
    ] = "",
    label: Annotated[str, Query(max_length=130, description="key=value")] = "",
    selector: Annotated[str, Query(max_length=SELECTOR_MAX_CHARS, description="site in (lab,hq)")] = "",
    group: Annotated[str, Query(max_length=64)] = "",
    version: Annotated[str, Query(max_length=TEXT_MAX_CHARS, description="1.0.0 or team/model@1.0.0")] = "",
    text: Annotated[
        str,
        Query(alias="q", max_length=TEXT_MAX_CHARS, description="part of a name, serial or label"),
    ] = "",
) -> DeviceFilter:
    """Raises InvalidSelector."""
    wanted = ",".join(part for part in (label, selector) if part)
    return DeviceFilter(
        state=device_state,
        group=group,
        version=version.strip(),
        text=text.strip(),
        selector=Selector.parse(wanted) if wanted else None,
    )


Wanted = Annotated[DeviceFilter, Depends(device_filter)]


@router.get(
    "/devices:export",
    response_class=Response,
    responses={200: {"content": {CSV: {}}, "description": "One row a device, one column a label"}},
)
@scoped(TEAM, GROUP)
def export(state: State, caller: Viewer, wanted: Wanted) -> Response:
    """The devices that the filter leaves, as CSV; cells that a spreadsheet would reckon with are quoted."""
    lines = bulk_export.export(
        state.store,
        wanted,
        now=state.clock(),
        scope=caller.scope,
    )
    headers = {"Content-Disposition": 'attachment; filename="devices.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(_encoded(lines), media_type=f"{CSV}; charset=utf-8", headers=headers)


def _encoded(lines: Iterator[str]) -> Iterator[bytes]:
    for line in lines:
        yield line.encode()


async def csv_body(request: Request) -> bytes:
    return await read_body(request, max_bytes=BYTES_MAX)


_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {CSV: {"schema": {"type": "string"}, "example": "device,label.site\r\ndev-0017,lab\r\n"}},
    }
}


@router.post("/devices:import", openapi_extra=_BODY)
@scoped(GROUP)
def import_devices(
    state: State,
    caller: Operator,
    body: Annotated[bytes, Depends(csv_body)],
    dry_run: Annotated[bool, Query(description="only say what would change")] = False,
    enroll: Annotated[bool, Query(description="make a token for each device that is not there")] = False,
) -> dict[str, JsonValue]:
    """Sets operators' labels and static groups of many devices: all rows or, if one is wrong, none.

    Columns: `device`, `label.NAME` (empty takes the operator's label away), `groups` (static ones, with
    blanks between), `serial` (for a token). Columns of an export that say what is are left alone.
    """
    return bulk.run(state, body, dry_run=dry_run, enroll=enroll, scope=caller.scope, actor=caller.actor)
