"""The TUF repository: roles that others signed, and a snapshot and timestamp of our own (trust 2).

Which version of each role is current stands in the database (`tuf_roles`); files are what is served.
Order of a publication: role files, database, snapshot file, timestamp file. A crash in between leaves
a timestamp that leads to what was before, and `republish` at the next start goes on.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from securesystemslib.signer import CryptoSigner, SSlibKey
from sqlmodel import col, select
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from limosa_contracts.signing_keys import SigningKey
from limosa_server.errors import MetadataRefused, TrustFolderIncomplete
from limosa_server.files import write_atomic
from limosa_server.settings import ServerLimits
from limosa_server.store import Store, Transaction
from limosa_server.tables.releases import TufRole
from limosa_server.trust.team_metadata import check_team, check_top, parse_targets
from limosa_server.trust.trust_folder import TrustFolder

log = logging.getLogger(__name__)
FILE_NAME: Final = re.compile(r"(?:timestamp|\d{1,12}\.[a-z0-9][a-z0-9._-]{0,120})\.json")
ROLES_READ: Final = 200  # bodies in one query
S = TypeVar("S", Snapshot, Timestamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """What a mirror shows in place of the server's own timestamp, and the files that belong to it."""

    timestamp: bytes
    files: tuple[str, ...]  # names of metadata files beside it
    expires: float  # of the first role that ends, Unix seconds
    ends_first: str  # that role
    targets: tuple[str, ...]  # consistent paths of what the top role itself lists


class TufRepository:
    def __init__(self, folder: Path, trust: TrustFolder, store: Store, limits: ServerLimits) -> None:
        self._folder = folder
        self._trust = trust
        self._store = store
        self._limits = limits
        self._lock = threading.Lock()
        self._snapshot_key = trust.key("snapshot")
        self._timestamp_key = trust.key("timestamp")
        self._ends: dict[tuple[str, int], float] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, now: float) -> None:
        """Takes over what the trust folder holds and is not served yet, then signs. Also while it runs: a
        key, a role or a team may have been replaced or added (trust 1.2).

        Raises TrustFolderIncomplete, MetadataRefused where the change is not whole; nothing is taken then.
        """
        keys = self._trust.key("snapshot"), self._trust.key("timestamp")
        root = Metadata[Root].from_bytes(self._trust.root().encode()).signed
        for role, key in zip(("snapshot", "timestamp"), keys, strict=True):
            _key_in(root, role, key)
        with self._lock:
            self._import_roles(root, now)
            for path in sorted(self._trust.tuf.glob("*.root.json")):
                write_atomic(self._folder / path.name, path.read_bytes())
            self._snapshot_key, self._timestamp_key = keys
        self.republish(now)

    def file(self, name: str) -> bytes | None:
        """A metadata file as it is served, or None."""
        if not FILE_NAME.fullmatch(name):
            return None
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def director_target(self, name: str) -> bytes | None:
        """`<sha256>.director.json`."""
        if not re.fullmatch(r"[0-9a-f]{64}\.director\.json", name):
            return None
        try:
            return (self._trust.tuf / "targets" / "limosa" / name).read_bytes()
        except FileNotFoundError:
            return None

    def ends(self, tx: Transaction) -> dict[tuple[str, str], float]:
        """(team, role) -> when its signature ends, Unix seconds; of each version it is read once."""
        listed = tx.exec(select(TufRole.team, TufRole.role, TufRole.version)).all()
        unread = [role for _, role, version in listed if (role, version) not in self._ends]
        for start in range(0, len(unread), ROLES_READ):
            query = select(TufRole).where(col(TufRole.role).in_(unread[start : start + ROLES_READ]))
            for row in tx.exec(query):
                end = parse_targets(row.body.encode(), role=row.role).signed.expires.timestamp()
                self._ends[row.role, row.version] = end
        current = {(role, version) for _, role, version in listed}
        self._ends = {key: end for key, end in self._ends.items() if key in current}
        return {
            (team, role): self._ends[role, version]
            for team, role, version in listed
            if (role, version) in self._ends
        }

    def keys_named(self) -> dict[str, str]:
        """ "root", "targets" and "team NAME" -> ids of the keys that hold the role now, in order."""
        root = self._root()
        named = {role: root.get_delegated_role(role).keyids for role in ("root", "targets")}
        with self._store.read() as tx:
            row = tx.get(TufRole, "targets")
            top = parse_targets(row.body.encode(), role="targets").signed if row is not None else None
        roles = (top.delegations.roles or {}) if top is not None and top.delegations is not None else {}
        named |= {f"team {name}": role.keyids for name, role in roles.items()}
        return {name: ",".join(sorted(keyids)) for name, keyids in named.items()}

    def served_ends(self) -> dict[str, float]:
        """When what the server signs by itself ends: `timestamp` and `snapshot`, Unix seconds."""
        served = self._served(0.0)
        if served is None:
            return {}
        return {"timestamp": served[0].expires.timestamp(), "snapshot": served[1].expires.timestamp()}

    def current(self, tx: Transaction, role: str) -> TufRole | None:
        return tx.get(TufRole, role)

    def check(
        self, tx: Transaction, team: str, offered: Mapping[str, bytes], *, now: float
    ) -> tuple[Targets, dict[str, Metadata[Targets]]]:
        """(the team's role, the verified roles that were offered). Raises MetadataRefused."""
        top_row = tx.get(TufRole, "targets")
        if top_row is None:
            raise MetadataRefused("the server has no targets role", where="targets")
        top = check_top(self._root(), top_row.body.encode()).signed
        current = {
            row.role: row.body.encode() for row in tx.exec(select(TufRole).where(TufRole.team == team))
        }
        checked = check_team(top, team, current, offered, now=now)
        if team in checked:
            return checked[team].signed, checked
        return parse_targets(current[team], role=team).signed, checked

    def keep(
        self, tx: Transaction, *, team: str, role: str, metadata: Metadata[Targets], body: bytes
    ) -> None:
        """Makes it the current version of its role; `republish` after the commit shows it to devices."""
        version = metadata.signed.version
        write_atomic(self._folder / f"{version}.{role}.json", body)
        row = tx.get(TufRole, role) or TufRole(role=role, version=0, team=team, body="")
        row.version, row.body = version, body.decode()
        tx.add(row)

    def republish(self, now: float) -> None:
        """Signs a snapshot of the current roles and a timestamp, if they are not what is served or age."""
        with self._lock:
            with self._store.read() as tx:
                roles = {f"{row.role}.json": row.version for row in tx.exec(select(TufRole))}
            served = self._served(now)
            if (
                served is None
                or not self._holds(served)
                or _lists(served[1]) != roles
                or _ages(served[1], self._limits.snapshot_expiry_s, now)
            ):
                served = self._sign_snapshot(roles, served, now)
            elif not _ages(served[0], self._limits.timestamp_expiry_s, now):
                return
            self._sign_timestamp(served, now)

    def lend(self, *, valid_s: float, now: float) -> Lent:
        """A timestamp that lives for `valid_s`, over a snapshot that lives at least as long (trust 3.5).

        What is served gets a higher version before anybody has the lent one: a device that was at a
        mirror must not find the server behind (trust 2.3).
        """
        with self._lock:
            with self._store.read() as tx:
                rows = list(tx.exec(select(TufRole)))
            life_s = max(valid_s, self._limits.snapshot_expiry_s)
            roles = {f"{row.role}.json": row.version for row in rows}
            before, snapshot = self._sign_snapshot(roles, self._served(now), now, life_s=life_s)
            lent = Timestamp(
                version=_next(before.version, now),
                expires=_in(now, valid_s),
                snapshot_meta=MetaFile(version=snapshot.version),
            )
            data = self._signed(lent, "timestamp", self._timestamp_key)
            self._sign_timestamp((lent, snapshot), now)
        root, top = self._root(), next(row for row in rows if row.role == "targets")
        ends = [
            (root.expires, "root"),
            (lent.expires, "timestamp"),
            *((parse_targets(row.body.encode(), role=row.role).signed.expires, row.role) for row in rows),
        ]
        first = min(ends)
        return Lent(
            timestamp=data,
            files=(
                *(f"{version}.root.json" for version in range(1, root.version + 1)),
                f"{snapshot.version}.snapshot.json",
                *(f"{row.version}.{row.role}.json" for row in rows),
            ),
            expires=first[0].timestamp(),
            ends_first=first[1],
            targets=tuple(
                consistent_path(path, target.hashes["sha256"])
                for path, target in parse_targets(top.body.encode(), role="targets").signed.targets.items()
            ),
        )

    def _served(self, now: float) -> tuple[Timestamp, Snapshot] | None:
        data = self.file("timestamp.json")
        if data is None:
            return None
        try:
            timestamp = Metadata[Timestamp].from_bytes(data).signed
            snapshot = self.file(f"{timestamp.snapshot_meta.version}.snapshot.json")
            if snapshot is not None:
                return timestamp, Metadata[Snapshot].from_bytes(snapshot).signed
        except DeserializationError:
            snapshot = None
        # Versions are Unix seconds at least, so devices take what is signed now (trust 2.3).
        log.warning("what is served as timestamp and snapshot is damaged; both are signed anew at %s", now)
        return None

    def _holds(self, served: tuple[Timestamp, Snapshot]) -> bool:
        """Whether what is served was signed with the keys that the root names now."""
        timestamp = Metadata[Timestamp].from_bytes(self.file("timestamp.json") or b"")
        snapshot = Metadata[Snapshot].from_bytes(self.file(f"{served[1].version}.snapshot.json") or b"")
        root = self._root()
        try:
            root.verify_delegate("timestamp", timestamp.signed_bytes, timestamp.signatures)
            root.verify_delegate("snapshot", snapshot.signed_bytes, snapshot.signatures)
        except (RepositoryError, ValueError):
            return False
        return True

    def _sign_snapshot(
        self,
        roles: Mapping[str, int],
        served: tuple[Timestamp, Snapshot] | None,
        now: float,
        *,
        life_s: float = 0.0,
    ) -> tuple[Timestamp, Snapshot]:
        version = _next(served[1].version if served else 0, now)
        snapshot = Snapshot(
            version=version,
            expires=_in(now, life_s or self._limits.snapshot_expiry_s),
            meta={name: MetaFile(version=number) for name, number in roles.items()},
        )
        write_atomic(
            self._folder / f"{version}.snapshot.json", self._signed(snapshot, "snapshot", self._snapshot_key)
        )
        return (served[0] if served else Timestamp(version=1)), snapshot

    def _sign_timestamp(self, served: tuple[Timestamp, Snapshot], now: float) -> None:
        timestamp = Timestamp(
            version=_next(served[0].version, now),  # trust 2.3
            expires=_in(now, self._limits.timestamp_expiry_s),
            snapshot_meta=MetaFile(version=served[1].version),
        )
        write_atomic(
            self._folder / "timestamp.json", self._signed(timestamp, "timestamp", self._timestamp_key)
        )

    def _signed(self, signed: S, role: str, key: SigningKey) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(CryptoSigner(key.raw, _key_in(self._root(), role, key)))
        return metadata.to_bytes(JSONSerializer())

    def _root(self) -> Root:
        """The newest that is served."""
        versions = [int(path.name.partition(".")[0]) for path in self._folder.glob("*.root.json")]
        if not versions:
            raise TrustFolderIncomplete("there is no TUF root", where=str(self._folder))
        return Metadata[Root].from_bytes((self._folder / f"{max(versions)}.root.json").read_bytes()).signed

    def _import_roles(self, root: Root, now: float) -> None:
        """Roles of the trust folder that are newer than the database's: first start, a new team or key."""
        newest: dict[str, tuple[int, Path]] = {}
        for path in self._trust.tuf.glob("*.json"):
            version, _, role = path.name.removesuffix(".json").partition(".")
            if role and role != "root" and version.isdigit():
                newest[role] = max(newest.get(role, (0, path)), (int(version), path))
        if "targets" not in newest:
            raise TrustFolderIncomplete("there is no targets role", where=str(self._trust.tuf))
        body = newest.pop("targets")[1].read_bytes()
        with self._store.transaction() as tx:
            row = tx.get(TufRole, "targets")
            if row is None or row.version < parse_targets(body, role="targets").signed.version:
                self.keep(tx, team="", role="targets", metadata=check_top(root, body), body=body)
            else:
                body = row.body.encode()
            top = check_top(root, body)
            for team in (top.signed.delegations.roles if top.signed.delegations else None) or {}:
                self._import_team(tx, top.signed, team, newest, now)

    def _import_team(
        self, tx: Transaction, top: Targets, team: str, files: Mapping[str, tuple[int, Path]], now: float
    ) -> None:
        current = {row.role: row for row in tx.exec(select(TufRole).where(TufRole.team == team))}
        offered = {
            role: path.read_bytes()
            for role, (version, path) in files.items()
            if (role == team or role.startswith(f"{team}-bins-"))
            and (role not in current or current[role].version < version)
        }
        if not offered:
            return
        bodies = {role: row.body.encode() for role, row in current.items()}
        if lost := lost_releases(bodies, offered):
            # Signed offline while others published: the team's own sync brings both together (trust 2.3).
            log.warning("roles of team %s in the trust folder lack %s; not taken", team, ", ".join(lost[:5]))
            return
        if team in offered and (stale := foreign_bins(team, offered[team], bodies, set(offered))):
            log.warning("bins of team %s are newer here than in the trust folder: %s", team, stale[0])
            return
        try:
            checked = check_team(top, team, bodies, offered, now=now)
        except MetadataRefused as error:
            # One team must not keep a server from starting: a restored one may have its first files only.
            log.warning("roles of team %s in the trust folder are not taken: %s", team, error)
            return
        for role, metadata in checked.items():
            self.keep(tx, team=team, role=role, metadata=metadata, body=offered[role])


def lost_releases(current: Mapping[str, bytes], offered: Mapping[str, bytes]) -> list[str]:
    """Targets that are listed and would not be any more."""
    found: list[str] = []
    for role, body in offered.items():
        if role in current:
            before = parse_targets(current[role], role=role).signed.targets
            found += sorted(set(before) - set(parse_targets(body, role=role).signed.targets))
    return found


def foreign_bins(team: str, team_role: bytes, current: Mapping[str, bytes], offered: set[str]) -> list[str]:
    """Bins that would stay as they are, and that the offered role of the team does not lend to who signed
    them."""
    role = parse_targets(team_role, role=team).signed
    found: list[str] = []
    for name, body in sorted(current.items()):
        if name != team and name not in offered:
            metadata = parse_targets(body, role=name)
            try:
                role.verify_delegate(name, metadata.signed_bytes, metadata.signatures)
            except (RepositoryError, ValueError):
                found.append(name)
    return found


def _key_in(root: Root, role: str, key: SigningKey) -> SSlibKey:
    """The key as the root names it for the role. Raises TrustFolderIncomplete."""
    ours = CryptoSigner(key.raw).public_key.keyval
    for keyid in root.get_delegated_role(role).keyids:
        listed = root.keys[keyid]
        if isinstance(listed, SSlibKey) and listed.keyval == ours:
            return listed
    raise TrustFolderIncomplete(f"the root does not list the server's {role} key", where=role)


def consistent_path(path: str, sha256: str) -> str:
    """Where a target's bytes are, below the folder of targets.

    >>> consistent_path("demo/motion/1.0.0/index.json", "ab")
    'demo/motion/1.0.0/ab.index.json'
    """
    folder, _, name = path.rpartition("/")
    return f"{folder}/{sha256}.{name}"


def _next(previous: int, now: float) -> int:
    return max(previous + 1, int(now))


def _in(now: float, seconds: float) -> datetime:
    return datetime.fromtimestamp(int(now + seconds), UTC)


def _lists(snapshot: Snapshot) -> dict[str, int]:
    return {name: meta.version for name, meta in snapshot.meta.items()}


def _ages(signed: Snapshot | Timestamp, lifetime_s: float, now: float) -> bool:
    """Whether half of its life is over."""
    return signed.expires.timestamp() - now < lifetime_s / 2
