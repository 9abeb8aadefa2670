"""The access token of a fetch, made where it is used: in the child, for one run of it (trust 6.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from limosa_agent.fetch.request import FetchRequest
from limosa_agent.identity.identity import load_identity
from limosa_agent.link.https import HttpsLink, fleet_context


def token_of(request: FetchRequest) -> Callable[[], str] | None:
    """What gives the token when the first request needs one: metadata is public, and often enough.

    The function raises TransferError where the server gives none, NotEnrolled.
    """
    given = request.access_token
    if given is not None:
        return lambda: given
    if not request.authenticate:
        return None

    @cache
    def link() -> HttpsLink:
        return HttpsLink(
            server=request.server,
            identity=load_identity(request.state_dir / "identity"),
            context=lambda: (
                fleet_context(request.ca_file, request.enrolled_ca)
                if request.server.startswith("https")
                else None
            ),
            proxy=request.proxy,
        )

    return lambda: link().access_token()
