"""Signing in with an API token, and out. The token travels in a form's body, never in an address."""

from __future__ import annotations

from fastapi import Request, Response

from limosa_contracts.errors import NotAuthenticated, NotAuthorised
from limosa_server.access.roles import Role
from limosa_server.api.auth import Caller
from limosa_server.api.auth import caller_of as caller_of_token
from limosa_server.api.state import State
from limosa_server.pages.errors import FormRefused
from limosa_server.pages.guard import Form, SignedIn, page_router
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.render import page
from limosa_server.pages.session import Session, cookie_name, is_secure
from limosa_server.state import ServerState

router = page_router()


@router.get("/login")
def ask(request: Request) -> Response:
    return page(request, "login.html", next=local(request.query_params.get("next", "")), refused="")


@router.post("/login")
def sign_in(request: Request, state: State, fields: Form) -> Response:
    wanted = local(fields.get("next", ""))
    try:
        caller = _caller(state, fields.get("token", "").strip())
    except (NotAuthenticated, NotAuthorised) as error:
        return page(request, "login.html", status=error.http_status, next=wanted, refused=str(error))
    session = Session.begin(caller.token_id, now=state.clock())
    response = Response(status_code=303, headers={"Location": wanted})
    response.set_cookie(
        cookie_name(state),
        session.cookie(state),
        max_age=int(LIMITS.session_s),
        path="/",
        httponly=True,
        samesite="strict",
        secure=is_secure(state),
    )
    return response


@router.post("/logout")
def sign_out(state: State, who: SignedIn, fields: Form) -> Response:
    if not who.session.proves(state, fields.get("proof", "")):
        raise FormRefused("the form does not belong to this session")
    response = Response(status_code=303, headers={"Location": "/login"})
    response.delete_cookie(
        cookie_name(state), path="/", httponly=True, samesite="strict", secure=is_secure(state)
    )
    return response


def _caller(state: ServerState, text: str) -> Caller:
    caller = caller_of_token(state, text)
    if not caller.may(Role.VIEWER):
        raise NotAuthorised("this token may not see the pages", why=f"its role is {caller.role.value}")
    return caller


def local(address: str) -> str:
    """Where to go after signing in: a path of this server and nothing else.

    >>> [local(a) for a in ("/rollouts/7?wave=1", "//evil.example", "https://evil.example", "/\\\\evil", "")]
    ['/rollouts/7?wave=1', '/', '/', '/', '/']
    """
    plain = address.isprintable() and address.isascii() and "\\" not in address
    return address if plain and address.startswith("/") and not address.startswith("//") else "/"
