"""Releases as their teams signed them, and what is pushed to the registry."""

from __future__ import annotations

from typing import Any

from sqlalchemy import UniqueConstraint, false
from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import json_field, json_list


class Release(SQLModel, table=True):
    """`model` is `team/model`; `stage`: staging | production | archived."""

    __tablename__ = "releases"
    __table_args__ = (UniqueConstraint("model", "version"),)

    id: int | None = Field(default=None, primary_key=True)
    model: str = Field(index=True)
    version: str
    index_sha256: str = Field(index=True)
    release_counter: int
    may_return_to: list[str] = json_list()  # versions
    min_agent: str = "0.1.0"
    stage: str = Field(default="staging", index=True)
    published_at: float
    published_by: str
    size_bytes: int  # of all variants together
    retracted_at: float | None = None
    retracted_by: str = Field(default="", sa_column_kwargs={"server_default": ""})
    retract_reason: str = Field(default="", sa_column_kwargs={"server_default": ""})
    delisted: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # by its team
    collected_at: float | None = None  # its bytes are gone, the record stays


class Variant(SQLModel, table=True):
    """One manifest of a release. `requires` is `limosa_contracts.oci.Requirements` as JSON."""

    __tablename__ = "variants"
    __table_args__ = (UniqueConstraint("release_id", "manifest_sha256"),)

    id: int | None = Field(default=None, primary_key=True)
    release_id: int = Field(foreign_key="releases.id", index=True)
    position: int  # order in the index: best first
    name: str
    manifest_sha256: str
    size_bytes: int
    precision: str = ""
    baseline_id: str = ""  # 16 hex digits; "" for a variant that monitors nothing
    requires: dict[str, Any] = json_field()


class RepositoryBlob(SQLModel, table=True):
    """A blob (or manifest) that was pushed to a repository; the bytes are in the blob folder."""

    __tablename__ = "repository_blobs"

    repository: str = Field(primary_key=True)  # team/model
    sha256: str = Field(primary_key=True)
    size: int
    media_type: str = ""  # "" for a plain blob
    pushed_at: float


class RepositoryTag(SQLModel, table=True):
    __tablename__ = "repository_tags"

    repository: str = Field(primary_key=True)
    tag: str = Field(primary_key=True)
    sha256: str
    updated_at: float


class TufRole(SQLModel, table=True):
    """The current version of each targets role; what the next snapshot lists."""

    __tablename__ = "tuf_roles"

    role: str = Field(primary_key=True)
    version: int
    team: str = Field(default="", index=True)  # "" for the top role
    body: str  # the signed metadata, as it is served
