"""Enrolment: a key of this device's own, a token, a certificate (trust 6.1)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from limosa_agent.capabilities import read_capabilities
from limosa_agent.config import AgentConfig, is_loopback
from limosa_agent.errors import AlreadyEnrolled, EnrolmentAnswerLost, EnrolmentRefused, InsecureLink
from limosa_agent.identity.identity import store_identity
from limosa_agent.link.https import exchange, refused, tls_context
from limosa_contracts.enrolment import ENROLL_TOKEN, Enrolled, EnrollRequest
from limosa_contracts.errors import InvalidField, LimosaError, LinkLost, NotAuthorised
from limosa_contracts.signing_keys import Algorithm, PublicKey, SigningKey

PATH: Final = "/api/v1/enroll"
CREATED: Final = 201


def make_csr(key: SigningKey) -> str:
    """A request that proves possession of the key; the server chooses every name itself."""
    from cryptography.hazmat.primitives.asymmetric import ec

    assert isinstance(key.raw, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "limosa-device")])
    )
    return builder.sign(key.raw, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def enroll(config: AgentConfig, *, token: str, serial: str) -> Enrolled:
    """Uses the token up, and stores the identity whole or not at all.

    Raises AlreadyEnrolled, InvalidField, Unreachable (the token is not used), EnrolmentAnswerLost
    (it may be), NotAuthorised, EnrolmentRefused.
    """
    if config.identity_dir.exists():
        raise AlreadyEnrolled("this device is enrolled", where=str(config.identity_dir))
    if not ENROLL_TOKEN.fullmatch(token):
        raise InvalidField(
            "this is not an enrolment token",
            where="--token",
            why="it looks like lmt_<id>.<secret>",
            hint="limosa device enroll-token",
        )
    _check_writable(config.state_dir)
    key = SigningKey.generate(Algorithm.P256)
    request = EnrollRequest(
        token=token,
        csr_pem=make_csr(key),
        serial=serial,
        labels=config.labels,
        capabilities=read_capabilities(profile=config.profile, accelerators=config.serving.accelerators),
    )
    enrolled = _ask(config, request)
    _check(enrolled, key)
    store_identity(config.identity_dir, key=key, enrolled=enrolled)
    return enrolled


def _ask(config: AgentConfig, request: EnrollRequest) -> Enrolled:
    context: ssl.SSLContext | None = None
    if config.server.startswith("https"):
        context = tls_context([config.ca_file])
    try:
        answer = exchange(
            config.server,
            "POST",
            PATH,
            context=context,
            body=request.encode(),
            headers={"Content-Type": "application/json"},
            proxy=config.proxy,
        )
    except LinkLost as error:
        raise EnrolmentAnswerLost(
            "the server did not answer to the end", where=error.where, why=error.why
        ) from error
    if answer.status in (401, 403, 404, 409, 410):
        problem = refused(answer, where=PATH)
        raise NotAuthorised(
            "the server does not accept this token",
            where=PATH,
            why=problem.why,
            hint=problem.hint or "a token serves once and not for long: limosa device enroll-token",
        )
    if answer.status != CREATED:
        raise refused(answer, where=PATH)
    try:
        return Enrolled.parse(answer.body)
    except LimosaError as error:
        raise EnrolmentAnswerLost("the server's answer cannot be read", where=PATH, why=str(error)) from error


def _check(enrolled: Enrolled, key: SigningKey) -> None:
    """The certificate is for our key, and a broker without TLS is on loopback only (trust 6.3)."""
    try:
        leaf = x509.load_pem_x509_certificates(enrolled.certificate_pem.encode())[0]
        certified = PublicKey.of(leaf.public_key())
    except (ValueError, IndexError, InvalidField) as error:
        raise EnrolmentRefused("the server sent no certificate", why=str(error)) from error
    if certified.keyid != key.public.keyid:
        raise EnrolmentRefused("the server certified another key than ours")
    if not enrolled.mqtt_tls and not is_loopback(enrolled.mqtt_host):
        raise InsecureLink(
            "the server wants this device to use its broker without TLS", where=enrolled.mqtt_host
        )


def _check_writable(state_dir: Path) -> None:
    """Before the token is used up: a folder that cannot be written would waste it."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    probe = state_dir / ".writable"
    probe.touch(mode=0o600)
    probe.unlink()
