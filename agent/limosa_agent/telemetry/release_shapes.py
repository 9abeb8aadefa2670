"""What snapshots of an installed release look like, read from its folder once."""

from __future__ import annotations

from typing import Final

from limosa_agent.fetch.paths import StatePaths
from limosa_agent.telemetry.instances import ReleaseShape
from limosa_contracts.baseline import Baseline
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import NotFound
from limosa_contracts.fields import Fields
from limosa_contracts.names import ModelName, check_version
from limosa_contracts.serving import BASELINE_FILE, FILE

KNOWN_MAX: Final = 64  # releases


class ReleaseShapes:
    def __init__(self, paths: StatePaths) -> None:
        self._paths: Final = paths
        self._known: Final[dict[tuple[str, str], ReleaseShape]] = {}

    def find(self, model: str, manifest_sha256: str) -> ReleaseShape:
        """Both names are checked already. Raises NotFound, InvalidJson, InvalidField."""
        found = self._known.get((model, manifest_sha256))
        if found is None:
            found = self._read(model, manifest_sha256)
            if len(self._known) >= KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[model, manifest_sha256] = found
        return found

    def _read(self, model: str, manifest_sha256: str) -> ReleaseShape:
        folder = self._paths.model(ModelName.parse(model)).release(manifest_sha256)
        try:
            serving, baseline = (folder / FILE).read_bytes(), (folder / BASELINE_FILE).read_bytes()
        except OSError as error:
            raise NotFound("no such release is installed", where=str(folder), why=str(error)) from error
        fields = Fields(parse_object(serving, what=FILE), where=FILE)
        return ReleaseShape.of(Baseline.parse(baseline), version=check_version(fields.text("version")))
