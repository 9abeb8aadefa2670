"""TUF roles of a repository: how they are named, made, versioned and signed (trust 2). No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError, SerializationError

from limosa_compiler.trust.errors import DamagedMetadata
from limosa_contracts.errors import InvalidField
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import check_name
from limosa_contracts.release import DIRECTOR_TARGET
from limosa_contracts.signing_keys import PublicKey, Signs

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)

SPEC_VERSION: Final = "1.0.34"
RESERVED: Final = frozenset(
    {Root.type, Targets.type, Snapshot.type, Timestamp.type, DIRECTOR_TARGET.split("/")[0]}
)
_LOOKS_LIKE_A_BIN: Final = re.compile(r".*-bins-[0-9a-f]+")
BIN_BITS: Final = 4  # 16 bins (trust 2.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long a signature of each role holds (trust 1)."""

    root: timedelta = timedelta(days=365)
    targets: timedelta = timedelta(days=180)
    team: timedelta = timedelta(days=90)


LIFETIMES: Final = Lifetimes()


def check_team(team: str) -> str:
    """The name, if a team and its TUF role may bear it. Raises InvalidField."""
    check_name(team, what="team")
    if team in RESERVED or _LOOKS_LIKE_A_BIN.fullmatch(team):
        raise InvalidField(
            f"team {team!r} would be taken for a role of the repository",
            where="team",
            why=f"reserved are {', '.join(sorted(RESERVED))}, and names that end like -bins-0",
        )
    return team


def next_version(previous: int, now: datetime) -> int:
    """Also higher than what was signed before a restore from a backup (trust 2.3).

    >>> from datetime import timezone
    >>> next_version(7, datetime(2025, 1, 1, tzinfo=timezone.utc))
    1735689600
    """
    return max(previous + 1, int(now.timestamp()))


def tuf_key(key: PublicKey) -> SSlibKey:
    return SSlibKey.from_crypto(key.raw)


class _TufSigner(Signer):
    """One of our keys, as TUF asks for it."""

    def __init__(self, key: Signs) -> None:
        self._key = key

    @property
    def public_key(self) -> Key:
        return tuf_key(self._key.public)

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> Signer:
        raise NotImplementedError("keys are opened by `key_sources`, not by TUF")

    def sign(self, payload: bytes) -> Signature:
        return Signature(self.public_key.keyid, self._key.sign(payload).hex())


def signed(document: S, keys: Sequence[Signs]) -> Metadata[S]:
    """The document with one signature by each key."""
    metadata = Metadata(document)
    for key in keys:
        metadata.sign(_TufSigner(key), append=True)
    return metadata


def make_root(
    *, roots: Sequence[PublicKey], threshold: int, online: Mapping[str, PublicKey], expires: datetime
) -> Root:
    """Version 1; `online` gives the keys of targets, snapshot and timestamp."""
    root = Root(version=1, spec_version=SPEC_VERSION, expires=_whole(expires), consistent_snapshot=True)
    for key in roots:
        root.add_key(tuf_key(key), Root.type)
    root.roles[Root.type].threshold = threshold
    for role, key in online.items():
        root.add_key(tuf_key(key), role)
    return root


def make_targets(version: int, expires: datetime) -> Targets:
    return Targets(version=version, spec_version=SPEC_VERSION, expires=_whole(expires))


def add_target(targets: Targets, path: str, data: bytes) -> None:
    targets.targets[path] = TargetFile.from_data(path, data, ["sha256"])


def delegate_team(targets: Targets, team: str, key: PublicKey) -> None:
    """The top role lends `<team>/*/*/*` to the team; terminating (trust 2.1)."""
    delegations = targets.delegations or Delegations(keys={}, roles={})
    if delegations.roles is None or team in delegations.roles:
        raise InvalidField(f"there is a team {team!r} already", where="team")
    tuf = tuf_key(key)
    delegations.keys[tuf.keyid] = tuf
    delegations.roles[team] = DelegatedRole(
        name=team, keyids=[tuf.keyid], threshold=1, terminating=True, paths=[f"{team}/*/*/*"]
    )
    targets.delegations = delegations


def make_team_role(team: str, key: PublicKey, *, version: int, expires: datetime) -> Targets:
    """The team's role lends everything to its hash bins, under the same key (trust 2.2)."""
    role = make_targets(version, expires)
    tuf = tuf_key(key)
    bins = SuccinctRoles(keyids=[tuf.keyid], threshold=1, bit_length=BIN_BITS, name_prefix=f"{team}-bins")
    role.delegations = Delegations(keys={tuf.keyid: tuf}, succinct_roles=bins)
    return role


def bins_of(team_role: Targets, *, where: str) -> SuccinctRoles:
    if team_role.delegations is None or team_role.delegations.succinct_roles is None:
        raise DamagedMetadata("a team's role lends nothing to hash bins", where=where)
    return team_role.delegations.succinct_roles


def parse_role(data: bytes, *, where: str) -> Metadata[Targets]:
    """A targets role from its bytes; no signature is checked. Raises DamagedMetadata."""
    if len(data) > LIMITS.tuf_metadata_max_bytes:
        raise DamagedMetadata("a file of metadata is too large", where=where, why=f"{len(data)} bytes")
    try:
        metadata: Metadata[Targets] = Metadata.from_bytes(data)
    except DeserializationError as error:
        raise DamagedMetadata("a file is not TUF metadata", where=where, why=_root_cause(error)) from error
    if metadata.signed.type != Targets.type:
        raise DamagedMetadata("a file is metadata of another role", where=where, why=metadata.signed.type)
    return metadata


def check_signature(parent: Targets, role: str, metadata: Metadata[Targets], *, where: str) -> None:
    """Raises DamagedMetadata unless the keys that `parent` names for `role` signed it."""
    try:
        parent.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, SerializationError, ValueError) as error:
        raise DamagedMetadata(
            f"role {role!r} is not signed by the key it must be signed with",
            where=where,
            why=str(error)[:300],
        ) from error


def _whole(moment: datetime) -> datetime:
    """TUF writes whole seconds."""
    return moment.replace(microsecond=0)


def _root_cause(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"[:300]
