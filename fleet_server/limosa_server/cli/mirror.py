"""`limosa mirror …`"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from limosa_contracts.cli import answer, command, json_option, progress
from limosa_contracts.duration import parse_duration
from limosa_contracts.errors import SystemRefused
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.mirror import METADATA_FOLDER, TARGETS_FOLDER, MirrorMarker, desired_file
from limosa_contracts.names import MODEL, NAME, SHA256_HEX
from limosa_server.cli.times import minute
from limosa_server.client import Client, server_options
from limosa_server.mirror.mirror_folder import MirrorFolder

ITEMS_MAX: Final = 1_000_000
SIGNED_MAX_BYTES: Final = LIMITS.tuf_metadata_max_bytes


@command(
    "export",
    examples=[
        "limosa mirror export --valid 30d /media/usb/limosa",
        "limosa mirror export --valid 7d --device dev-0017 stick",
    ],
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--valid", default="30d", show_default=True, help="How long devices accept it, e.g. 7d.")
@click.option("--device", "devices", multiple=True, help="Only for this device; repeatable.")
@server_options
@json_option
def export(
    folder: Path,
    valid: str,
    devices: tuple[str, ...],
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Write what devices without a network shall run into FOLDER, as a rule on a stick.

    On the device: limosa-agent update --from FOLDER. It verifies everything as if the server had sent it.
    A folder that holds a mirror already is brought up to date; what it has is not fetched again.
    """
    body: JsonObject = {"valid_s": parse_duration(valid, where="--valid"), "devices": list(devices)}
    with Client.of(server, token, ca) as client:
        try:
            place = MirrorFolder(folder)
            made = client.post("/api/v1/mirrors", body)
            said = _write(client, place, made)
        except OSError as error:
            raise SystemRefused(
                "the mirror cannot be written", where=str(error.filename or folder), why=error.strerror or ""
            ) from error
    if said.ends_first != "timestamp":
        progress(f"hint: it ends before --valid, with the role {said.ends_first}; that must be signed again")
    answer(said.as_json(folder), as_json=as_json, text=lambda: said.text(folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    marker: MirrorMarker
    ends_first: str
    fetched_bytes: int

    def as_json(self, folder: Path) -> dict[str, JsonValue]:
        return {
            "mirror": str(folder),
            "id": self.marker.id,
            "expires": self.marker.expires,
            "ends_first": self.ends_first,
            "releases": list(self.marker.releases),
            "devices": self.marker.devices,
            "fetched_bytes": self.fetched_bytes,
        }

    def text(self, folder: Path) -> str:
        releases = ", ".join(self.marker.releases) or "no release"
        return (
            f"{folder} holds {releases} for {self.marker.devices} device"
            f"{'' if self.marker.devices == 1 else 's'}, until {minute(float(self.marker.expires))}\n"
            f"on each device: limosa-agent update --from {folder}"
        )


def _write(client: Client, place: MirrorFolder, made: JsonObject) -> _Said:
    """Blobs first, the marker last. Raises LimosaError, OSError."""
    fields = Fields(made, where="answer")
    fetched = 0
    for where, item in fields.items("blobs", max_items=ITEMS_MAX):
        fetched += _blob(client, place, Fields(item, where=where))
    for name in _names(fields, "targets"):
        place.write(f"{TARGETS_FOLDER}/{name}", _file(client, f"/tuf/targets/{name}"))
    for name in _names(fields, "metadata"):
        place.write(f"{METADATA_FOLDER}/{name}", _file(client, f"/tuf/metadata/{name}"))
    desired: Mapping[str, JsonValue] = fields.object("desired")
    for device, envelope in desired.items():
        if NAME.fullmatch(device) and isinstance(envelope, str):
            place.write(desired_file(device), envelope.encode())
    place.write(
        f"{METADATA_FOLDER}/timestamp.json", fields.text("timestamp", max_chars=SIGNED_MAX_BYTES).encode()
    )
    marker = MirrorMarker(
        id=fields.text("id", max_chars=64),
        made=fields.integer("made", low=0),
        expires=fields.integer("expires", low=0),
        releases=fields.texts("releases"),
        devices=len(desired),
    )
    place.finish(marker)
    return _Said(marker=marker, ends_first=fields.text("ends_first", max_chars=256), fetched_bytes=fetched)


def _blob(client: Client, place: MirrorFolder, fields: Fields) -> int:
    """Bytes that were fetched for it."""
    sha256, size = fields.text("sha256", pattern=SHA256_HEX), fields.integer("size", low=0)
    path = f"/v2/{fields.text('repository', pattern=MODEL)}/blobs/sha256:{sha256}"
    if not place.blob(sha256, size, lambda: client.pieces(path, max_bytes=size)):
        return 0
    progress(f"sha256:{sha256[:12]}… {size} bytes")
    return size


def _names(fields: Fields, name: str) -> tuple[str, ...]:
    """Relative paths that stay below their folder. Raises InvalidField."""
    found = fields.texts(name, max_items=ITEMS_MAX)
    for path in found:
        if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
            raise fields.wrong(name, f"{path[:80]!r} leads out of the mirror")
    return found


def _file(client: Client, path: str) -> bytes:
    return b"".join(client.pieces(path, max_bytes=SIGNED_MAX_BYTES))
