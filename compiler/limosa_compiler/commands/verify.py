"""`limosa verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from limosa_compiler.artifact.archive_file import Archive, read_archive
from limosa_compiler.trust.errors import NotSigned
from limosa_contracts.cli import answer, columns, command, json_option
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonValue
from limosa_contracts.signing_keys import PublicKey

if TYPE_CHECKING:
    from limosa_compiler.trust.signatures import VariantSignature


@command(
    "verify",
    examples=[
        "limosa verify motion-1.0.0.signed.limosa --key keys/teams/vision/team.pub",
        "limosa verify motion-1.0.0.signed.limosa --key team.pub --json",
    ],
)
@click.argument("artifact", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="LIMOSA_TEAM_PUB",
    help="Public key of the team, in PEM; or LIMOSA_TEAM_PUB.",
)
@json_option
def verify(artifact: Path, key: Path | None, as_json: bool) -> None:
    """Check an artifact's digests, signatures and golden vectors on this machine.

    In this order, and a model is run only after its signature held. The exit code is 5 if a digest or
    signature does not hold or there is none, 3 if the model answers otherwise than its golden vectors.
    """
    archive = read_archive(artifact)
    signatures = _signatures(archive, key)

    from limosa_compiler.artifact.golden_check import check_golden

    golden = check_golden(archive)
    said: dict[str, JsonValue] = {
        "schema": "limosa.verify/1",
        "artifact": str(artifact),
        "release": str(archive.release),
        "index_digest": archive.index_descriptor.digest,
        "blobs": len(archive.blobs),
        "signatures": [
            {"variant": one.variant, "keyid": one.keyid, "files": list(one.files)} for one in signatures
        ],
        "golden": [result.as_json() for result in golden],
    }
    rows = [
        [one.variant, f"{len(one.files)} files by {one.keyid[:12]}…", f"{result.cases} cases hold"]
        for one, result in zip(signatures, golden, strict=True)
    ]
    answer(said, as_json=as_json, text=lambda: _text(archive, rows))


def _signatures(archive: Archive, key: Path | None) -> tuple[VariantSignature, ...]:
    """Raises NotSigned before it asks for a key: no key makes an unsigned artifact a signed one."""
    from limosa_compiler.trust.signatures import is_signed, verify_archive_signatures

    if not is_signed(archive):
        raise NotSigned("this artifact is not signed", where=str(archive.release))
    if key is None:
        raise Usage(
            "there is no key to check the signature with",
            where="--key",
            hint="--key keys/teams/TEAM/team.pub",
        )
    return verify_archive_signatures(archive, PublicKey.parse(key.read_bytes()))


def _text(archive: Archive, rows: list[list[str]]) -> str:
    head = f"{archive.release}  {len(archive.blobs)} blobs have their digests"
    return f"{head}\n{columns(['VARIANT', 'SIGNED', 'GOLDEN VECTORS'], rows)}"
