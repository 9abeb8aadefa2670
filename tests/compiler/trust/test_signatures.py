from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from model_signing._cli import main as stock_tool

from limosa_compiler.artifact.archive_file import Archive, Variant, read_archive, write_archive
from limosa_compiler.trust.errors import NotSigned
from limosa_compiler.trust.signatures import is_signed, sign_archive, verify_archive_signatures
from limosa_contracts.errors import InvalidArtifact, SignatureMismatch
from limosa_contracts.oci import SIGNATURE_FILE
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.support.artifacts import small_artifact

KEY = SigningKey.generate(Algorithm.P256)


def signed_archive(tmp_path: Path, key: SigningKey = KEY) -> Archive:
    archive = read_archive(small_artifact(tmp_path, "demo/motion@1.0.0"))
    return rewritten(tmp_path, archive, key)


def rewritten(tmp_path: Path, archive: Archive, key: SigningKey) -> Archive:
    signed = sign_archive(archive, key)
    path = tmp_path / "signed.limosa"
    write_archive(path, signed.blobs, signed.index, name=str(archive.release.name), version="1.0.0")
    return read_archive(path)


def unpack(archive: Archive, variant: Variant, folder: Path) -> Path:
    folder.mkdir()
    for name, data in archive.files(variant).items():
        (folder / name).write_bytes(data)
    return folder


def stock_says_yes(folder: Path, key: SigningKey) -> bool:
    """`model_signing verify key`: what its script calls."""
    public = folder.parent / f"{key.public.keyid[:8]}.pub"
    public.write_bytes(key.public.pem())
    words = ["verify", "key", folder, "--signature", folder / SIGNATURE_FILE, "--public_key", public]
    done = CliRunner().invoke(stock_tool, [str(word) for word in words])
    return done.exit_code == 0


def test_stock_tool_accepts_every_unpacked_variant_and_refuses_each_change(tmp_path: Path) -> None:
    archive = signed_archive(tmp_path)
    for variant in archive.variants:
        assert stock_says_yes(unpack(archive, variant, tmp_path / variant.name), KEY)

    folder = tmp_path / archive.variants[0].name
    model, extra = folder / "model.onnx", folder / "extra"
    before = model.read_bytes()
    model.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert not stock_says_yes(folder, KEY)
    model.write_bytes(before)
    extra.write_text("added")
    assert not stock_says_yes(folder, KEY)
    extra.unlink()
    extra.symlink_to(model)
    assert not stock_says_yes(folder, KEY)
    extra.unlink()
    (folder / "baseline.json").rename(tmp_path / "removed")
    assert not stock_says_yes(folder, KEY)
    (tmp_path / "removed").rename(folder / "baseline.json")
    assert not stock_says_yes(folder, SigningKey.generate(Algorithm.P256))
    assert stock_says_yes(folder, KEY)


def test_signing_adds_one_layer_and_leaves_every_other_byte(tmp_path: Path) -> None:
    plain = read_archive(small_artifact(tmp_path, "demo/motion@1.0.0"))
    signed = rewritten(tmp_path, plain, KEY)
    assert not is_signed(plain)
    assert is_signed(signed)
    for before, after in zip(plain.variants, signed.variants, strict=True):
        files = signed.files(after)
        assert files.pop(SIGNATURE_FILE)
        assert files == plain.files(before)
        assert after.requirements == before.requirements
        assert after.name == before.name
        config = signed.blobs[after.manifest.config.digest].decode()
        assert all(layer.digest in config for layer in after.manifest.layers)
    assert signed.index.annotations == plain.index.annotations
    used = {
        layer.digest
        for v in signed.variants
        for layer in (*v.manifest.layers, v.manifest.config, v.descriptor)
    }
    assert set(signed.blobs) == used | {signed.index_descriptor.digest}


def test_signing_twice_and_signing_the_signed_give_the_same_digest(tmp_path: Path) -> None:
    once = signed_archive(tmp_path)
    assert rewritten(tmp_path, once, KEY).index_descriptor == once.index_descriptor
    assert signed_archive(tmp_path).index_descriptor == once.index_descriptor


def test_every_variant_verifies_under_the_key_and_none_under_another(tmp_path: Path) -> None:
    archive = signed_archive(tmp_path)
    found = verify_archive_signatures(archive, KEY.public)
    assert [signature.variant for signature in found] == ["cpu-fp32", "cpu-int8"]
    assert found[0].files == ("baseline.json", "golden.safetensors", "model.onnx", "serving.json")
    with pytest.raises(SignatureMismatch) as caught:
        verify_archive_signatures(archive, SigningKey.generate(Algorithm.P256).public)
    assert caught.value.where == "cpu-fp32/model.sig"


def test_unsigned_artifact_is_said_to_be_unsigned(tmp_path: Path) -> None:
    archive = read_archive(small_artifact(tmp_path, "demo/motion@1.0.0"))
    with pytest.raises(NotSigned, match="cpu-fp32"):
        verify_archive_signatures(archive, KEY.public)


def test_variant_that_calls_itself_another_release_is_not_signed(tmp_path: Path) -> None:
    """The index says demo/motion@1.0.0, the files inside say otherwise: nobody vouches for that."""
    archive = read_archive(small_artifact(tmp_path, "demo/motion@1.0.0"))
    other = read_archive(small_artifact(tmp_path, "audio/kws@7.0.0"))
    posed = Archive(
        blobs=other.blobs,
        index_descriptor=other.index_descriptor,
        index=other.index,
        release=archive.release,
        variants=other.variants,
    )
    with pytest.raises(InvalidArtifact, match=r"audio/kws@7\.0\.0"):
        sign_archive(posed, KEY)
