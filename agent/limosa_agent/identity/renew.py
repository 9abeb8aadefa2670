"""`python -m limosa_agent.identity.renew --config F`: a new key and certificate, if it is time (trust 6.2).

A short-lived child of the supervisor, so that x509 stays out of its memory. The access token proves
the old key, the request's own signature the new one. Prints one line of JSON:
{"renewed": bool, "roots": bool, "again_s": seconds until it is worth looking again}, or {"error": …}.
"roots": whether the root CAs are others now; each look asks for them (trust 1.2).
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from limosa_agent.config import AgentConfig
from limosa_agent.errors import EnrolmentRefused
from limosa_agent.identity.enroll import make_csr
from limosa_agent.identity.identity import Identity, load_identity, replace_certificate
from limosa_agent.identity.roots import follow_roots, roots_to_keep, say_roots
from limosa_agent.link.https import HttpsLink, https_context
from limosa_agent.orphan import end_with_parent
from limosa_contracts.errors import InvalidField, LimosaError
from limosa_contracts.json_value import JsonValue
from limosa_contracts.signing_keys import Algorithm, PublicKey, SigningKey

AGAIN_MIN_S: Final = 600.0
AGAIN_MAX_S: Final = 86400.0


def due_in_s(leaf: x509.Certificate, *, now: datetime) -> float:
    """Seconds until one third of the certificate's life remains; negative when that has passed."""
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    return (leaf.not_valid_after_utc - life / 3 - now).total_seconds()


def renew_if_due(config: AgentConfig, *, now: datetime) -> dict[str, JsonValue]:
    """Raises TransferError where the server cannot be reached; nothing has changed then."""
    before = load_identity(config.identity_dir)
    leaf = leaf_of(before.certificate_pem)
    wait_s = due_in_s(leaf, now=now)
    if wait_s <= 0:
        renew(config, before)
        leaf = leaf_of(load_identity(config.identity_dir).certificate_pem)
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        # By a clock that is far ahead the new one is due at once: not more than one in a third of its life.
        wait_s = max(due_in_s(leaf, now=now), life.total_seconds() / 3)
    why_not = _follow_roots(config)
    after = load_identity(config.identity_dir)
    return {
        "renewed": after.certificate_pem != before.certificate_pem,
        "roots": after.enrolled.ca_pem != before.enrolled.ca_pem,
        **why_not,
        "again_s": _bounded(wait_s),
        "expires_at": _end_of(leaf_of(after.certificate_pem)),
    }


def _follow_roots(config: AgentConfig) -> dict[str, JsonValue]:
    """Why that was not possible: the certificate is what this program is about, it counts all the same."""
    identity = load_identity(config.identity_dir)
    try:
        followed = follow_roots(config, identity, _link(config, identity))
        if followed.renew:
            renew(config, load_identity(config.identity_dir))
        if followed.taken or followed.renew:
            identity = load_identity(config.identity_dir)
            say_roots(identity, _link(config, identity))
    except LimosaError as error:
        return {"roots_error": error.as_json()}
    return {}


def renew(config: AgentConfig, identity: Identity) -> None:
    """Raises EnrolmentRefused for a certificate that is not for our new key."""
    key = SigningKey.generate(Algorithm.P256)
    certificate, ca = _link(config, identity).renew(make_csr(key))
    try:
        chain = x509.load_pem_x509_certificates(certificate.encode())
        certified = PublicKey.of(chain[0].public_key())
    except (ValueError, IndexError, InvalidField) as error:
        raise EnrolmentRefused("the server sent no certificate", why=str(error)) from error
    if certified.keyid != key.public.keyid:
        raise EnrolmentRefused("the server certified another key than ours")
    kept = roots_to_keep(config, identity, ca)
    # Written anew: what this library could read, the one under the broker's link reads too.
    written = "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)
    replace_certificate(identity, key=key, certificate_pem=written, ca_pem=kept)


def _link(config: AgentConfig, identity: Identity) -> HttpsLink:
    return HttpsLink(
        server=config.server,
        identity=identity,
        context=lambda: https_context(config),
        proxy=config.proxy,
    )


def leaf_of(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(pem)[0]


def _end_of(leaf: x509.Certificate) -> float:
    return leaf.not_valid_after_utc.timestamp()


def _bounded(wait_s: float) -> float:
    return max(AGAIN_MIN_S, min(AGAIN_MAX_S, wait_s))


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] != "--config":
        sys.stderr.write("usage: python -m limosa_agent.identity.renew --config FILE\n")
        return 2
    end_with_parent()
    try:
        said = renew_if_due(AgentConfig.load(Path(sys.argv[2])), now=datetime.now(UTC))
    except LimosaError as error:
        said = {"error": error.as_json()}
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
