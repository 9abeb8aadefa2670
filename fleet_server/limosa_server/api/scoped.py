"""Keeps a bound token within its team or group, on every route (trust 6.4).

A route is closed to a token that is bound in a way which nothing there keeps to: a new route is safe
before anybody thinks of scopes. It opens by what its path names (`{team}`, `{device}`, `{rollout_id}`),
checked here, or by `@scoped`, which says that the endpoint itself narrows what it shows and does:

    @router.get("")
    @scoped(TEAM, GROUP)
    def list_rollouts(state: State, caller: Viewer) -> …:
        query = select(RolloutRow).where(caller.scope.models(RolloutRow.model), …)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi import Request

from limosa_contracts.errors import NotAuthorised, NotFound
from limosa_server.access.scope import GROUP, TEAM, Scope
from limosa_server.state import ServerState
from limosa_server.tables.rollouts import RolloutRow

E = TypeVar("E", bound=Callable[..., Any])
_KEPT: Final[dict[Callable[..., Any], frozenset[str]]] = {}


def scoped(*ways: str) -> Callable[[E], E]:
    """The endpoint keeps to the caller's scope in these ways. Stands below the router's decorator."""

    def mark(endpoint: E) -> E:
        _KEPT[endpoint] = frozenset(ways)
        return endpoint

    return mark


def kept_by(endpoint: object) -> frozenset[str]:
    """The ways in which an endpoint says that it keeps to the scope."""
    return _KEPT.get(endpoint, frozenset()) if callable(endpoint) else frozenset()


def check_scope(request: Request, state: ServerState, scope: Scope) -> None:
    """Raises NotAuthorised, NotFound where the request goes beyond `scope`."""
    if not scope.bound:
        return
    open_ways = kept_by(request.scope.get("endpoint")) | _by_path(request, state, scope)
    for way in sorted(scope.bound - open_ways):
        raise NotAuthorised(
            f"this token is bound to {way} {getattr(scope, way)}",
            where=request.url.path,
            why=f"what it asks for is not kept apart by {way}",
            hint=f"use a token without --{way}",
        )


def _by_path(request: Request, state: ServerState, scope: Scope) -> frozenset[str]:
    """The ways in which the path's own names keep the request within the scope."""
    named = request.path_params
    ways: set[str] = set()
    if "team" in named:
        scope.check_team(str(named["team"]))
        ways.add(TEAM)
    if "device" in named and scope.group:
        with state.store.read() as tx:
            scope.check_device(tx, str(named["device"]))
        ways.add(GROUP)
    if "rollout_id" in named:
        _check_rollout(str(named["rollout_id"]), state, scope)
        ways |= {TEAM, GROUP}
    return frozenset(ways)


def _check_rollout(number: str, state: ServerState, scope: Scope) -> None:
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        return  # the endpoint refuses it, and shows nothing
    with state.store.read() as tx:
        row = tx.get(RolloutRow, int(number))
        if row is not None and not scope.sees_rollout(model=row.model, target=row.target):
            raise NotFound(f"there is no rollout {number}", where="rollout", hint="limosa rollout list")
