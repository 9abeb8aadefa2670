"""Publishing: sign, push, list in the team's bin, in an order that survives a crash at any point.

The bin is written to the offline folder before it is sent (write-ahead), and taken back only where
the server has clearly refused it. A publisher that dies in between leaves a folder that is ahead of
the server; the same command, or `--sync`, finishes the work (trust 2.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tuf.api.metadata import Metadata, Targets

from limosa_compiler.artifact.archive_file import Archive
from limosa_compiler.trust import releases, roles
from limosa_compiler.trust.errors import PublishRace, ServerRefused, VersionTaken, WrongTeam
from limosa_compiler.trust.evidence_referrer import push_evidence
from limosa_compiler.trust.push import Pushed, push_artifact, put_manifest
from limosa_compiler.trust.releases import ReleaseTarget
from limosa_compiler.trust.server_client import FleetServer, Overtaken
from limosa_compiler.trust.signatures import SignedBlobs, sign_archive
from limosa_compiler.trust.team_folder import TeamFolder
from limosa_contracts.errors import LimosaError, TransferError
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import INDEX
from limosa_contracts.promise import VariantPromise

RACES_MAX: Final = 5  # how often another publisher may be first


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """`already`: the release was listed before, with the same contents."""

    release: ReleaseName
    signed: SignedBlobs
    target: ReleaseTarget
    already: bool
    pushed: Pushed | None


@dataclass(slots=True, kw_only=True)
class Publisher:
    """One team's folder and, if there is one, the server that its releases go to."""

    folder: TeamFolder
    now: Callable[[], datetime]
    server: FleetServer | None = None
    say: Callable[[str], None] = lambda line: None
    _key_is_new: bool = False  # the server's role is signed with a key that was replaced

    def publish(
        self,
        archive: Archive,
        *,
        may_return_to: Sequence[str] | None = None,
        evidence: Mapping[str, bytes] | None = None,
        promises: Mapping[str, VariantPromise] | None = None,
    ) -> Published:
        """Signs and lists the release, here and on the server. `may_return_to` None asks the server.

        `evidence`: file name -> bytes that follow the release to the server, signed too (compiler 2.9).
        `promises`: variant -> what it may cost on its target; devices hold it to that (agent 4.1).

        Raises WrongTeam, ExpiredMetadata, VersionTaken, PublishRace, TransferError, ServerRefused.
        """
        folder, release = self.folder, archive.release
        if release.name.team != folder.team:
            raise WrongTeam(
                f"{release} does not belong to team {folder.team!r}",
                where=str(folder.path),
                why=f"its path begins with {release.name.team}/",
            )
        self._fetch_all()
        folder.check_not_expired(self.now())
        signed = sign_archive(archive, folder.key)
        pushed = self._push(release, signed)
        target, already = self._list(release, signed, may_return_to, promises or {})
        if self.server is not None:
            put_manifest(self.server, release.name, release.version, _index(signed), INDEX)
            if evidence:
                push_evidence(self.server, release, signed.index, evidence, folder.key, say=self.say)
        return Published(release=release, signed=signed, target=target, already=already, pushed=pushed)

    def sync(self) -> tuple[str, ...]:
        """Brings folder and server to the same state; gives the roles that were sent (trust 2.3)."""
        self._fetch_all()
        self.folder.check_not_expired(self.now())
        if self._key_is_new:
            return self._send_together()
        sent: list[str] = []
        refused: dict[str, ServerRefused] = {}
        for role in self.folder.signed:
            try:
                sent += [role] if self._send(role) else []
            except ServerRefused as error:  # the other roles go all the same: devices need each of them
                refused[role] = error
        if refused:
            raise self._lacking(refused)
        return tuple(sent)

    def _lacking(self, refused: Mapping[str, ServerRefused]) -> ServerRefused:
        """What a server that was restored from a backup does not have: releases without their bytes."""
        first = next(iter(refused.values()))
        lacking: list[str] = []
        for role in refused:
            _, data = self.server.role(self.folder.team, role) if self.server else (0, b"")
            there = roles.parse_role(data, where=role).signed.targets if data else {}
            lacking += sorted(set(self.folder.signed[role].signed.targets) - set(there))
        if not lacking:
            return first
        return ServerRefused(
            "the server lacks the bytes of releases that the folder lists",
            where=", ".join(sorted(refused)),
            why=f"{', '.join(lacking[:8])}{', …' if len(lacking) > 8 else ''}: {first}",
            hint="publish these artifacts again, the same files: limosa publish ARTIFACT; then --sync again",
        )

    def _send_together(self) -> tuple[str, ...]:
        """The role names a new key for the bins: one without the others would verify for nobody."""
        server, folder = self.server, self.folder
        assert server is not None
        for _ in range(RACES_MAX):
            seen = max(self._fetch(role) for role in tuple(folder.signed))
            try:
                server.put_roles(folder.team, folder.files, seen=seen)
            except Overtaken:
                continue
            self._key_is_new = False
            return tuple(folder.signed)
        raise _too_many_races(folder.team)

    def _fetch_all(self) -> None:
        """What other publishers have listed since; the team's role first, for it names the bins."""
        for role in tuple(self.folder.signed):
            self._fetch(role)

    def _push(self, release: ReleaseName, signed: SignedBlobs) -> Pushed | None:
        """Before the release is listed: the server refuses targets whose blobs it does not have."""
        there = releases.find_release(self.folder.signed[self._role(release)].signed, release)
        if there is not None and there.index_sha256 != signed.index.sha256:
            raise VersionTaken(
                f"{release} has been published with other contents",
                where=release.target_path,
                why=f"published: {there.index_sha256[:12]}…, yours: {signed.index.sha256[:12]}…",
            )
        return push_artifact(self.server, release.name, signed, say=self.say) if self.server else None

    def _list(
        self,
        release: ReleaseName,
        signed: SignedBlobs,
        may_return_to: Sequence[str] | None,
        promises: Mapping[str, VariantPromise],
    ) -> tuple[ReleaseTarget, bool]:
        """The release's target, and whether it was listed before."""
        folder, role = self.folder, self._role(release)
        back = self._may_return_to(release, may_return_to)
        for tried in range(RACES_MAX):
            there = releases.find_release(folder.signed[role].signed, release)
            if there is not None:
                self._send(role)
                return there, tried == 0
            bins = [metadata.signed for metadata in folder.bins.values()]
            target = releases.next_release(
                bins, release, _index(signed), may_return_to=back, promises=promises, now=self.now()
            )
            try:
                self._add(role, target)
            except Overtaken:
                continue
            return target, False
        raise _too_many_races(role)

    def _add(self, role: str, target: ReleaseTarget) -> None:
        """Raises Overtaken, when the folder has the other publisher's bin already.

        A clear refusal leaves the folder as it was; after a lost link the outcome is not known,
        and the folder stays ahead.
        """
        folder, before = self.folder, self.folder.files[role]
        if self.server is not None:
            self._send(folder.team)
        seen = self._fetch(role)
        folder.put(role, releases.with_target(folder.signed[role], target, folder.key, self.now()))
        try:
            if self.server is not None:
                self.server.put_role(folder.team, role, folder.files[role], seen=seen)
        except TransferError:
            raise
        except Overtaken:
            folder.put(role, before)
            self._fetch(role)
            raise
        except LimosaError:
            folder.put(role, before)
            raise

    def _send(self, role: str) -> bool:
        """Whether the server lacked the folder's version of the role; the team's own role goes first."""
        server, folder = self.server, self.folder
        if server is None:
            return False
        if role != folder.team:
            self._send(folder.team)
        for _ in range(RACES_MAX):
            seen = self._fetch(role)
            if folder.signed[role].signed.version <= seen:
                return False
            try:
                server.put_role(folder.team, role, folder.files[role], seen=seen)
            except Overtaken:
                continue
            return True
        raise _too_many_races(role)

    def _fetch(self, role: str) -> int:
        """The server's version of a role, 0 if it has none; what the folder lacks is taken over."""
        if self.server is None:
            return 0
        seen, data = self.server.role(self.folder.team, role)
        if data:
            theirs = self.folder.check_theirs(role, data, where=f"the server's {role}.json")
            if role == self.folder.team and not self.folder.is_ours(theirs):
                self._key_is_new = True
            self._adopt(role, theirs, data)
        return seen

    def _adopt(self, role: str, theirs: Metadata[Targets], data: bytes) -> None:
        folder, ours = self.folder, self.folder.signed[role]
        newer, signed_so = theirs.signed.version - ours.signed.version, folder.is_ours(theirs)
        if role == folder.team:
            if newer > 0 and signed_so:
                folder.put(role, data)
            return
        both = releases.union(ours.signed, theirs.signed)
        if newer > 0 and signed_so and both == theirs.signed.targets:
            folder.put(role, data)
        elif newer > 0 or both != ours.signed.targets:
            # Each side lists what the other does not: one restored, or signed without the server.
            folder.put(role, releases.merged(ours, theirs, folder.key, self.now()))

    def _may_return_to(self, release: ReleaseName, asked: Sequence[str] | None) -> Sequence[str]:
        """Given by the user, or the versions in production at this moment (trust 2.4)."""
        if asked is not None or self.server is None:
            return asked or ()
        return self.server.production_versions(release.name)

    def _role(self, release: ReleaseName) -> str:
        return self.folder.bin_for(release.target_path)


def _too_many_races(role: str) -> PublishRace:
    return PublishRace("another publisher was first each time", where=role, why=f"{RACES_MAX} times")


def _index(signed: SignedBlobs) -> bytes:
    return signed.blobs[signed.index.digest]
