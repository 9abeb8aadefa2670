"""Follows the root CAs that the server names, and is never left without one that works (trust 1.2).

What is added is believed as the link is that it came over. What is taken away goes only when server and
broker, as they are now, are believed without it.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Final

from limosa_agent.config import AgentConfig
from limosa_agent.errors import RootsRefused, ServerRefused
from limosa_agent.identity.identity import Identity, replace_certificate
from limosa_agent.identity.lock import reading
from limosa_agent.link.https import HttpsLink, exchange
from limosa_contracts.errors import InvalidField, LimosaError, Unreachable
from limosa_contracts.root_ca import fingerprints

BROKER_TIMEOUT_S: Final = 10.0
HEALTH: Final = "/healthz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    taken: bool  # other root CAs are stored now
    renew: bool  # the certificate is of a device CA that was replaced


def follow_roots(config: AgentConfig, identity: Identity, link: HttpsLink) -> Followed:
    """Says what this device trusts, and takes what it is told.

    Raises TransferError, RootsRefused. A server that knows nothing of this is left alone.
    """
    has = fingerprints(identity.enrolled.ca_pem)
    try:
        told = link.roots(has)
    except ServerRefused as error:
        if error.evidence.get("status") in (404, 405):
            return Followed(taken=False, renew=False)
        raise
    taken = fingerprints(told.ca_pem) != has
    if taken:
        check_roots(config, identity, told.ca_pem)
        certificate = identity.enrolled.certificate_pem
        replace_certificate(identity, key=identity.key, certificate_pem=certificate, ca_pem=told.ca_pem)
    return Followed(taken=taken, renew=told.renew)


def say_roots(identity: Identity, link: HttpsLink) -> None:
    """With what there is now, so that the server knows who has come over. Raises TransferError."""
    link.roots(fingerprints(identity.enrolled.ca_pem))


def roots_to_keep(config: AgentConfig, identity: Identity, told: str) -> str:
    """`told`, or what there is already where that is not to be believed."""
    if told != identity.enrolled.ca_pem:
        try:
            check_roots(config, identity, told)
        except LimosaError:
            return identity.enrolled.ca_pem
    return told


def check_roots(config: AgentConfig, identity: Identity, told: str) -> None:
    """Raises RootsRefused where this device would not find back with them, Unreachable where nobody can
    say."""
    try:
        new = set(fingerprints(told))
        only_told = ssl.create_default_context(cadata=told)
    except (InvalidField, ssl.SSLError, ValueError) as error:
        raise RootsRefused("the server named root CAs that cannot be read", why=str(error)) from error
    if new >= set(fingerprints(identity.enrolled.ca_pem)):
        return  # nothing is taken away
    if config.server.startswith("https"):
        context = ssl.create_default_context(cafile=config.ca_file)
        context.load_verify_locations(cadata=told)
        _check_server(config, context)
    if identity.enrolled.mqtt_tls:
        _check_broker(config, identity, only_told)


def _check_server(config: AgentConfig, context: ssl.SSLContext) -> None:
    try:
        exchange(config.server, "GET", HEALTH, context=context, proxy=config.proxy)
    except Unreachable as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise RootsRefused(
                "the server is not of the root CAs that it names", where=config.server, why=error.why
            ) from error
        raise


def _check_broker(config: AgentConfig, identity: Identity, context: ssl.SSLContext) -> None:
    """One that cannot be reached says nothing against them: the server does without it too."""
    from limosa_agent.link.mqtt import broker_address  # with paho, which most renewals do not need

    host, port = broker_address(config, identity)
    with reading(identity.folder):
        context.load_cert_chain(str(identity.certificate_path), str(identity.key_path))
    try:
        with (
            socket.create_connection((host, port), timeout=BROKER_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return
    except ssl.SSLCertVerificationError as error:
        raise RootsRefused(
            "the broker is not of the root CAs that the server names", where=f"{host}:{port}", why=str(error)
        ) from error
    except OSError:
        return
