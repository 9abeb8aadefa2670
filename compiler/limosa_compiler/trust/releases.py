"""What a team's bins say of its releases, and how one more is added (trust 2.3, 2.4). No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Metadata, TargetFile, Targets

from limosa_compiler.trust import roles
from limosa_compiler.trust.errors import DamagedMetadata, VersionTaken
from limosa_contracts.errors import LimosaError
from limosa_contracts.names import ModelName, ReleaseName
from limosa_contracts.promise import VariantPromise
from limosa_contracts.release import ReleaseCustom
from limosa_contracts.signing_keys import Signs


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTarget:
    """One target of a bin: a release, by the digest and length of its image index blob."""

    path: str
    index_sha256: str
    length: int  # bytes
    custom: ReleaseCustom


def find_release(bin_role: Targets, release: ReleaseName) -> ReleaseTarget | None:
    """Raises DamagedMetadata."""
    target = bin_role.targets.get(release.target_path)
    return None if target is None else parse_target(target)


def latest_counter(bins: Iterable[Targets], model: ModelName) -> int:
    """The highest release counter of the model in all bins, 0 if it has no release."""
    prefix = f"{model}/"
    counters = [
        parse_target(target).custom.release_counter
        for role in bins
        for path, target in role.targets.items()
        if path.startswith(prefix)
    ]
    return max(counters, default=0)


def next_release(
    bins: Iterable[Targets],
    release: ReleaseName,
    index: bytes,
    *,
    may_return_to: Sequence[str],
    now: datetime,
    promises: Mapping[str, VariantPromise] | None = None,
) -> ReleaseTarget:
    """The target of a new release; its counter too is max(previous + 1, Unix time) (trust 2.3)."""
    target = TargetFile.from_data(release.target_path, index, ["sha256"])
    custom = ReleaseCustom(
        release_counter=roles.next_version(latest_counter(bins, release.name), now),
        may_return_to=tuple(sorted({version for version in may_return_to if version != release.version})),
        promises=promises or {},
    )
    return ReleaseTarget(
        path=release.target_path, index_sha256=target.hashes["sha256"], length=len(index), custom=custom
    )


def with_target(bin_metadata: Metadata[Targets], target: ReleaseTarget, key: Signs, now: datetime) -> bytes:
    """The bin with one more target, its next version, signed. Raises VersionTaken."""
    role = copy_of(bin_metadata)
    _add(role, target.path, _tuf_target(target))
    return resigned(role, key, now)


def union(ours: Targets, theirs: Targets) -> dict[str, TargetFile]:
    """What both list together; where both list a release, as theirs says.

    Raises VersionTaken if they disagree about a release's contents.
    """
    role = Targets(targets=dict(theirs.targets))
    for path, target in ours.targets.items():
        _add(role, path, target)
    return role.targets


def merged(ours: Metadata[Targets], theirs: Metadata[Targets], key: Signs, now: datetime) -> bytes:
    """A newer bin than both, with what either lists: nothing published from anywhere is lost."""
    role = copy_of(theirs)
    role.targets = union(ours.signed, theirs.signed)
    role.version = max(role.version, ours.signed.version)
    return resigned(role, key, now)


def resigned(role: Targets, key: Signs, now: datetime) -> bytes:
    """`role` is changed: its next version, a new expiry; the bytes of its metadata are returned."""
    role.version = roles.next_version(role.version, now)
    role.expires = (now + roles.LIFETIMES.team).replace(microsecond=0)
    return roles.signed(role, [key]).to_bytes()


def parse_target(target: TargetFile) -> ReleaseTarget:
    """Raises DamagedMetadata."""
    try:
        return ReleaseTarget(
            path=target.path,
            index_sha256=target.hashes["sha256"],
            length=target.length,
            custom=ReleaseCustom.parse(target.custom or {}),
        )
    except (LimosaError, KeyError) as error:
        raise DamagedMetadata("a target is not a release", where=target.path, why=str(error)) from error


def _tuf_target(target: ReleaseTarget) -> TargetFile:
    return TargetFile(
        target.length,
        {"sha256": target.index_sha256},
        target.path,
        unrecognized_fields={"custom": target.custom.as_json()},
    )


def _add(role: Targets, path: str, target: TargetFile) -> None:
    there = role.targets.get(path)
    if there is None:
        role.targets[path] = target
    elif there.hashes != target.hashes:
        known, new = (t.hashes.get("sha256", "")[:12] for t in (there, target))
        raise VersionTaken(
            "this version has been published with other contents",
            where=path,
            why=f"published: {known}…, yours: {new}…",
        )


def copy_of(metadata: Metadata[Targets]) -> Targets:
    """Its document, which may be changed."""
    """Its document, which may be changed."""
    return Targets.from_dict(metadata.signed.to_dict())
