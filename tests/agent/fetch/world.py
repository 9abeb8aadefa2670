"""A fleet server and a team in memory, for one device: real keys, real TUF, real OMS, bendable answers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from limosa_agent.fetch.main import answer
from limosa_agent.fetch.paths import ModelPaths, StatePaths
from limosa_compiler.trust import roles
from limosa_compiler.trust.ceremony import KeyFolders, make_keys
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import (
    CONFIG,
    DOC,
    FILEPATH,
    MANIFEST,
    REQUIRES_ANNOTATION,
    SIGNATURE_FILE,
    VARIANT_ANNOTATION,
    WEIGHT,
    Descriptor,
    ImageIndex,
    Manifest,
    Requirements,
)
from limosa_contracts.oms import make_bundle
from limosa_contracts.promise import VariantPromise
from limosa_contracts.release import ReleaseCustom
from limosa_contracts.signing_keys import SigningKey
from tests.support.hostile_server import HostileServer

CAPABILITIES: JsonObject = {
    "arch": "x86_64",
    "cpu_features": ["avx2"],
    "runtimes": {"onnxruntime": "1.31.1"},
    "memory_bytes": 1 << 30,
}
QUICK: JsonObject = {
    "rate_window_s": 0.5,
    "idle_timeout_s": 2.0,
    "connect_timeout_s": 2.0,
    "disk_reserve_bytes": 0,
    "progress_every_s": 0.05,
    "lock_wait_s": 0.3,
}
"""Limits under which a hostile answer is given up within a second."""
CALM: JsonObject = {**QUICK, "rate_window_s": 20.0, "idle_timeout_s": 20.0, "connect_timeout_s": 20.0}
"""For a server that plays no tricks, on a machine that has much to do."""


@dataclass(slots=True)
class Published:
    name: ReleaseName
    index_sha256: str
    manifests: Mapping[str, str]  # variant -> manifest sha256
    blobs: Mapping[str, str]  # "variant/file name" -> sha256

    def blob(self, file: str, variant: str = "int8") -> str:
        return self.blobs[f"{variant}/{file}"]


@dataclass(slots=True)
class World:
    server: HostileServer
    device: Path  # its state folder
    keys: KeyFolders
    now: datetime
    team_roles: dict[str, Targets] = field(default_factory=dict)
    counter: int = 0

    @classmethod
    def make(cls, server: HostileServer, device: Path) -> World:
        now = datetime.now(UTC).replace(microsecond=0)
        world = cls(server=server, device=device, keys=make_keys(team="demo", now=now, dev=True), now=now)
        (device / "identity").mkdir(parents=True)
        (device / "identity" / "root.json").write_bytes(world.keys.server["tuf/1.root.json"])
        for path, data in world.keys.server.items():
            if path.startswith("tuf/targets/"):
                server.files[f"/{path}"] = data
            elif path.startswith("tuf/"):
                world.put_metadata(path.removeprefix("tuf/"), data)
        world.freeze()
        return world

    # keys
    def offline_key(self, name: str) -> SigningKey:
        return SigningKey.parse(self.keys.offline[name])

    @property
    def team_key(self) -> SigningKey:
        return self.offline_key("teams/demo/team.pem")

    def online_key(self, name: str) -> SigningKey:
        return SigningKey.parse(self.keys.server[f"keys/{name}.pem"])

    # metadata
    def put_metadata(self, name: str, data: bytes) -> None:
        """`name` as in "1.demo.json"."""
        self.server.files[f"/tuf/metadata/{name}"] = data
        role = name.split(".", 1)[1].removesuffix(".json")
        if role != "root":
            self.team_roles[role] = Metadata[Targets].from_bytes(data).signed

    def put_role(self, role: str, document: Targets, key: SigningKey) -> None:
        document.version += 1
        data = roles.signed(document, [key]).to_bytes()
        self.put_metadata(f"{document.version}.{role}.json", data)

    def freeze(self, *, expires: timedelta = timedelta(days=1), version: int = 0) -> None:
        """New snapshot and timestamp over all roles, as the server signs them."""
        version = version or self._snapshot_version() + 1
        meta = {f"{name}.json": MetaFile(role.version) for name, role in self.team_roles.items()}
        snapshot = Snapshot(version=version, expires=self.now + timedelta(days=30), meta=meta)
        timestamp = Timestamp(version=version, expires=self.now + expires, snapshot_meta=MetaFile(version))
        files = self.server.files
        signed = roles.signed(snapshot, [self.online_key("snapshot")])
        files[f"/tuf/metadata/{version}.snapshot.json"] = signed.to_bytes()
        files["/tuf/metadata/timestamp.json"] = roles.signed(
            timestamp, [self.online_key("timestamp")]
        ).to_bytes()

    def _snapshot_version(self) -> int:
        data = self.server.files.get("/tuf/metadata/timestamp.json")
        return 0 if data is None else Metadata[Timestamp].from_bytes(data).signed.version

    def bin_of(self, name: ReleaseName) -> str:
        return roles.bins_of(self.team_roles["demo"], where="demo").get_role_for_target(name.target_path)

    # releases
    def publish(
        self,
        version: str,
        files: Mapping[str, bytes] | None = None,
        *,
        variants: Mapping[str, Requirements] | None = None,
        may_return_to: Sequence[str] = (),
        min_agent: str = "0.1.0",
        oms_key: SigningKey | None = None,
        tuf_key: SigningKey | None = None,
        signed: bool = True,
        counter: int = 0,
        promises: Mapping[str, VariantPromise] | None = None,
    ) -> Published:
        """Builds, signs and lists a release; `oms_key`, `tuf_key` and `signed` bend how."""
        name = ReleaseName.parse(f"demo/motion@{version}")
        files = {"model.onnx": f"weights of {version}".encode() * 50, **(files or {})}
        descriptors, manifests, blobs = [], {}, {}
        for variant, requirements in (variants or {"int8": Requirements()}).items():
            mine = {**files, "variant.txt": variant.encode()}
            layers = [self._layer(name, file, data) for file, data in mine.items()]
            if signed:
                bundle = make_bundle({d.filename: d.sha256 for d in layers}, oms_key or self.team_key)
                layers.append(self._layer(name, SIGNATURE_FILE, bundle))
            manifest = Manifest(config=Descriptor.of(b"{}", media_type=CONFIG), layers=tuple(layers)).encode()
            descriptor = Descriptor.of(
                manifest,
                media_type=MANIFEST,
                annotations={VARIANT_ANNOTATION: variant, REQUIRES_ANNOTATION: requirements.encode()},
            )
            self.server.files[f"/v2/{name.name}/manifests/{descriptor.digest}"] = manifest
            descriptors.append(descriptor)
            manifests[variant] = descriptor.sha256
            blobs.update({f"{variant}/{layer.filename}": layer.sha256 for layer in layers})
        index = ImageIndex(manifests=tuple(descriptors)).encode()
        self.counter = counter or self.counter + 1
        custom = ReleaseCustom(
            release_counter=self.counter,
            may_return_to=tuple(may_return_to),
            min_agent=min_agent,
            promises=promises or {},
        )
        sha = self.list_target(name, index, custom.as_json(), key=tuf_key)
        return Published(name, sha, manifests, blobs)

    def list_target(
        self, name: ReleaseName, index: bytes, custom: JsonObject, *, key: SigningKey | None = None,
        role: str = "",
    ) -> str:  # fmt: skip
        """Puts a target into a role (the right bin of the team), and signs it with `key`."""
        target = TargetFile.from_data(name.target_path, index, ["sha256"])
        target.unrecognized_fields["custom"] = dict(custom)
        role = role or self.bin_of(name)
        document = self.team_roles[role]
        document.targets[name.target_path] = target
        self.put_role(role, document, key or self.team_key)
        sha = target.hashes["sha256"]
        folder, _, file = name.target_path.rpartition("/")
        self.server.files[f"/tuf/targets/{folder}/{sha}.{file}"] = index
        self.freeze()
        return sha

    def _layer(self, name: ReleaseName, file: str, data: bytes) -> Descriptor:
        kind = DOC if file == SIGNATURE_FILE else WEIGHT
        layer = Descriptor.of(data, media_type=kind, annotations={FILEPATH: file})
        self.server.files[f"/v2/{name.name}/blobs/{layer.digest}"] = data
        return layer

    # the device
    @property
    def state(self) -> StatePaths:
        return StatePaths(self.device)

    @property
    def model(self) -> ModelPaths:
        return self.state.model(ReleaseName.parse("demo/motion@1.0.0").name)

    def request(self, release: Published | None, **changes: JsonValue) -> dict[str, JsonValue]:
        asked: dict[str, JsonValue] = {
            "op": "refresh",
            "server": self.server.url,
            "state_dir": str(self.device),
            "access_token": "device-token",
            "ca_file": None,
            "time_floor": 0,
            "limits": QUICK if self.server.tricks else CALM,
        }
        if release is not None:
            asked |= {
                "op": "install",
                "model": str(release.name.name),
                "version": release.name.version,
                "index_sha256": release.index_sha256,
                "committed_counter": 0,
                "running_may_return_to": [],
                "permit": None,
                "capabilities": CAPABILITIES,
                "quarantined": [],
                "byte_budget": None,
            }
        return {**asked, **changes}

    def fetch(
        self,
        release: Published | None = None,
        *,
        clock: Callable[[], float] = time.time,
        **changes: Any,
    ) -> Answer:
        """In this process: the same code that the child runs."""
        lines: list[JsonObject] = []
        last = answer(json.dumps(self.request(release, **changes)).encode(), lines.append, clock=clock)
        return Answer.of([*lines, last])

    def spawn(self, release: Published | None = None, **changes: JsonValue) -> subprocess.Popen[bytes]:
        """The child itself; its request is written."""
        child = subprocess.Popen(
            [sys.executable, "-m", "limosa_agent.fetch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdin is not None
        child.stdin.write(json.dumps(self.request(release, **changes)).encode())
        child.stdin.close()
        child.stdin = None  # so that communicate() does not flush it
        return child


@dataclass(slots=True)
class Answer:
    """What a fetch said: its progress, and either a result or an error."""

    progress: list[JsonObject]
    result: dict[str, JsonValue]
    error: dict[str, JsonValue]

    @classmethod
    def of(cls, lines: Sequence[JsonObject]) -> Answer:
        def part(line: JsonObject, name: str) -> dict[str, JsonValue]:
            value = line.get(name, {})
            assert isinstance(value, Mapping)
            return dict(value)

        progress = [part(line, "progress") for line in lines if "progress" in line]
        return cls(progress=list(progress), result=part(lines[-1], "result"), error=part(lines[-1], "error"))

    def failed(self, kind: str, code: str) -> bool:
        """Whether it ended in that error; says what came instead."""
        assert self.error, f"no error: {self.result}"
        assert (self.error["kind"], self.error["code"]) == (kind, code), self.error
        return True
