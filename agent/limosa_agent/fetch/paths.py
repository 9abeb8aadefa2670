"""Where things are in the state folder of an agent. Names only; nothing is touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limosa_contracts.names import ModelName


@dataclass(frozen=True, slots=True)
class ModelPaths:
    """`models/<team>/<model>/` of one model."""

    folder: Path

    @property
    def staging(self) -> Path:
        return self.folder / "staging"

    @property
    def releases(self) -> Path:
        return self.folder / "releases"

    @property
    def graphs(self) -> Path:
        """`<sha>/`: what the runtime made of a release on this device; made again where it lacks."""
        return self.folder / "graphs"

    @property
    def current(self) -> Path:
        """A symbolic link to `releases/<sha>`, derived from the state database (agent 3.0)."""
        return self.folder / "current"

    @property
    def state(self) -> StatePaths:
        return StatePaths(self.folder.parents[2])

    def release(self, sha: str) -> Path:
        return self.releases / sha

    def part(self, blob_sha: str) -> Path:
        """A download that is not complete."""
        return self.staging / f"{blob_sha}.part"

    def delta(self, blob_sha: str) -> Path:
        """A delta to that blob, whole or not."""
        return self.staging / f"{blob_sha}.delta"


@dataclass(frozen=True, slots=True)
class StatePaths:
    folder: Path

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def blobs(self) -> Path:
        return self.folder / "blobs" / "sha256"

    @property
    def tuf(self) -> Path:
        return self.folder / "tuf"

    @property
    def root(self) -> Path:
        """The TUF root given at enrolment: where all trust of this device begins (trust 3)."""
        return self.folder / "identity" / "root.json"

    @property
    def director(self) -> Path:
        """The director's public key, from the verified target `limosa/director.json` (trust 4.2)."""
        return self.tuf / "director.pem"

    @property
    def lock(self) -> Path:
        """Held by whoever fetches or collects blobs."""
        return self.folder / "fetch.lock"

    def model(self, name: ModelName) -> ModelPaths:
        return ModelPaths(self.models / name.team / name.model)

    def blob(self, sha: str) -> Path:
        return self.blobs / sha
