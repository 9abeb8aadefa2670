"""Limits that more than one party keeps; each is a named field with its unit (trust 7.3)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractLimits:
    json_max_depth: int = 16  # deeper documents are hostile, ours need six
    document_max_bytes: int = 1024 * 1024  # any JSON document that has no tighter limit
    manifest_max_bytes: int = 64 * 1024  # bounds memory on the smallest device
    mqtt_message_max_bytes: int = 64 * 1024  # desired, reported, events, windows
    tuf_metadata_max_bytes: int = 512 * 1024  # a bin of a large team stays below
    artifact_max_bytes: int = 2 * 1024**3  # one archive, all variants
    blob_max_bytes: int = 1024**3  # one layer
    archive_max_members: int = 4096  # blobs of one archive
    name_max_chars: int = 64  # teams, models, groups, labels
    labels_max: int = 32  # labels of one device
    label_value_max_chars: int = 64  # a label has its key, and may have an empty value
    models_per_device_max: int = 32
    features_max: int = 256  # monitored features of one model
    classes_max: int = 1024  # classes that are counted one by one
    page_size_max: int = 500  # rows of one REST page
    variants_max: int = 64  # variants of one release


LIMITS = ContractLimits()
