"""From a desired release to the one variant of it that this device may and can run (agent 2, RESOLVING).

All of it is metadata, a few hundred kilobytes at most, and trusted only by signature or digest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuf.api.metadata import TargetFile

from limosa_agent.fetch import rules
from limosa_agent.fetch.access import token_of
from limosa_agent.fetch.agent_version import AGENT_VERSION
from limosa_agent.fetch.durable import DISK, Disk
from limosa_agent.fetch.errors import Quarantined, SignatureMissing, UntrustedMetadata
from limosa_agent.fetch.http_source import HttpSource
from limosa_agent.fetch.mirror_source import MirrorSource
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch.request import FetchRequest, Offer
from limosa_agent.fetch.slots import MANIFEST_FILE, RELEASE_FILE, InstalledRelease, read_current
from limosa_agent.fetch.source import Source
from limosa_agent.fetch.time_floor import clock_suspect, next_floor, reference_time
from limosa_agent.fetch.tuf_client import TufClient
from limosa_agent.fetch.variant_choice import Capabilities, Choice, choose_variant
from limosa_agent.identity.lock import reading
from limosa_contracts.canonical import parse_object
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import (
    DigestMismatch,
    InvalidArtifact,
    InvalidField,
    LimosaError,
    SignatureMismatch,
)
from limosa_contracts.fields import Fields
from limosa_contracts.limits import LIMITS
from limosa_contracts.oci import LAYER_TYPES, SIGNATURE_FILE, Descriptor, ImageIndex, Manifest, digest_of
from limosa_contracts.permit import DowngradePermit
from limosa_contracts.promise import VariantPromise
from limosa_contracts.release import DIRECTOR_SCHEMA, DIRECTOR_TARGET, ReleaseCustom
from limosa_contracts.signing_keys import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A variant that this device may install, and the keys its model signature must verify under."""

    offer: Offer
    choice: Choice
    custom: ReleaseCustom
    manifest: Manifest
    manifest_bytes: bytes
    team_keys: Sequence[PublicKey]

    @property
    def sha(self) -> str:
        return self.choice.descriptor.sha256

    def as_installed(self) -> InstalledRelease:
        return InstalledRelease(
            model=str(self.offer.name.name),
            version=self.offer.name.version,
            index_sha256=self.offer.index_sha256,
            manifest_sha256=self.sha,
            variant=self.choice.variant,
            release_counter=self.custom.release_counter,
            may_return_to=self.custom.may_return_to,
            size_bytes=sum(layer.size for layer in self.manifest.layers),
            promise=self.custom.promises.get(self.choice.variant, VariantPromise()),
        )


class Repository:
    """The server as one signed view: refreshed once, then asked."""

    def __init__(self, request: FetchRequest, *, clock: float, disk: Disk = DISK) -> None:
        """`clock` in Unix seconds, believed no further than trust 3.3. Raises UntrustedMetadata, OSError."""
        self._request = request
        self._disk = disk
        self._state = StatePaths(request.state_dir)
        self._reference = reference_time(clock=clock, floor=request.time_floor)
        self.clock_suspect = clock_suspect(clock=clock, floor=request.time_floor)
        self.time_floor = next_floor(reference=self._reference, floor=request.time_floor, refreshed=False)
        self._base, self._public, self.private = _sources(request)
        self._tuf = TufClient(
            self._state.tuf,
            metadata_url=f"{self._base}/tuf/metadata/",
            bootstrap=_bootstrap(self._state),
            reference=self._reference,
            source=self._public,
            limits=request.limits,
            disk=disk,
        )

    def refresh(self) -> str:
        """The director's public key in PEM, as the top role lists it; also durable in `tuf/`."""
        self._tuf.refresh()
        self.time_floor = next_floor(
            reference=self._reference, floor=self._request.time_floor, refreshed=True
        )
        target = self._tuf.top_target(DIRECTOR_TARGET)
        kept = self._state.tuf / "director.json"
        data = kept.read_bytes() if kept.is_file() else b""
        if not _is(target, data):
            data = self._target(target, max_bytes=self._request.limits.director_max_bytes)
            self._disk.replace_file(kept, data)
        pem = _director_pem(data)
        if not self._state.director.is_file() or self._state.director.read_text() != pem:
            self._disk.replace_file(self._state.director, pem.encode())
        return pem

    def desired(self) -> bytes | None:
        """The device's desired document on the mirror, whose signature is the caller's to check."""
        if self._request.mirror is None or not self._request.device:
            return None
        return MirrorSource(self._request.limits, self._request.mirror).desired(self._request.device)

    def resolve(self, offer: Offer, *, disk_free_bytes: int) -> Resolved:
        """After `refresh`. Raises TrustError, RequestError, TransferError."""
        name = offer.name
        target = self._tuf.release_target(name)
        rules.check_desired(name, signed_sha256=_sha256(target), desired_sha256=offer.index_sha256)
        custom = ReleaseCustom.parse(target.custom)
        keys = self._tuf.team_keys(name.name.team)
        rules.check_not_rolled_back(
            name,
            custom,
            committed_counter=offer.committed_counter,
            may_return_to=offer.running_may_return_to,
            permitted=self._permitted(offer, keys),
        )
        rules.check_agent(name, custom, agent_version=AGENT_VERSION)
        index = ImageIndex.parse(self._target(target, max_bytes=LIMITS.manifest_max_bytes))
        device = Capabilities.parse(offer.capabilities, disk_free_bytes=disk_free_bytes)
        choice = choose_variant(index, device)
        sha = choice.descriptor.sha256
        if sha in offer.quarantined:  # agent 3, line 0
            raise Quarantined(
                f"{name} has failed here before", where=choice.variant, evidence={"manifest": sha}
            )
        data = self._manifest(offer, choice.descriptor)
        return Resolved(
            offer=offer,
            choice=choice,
            custom=custom,
            manifest=_checked(Manifest.parse(data), self._request.limits.variant_max_bytes),
            manifest_bytes=data,
            team_keys=keys,
        )

    def blob_url(self, offer: Offer, descriptor: Descriptor) -> str:
        return f"{self._base}/v2/{offer.name.name}/blobs/{descriptor.digest}"

    def _manifest(self, offer: Offer, descriptor: Descriptor) -> bytes:
        if descriptor.size > LIMITS.manifest_max_bytes:
            raise InvalidArtifact(
                "a manifest is too large", where="index.manifests", why=f"{descriptor.size} B"
            )
        url = f"{self._base}/v2/{offer.name.name}/manifests/{descriptor.digest}"
        return descriptor.check(self.private.read(url, max_bytes=descriptor.size))

    def _target(self, target: TargetFile, *, max_bytes: int) -> bytes:
        """The bytes of a target from its consistent name. Raises DigestMismatch, TransferError."""
        if target.length > max_bytes:
            raise UntrustedMetadata(
                f"{target.path} is too large", why=f"{target.length} of {max_bytes} bytes"
            )
        folder, _, name = target.path.rpartition("/")
        url = f"{self._base}/tuf/targets/{folder}/{_sha256(target)}.{name}"
        data = self._public.read(url, max_bytes=target.length)
        if not _is(target, data):
            raise DigestMismatch("the server sends another target than was signed", where=target.path)
        return data

    def _permitted(self, offer: Offer, keys: Sequence[PublicKey]) -> bool:
        """Whether the team permits the step from the release that runs to this one (trust 2.4)."""
        if offer.permit is None:
            return False
        envelope = Envelope.from_object(offer.permit)
        for key in keys:
            try:
                permit = DowngradePermit.verify(envelope, key)
            except SignatureMismatch:
                continue  # a team may have two keys during a rotation
            running = self._running_version(offer)
            step = (str(offer.name.name), running, offer.name.version)
            return (permit.model, permit.from_version, permit.to_version) == step
        return False

    def _running_version(self, offer: Offer) -> str:
        """The version in the current slot, "" if there is none."""
        model = self._state.model(offer.name.name)
        sha = read_current(model.folder)
        if sha is None:
            return ""
        try:
            return InstalledRelease.parse((model.release(sha) / RELEASE_FILE).read_bytes()).version
        except (OSError, LimosaError):
            return ""  # no permit can name a release that cannot be read


def _bootstrap(state: StatePaths) -> bytes:
    with reading(state.root.parent):
        return state.root.read_bytes()


def _sources(request: FetchRequest) -> tuple[str, Source, Source]:
    """(base URL, source of what is public, source of what needs the access token)."""
    if request.mirror is not None:
        mirror = MirrorSource(request.limits, request.mirror)
        mirror.marker()  # a folder that is no mirror is told from one that lacks something
        return mirror.base, mirror, mirror

    def server(token: Callable[[], str] | None) -> HttpSource:
        return HttpSource(
            request.limits,
            ca_file=request.ca_file,
            enrolled_ca=request.enrolled_ca,
            token=token,
            proxy=request.proxy,
        )

    return request.server, server(None), server(token_of(request))


def _checked(manifest: Manifest, max_bytes: int) -> Manifest:
    """What the contracts leave to whoever writes the files. Raises InvalidArtifact, SignatureMissing."""
    if not manifest.has(SIGNATURE_FILE):
        raise SignatureMissing(f"a variant has no {SIGNATURE_FILE}", where="manifest.layers")  # trust 5.1
    for layer in manifest.layers:
        if layer.filename in (MANIFEST_FILE, RELEASE_FILE):
            raise InvalidArtifact("a file has a name that the slot needs", where=layer.filename)
        if layer.media_type not in LAYER_TYPES:
            raise InvalidArtifact(
                "a layer is of an unknown type", where=layer.filename, why=layer.media_type[:120]
            )
    total = sum(layer.size for layer in manifest.layers)
    if total > max_bytes:
        raise InvalidArtifact(
            "a variant is too large", where="manifest.layers", why=f"{total} of {max_bytes} B"
        )
    return manifest


def _director_pem(data: bytes) -> str:
    fields = Fields(parse_object(data, what=DIRECTOR_TARGET), where="director")
    fields.schema(DIRECTOR_SCHEMA)
    try:
        return PublicKey.parse(fields.text("pem").encode()).pem().decode()
    except InvalidField as error:
        raise UntrustedMetadata(
            "the director's key cannot be read", where=DIRECTOR_TARGET, why=error.why
        ) from error


def _sha256(target: TargetFile) -> str:
    digest = target.hashes.get("sha256")
    if digest is None:
        raise UntrustedMetadata("a target has no sha256", where=target.path)
    return digest


def _is(target: TargetFile, data: bytes) -> bool:
    return len(data) == target.length and digest_of(data) == f"sha256:{_sha256(target)}"
