"""Follows the root CAs that the server names, and is never left without one that works (trust 1.2).

What is added is believed as the link is that it came over. What is taken away goes only when server and
broker, as they are now, are believed without it. Whoever has taken the server may name what it likes, but
not make what is kept unusable: the answer is written anew as TLS libraries read it, and a root that they
would take for another one is refused.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from cryptography import x509

from limosa_agent.config import AgentConfig
from limosa_agent.errors import RootsRefused, ServerRefused
from limosa_agent.identity.identity import Identity, replace_certificate
from limosa_agent.identity.lock import reading
from limosa_agent.link.https import HttpsLink, exchange
from limosa_contracts.errors import InvalidField, LimosaError, Unreachable
from limosa_contracts.root_ca import fingerprints, plain

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
    ca_pem = readable(told.ca_pem)
    taken = ca_pem != identity.enrolled.ca_pem
    if taken:
        check_roots(config, identity, ca_pem)
        certificate = identity.enrolled.certificate_pem
        replace_certificate(identity, key=identity.key, certificate_pem=certificate, ca_pem=ca_pem)
    return Followed(taken=taken, renew=told.renew)


def say_roots(identity: Identity, link: HttpsLink) -> None:
    """With what there is now, so that the server knows who has come over. Raises TransferError."""
    link.roots(fingerprints(identity.enrolled.ca_pem))


def roots_to_keep(config: AgentConfig, identity: Identity, told: str) -> str:
    """`told`, or what there is already where that is not to be believed."""
    try:
        ca_pem = readable(told)
        if ca_pem != identity.enrolled.ca_pem:
            check_roots(config, identity, ca_pem)
    except LimosaError:
        return identity.enrolled.ca_pem
    return ca_pem


def readable(told: str) -> str:
    """The root CAs in `told`, and nothing else, in the one form that everybody reads. Raises RootsRefused
    for what is no certificate, and for two that a TLS library, which goes by name and key identifier,
    cannot tell apart: it would try the wrong one, and believe nobody any more."""
    try:
        each = plain(told)
        for one in each:
            ssl.create_default_context(cadata=one)
        roots = [x509.load_pem_x509_certificate(one.encode()) for one in dict.fromkeys(each)]
        twins = any(_look_alike(one, other) for one, other in combinations(roots, 2))
    except (InvalidField, ssl.SSLError, ValueError) as error:
        raise RootsRefused("the server named root CAs that cannot be read", why=str(error)) from error
    if twins:
        raise RootsRefused("two of the root CAs that the server named cannot be told apart")
    return "".join(each)


def check_roots(config: AgentConfig, identity: Identity, told: str) -> None:
    """`told`: as `readable`. Raises RootsRefused where this device would not find back with them,
    Unreachable where nobody can say."""
    if set(fingerprints(told)) >= set(fingerprints(identity.enrolled.ca_pem)):
        return  # nothing is taken away
    if config.server.startswith("https"):
        context = ssl.create_default_context(cafile=config.ca_file)
        context.load_verify_locations(cadata=told)
        _check_server(config, context)
    if identity.enrolled.mqtt_tls:
        _check_broker(config, identity, ssl.create_default_context(cadata=told))


def _look_alike(one: x509.Certificate, other: x509.Certificate) -> bool:
    mine, its = _key_identifier(one), _key_identifier(other)
    return one.subject == other.subject and (mine == its or None in (mine, its))


def _key_identifier(one: x509.Certificate) -> bytes | None:
    try:
        return one.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


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
