"""What holds for every page: the policy headers, who may see it, and forms that are really ours."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from limosa_contracts.errors import InvalidField, LimosaError, NotAuthenticated, NotAuthorised
from limosa_server.access.roles import Role
from limosa_server.api.auth import Caller
from limosa_server.api.bodies import read_body
from limosa_server.api.scoped import check_scope
from limosa_server.api.state import State, server_state
from limosa_server.pages.errors import FormRefused
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.render import error_page
from limosa_server.pages.session import Session, caller_of, cookie_name

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FORM_FIELDS_MAX: Final = 16


class PageRoute(APIRoute):
    """Errors become pages, whoever is not signed in is asked to, and every answer has the headers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                response = await answer(request)
            except NotAuthenticated:
                response = _to_sign_in(request)
            except LimosaError as error:
                response = error_page(request, error)
            except RequestValidationError as error:
                first = error.errors()[0]
                place = ".".join(str(part) for part in first["loc"])
                why = str(first["msg"])[:300]
                response = error_page(request, InvalidField("the address is not valid", where=place, why=why))
            response.headers.update(HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return guarded


def page_router() -> APIRouter:
    """Pages are not part of the API's description: their resources are."""
    return APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=HTMLResponse)


def _to_sign_in(request: Request) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = here if request.method == "GET" else "/"
    address = "/login" if wanted == "/" else f"/login?next={quote(wanted, safe='')}"
    if request.headers.get("hx-request"):  # a fragment must not be replaced by the sign-in page
        return Response(status_code=401, headers={"HX-Redirect": address})
    return Response(status_code=303, headers={"Location": address})


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who looks at a page. `proof` goes into its forms."""

    session: Session
    caller: Caller
    proof: str

    @property
    def operates(self) -> bool:
        return self.caller.may(Role.OPERATOR)

    @property
    def approves(self) -> bool:
        return self.caller.may(Role.APPROVER)


def visitor(request: Request, state: State) -> Visitor:
    """Raises NotAuthenticated, NotAuthorised."""
    session = Session.read(state, request.cookies.get(cookie_name(state), ""))
    caller = caller_of(state, session)
    if not caller.may(Role.VIEWER):
        raise NotAuthorised("this needs the role viewer", why=f"the token has the role {caller.role.value}")
    check_scope(request, state, caller.scope)
    request.state.visitor = Visitor(session=session, caller=caller, proof=session.form_proof(state))
    found: Visitor = request.state.visitor
    return found


SignedIn = Annotated[Visitor, Depends(visitor)]


async def form(request: Request) -> dict[str, str]:
    """The fields of a form from this site. Raises FormRefused, TooLarge, InvalidField."""
    # Browsers say who asks; another site's form is refused before anything in it is read.
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise FormRefused("this form was sent by another site")
    data = await read_body(request, max_bytes=LIMITS.form_max_bytes)
    try:
        fields = parse_qs(
            data.decode("ascii"), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict"
        )
    except ValueError as error:
        raise InvalidField("the form is not readable", where="body") from error
    return {name: values[0] for name, values in fields.items()}


Form = Annotated[dict[str, str], Depends(form)]


def signed_form(request: Request, who: SignedIn, fields: Form) -> dict[str, str]:
    """The fields of a form that was sent from a page of this session. Raises FormRefused.

    Whoever takes it looks at the role: `needs`.
    """
    if not who.session.proves(server_state(request), fields.get("proof", "")):
        raise FormRefused("the form does not belong to this session")
    return fields


SignedForm = Annotated[dict[str, str], Depends(signed_form)]


def needs(who: Visitor, role: Role) -> None:
    """Raises NotAuthorised."""
    if not who.caller.may(role):
        raise NotAuthorised(
            f"this needs the role {role.value}", why=f"you have the role {who.caller.role.value}"
        )


def operator_form(request: Request, who: SignedIn, fields: Form) -> dict[str, str]:
    """The fields of a form that an operator sent from a page of this session.

    Raises NotAuthorised, FormRefused.
    """
    needs(who, Role.OPERATOR)
    return signed_form(request, who, fields)


OperatorForm = Annotated[dict[str, str], Depends(operator_form)]
