"""What operators asked single devices, and what those answered (server 3.1). Kept for a day."""

from __future__ import annotations

from typing import Any

from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import json_field


class CommandRow(SQLModel, table=True):
    """`state`: sent | done | refused; one that is past `expires_at` and still `sent` had no answer."""

    __tablename__ = "commands"

    id: str = Field(primary_key=True)
    device: str = Field(foreign_key="devices.id", index=True)
    kind: str
    asked: dict[str, Any] = json_field()  # the command as it was sent
    created_at: float = Field(index=True)
    created_by: str
    expires_at: float
    state: str = "sent"
    why: str = ""
    cut: bool = False
    answered_at: float | None = None  # by the server's clock
    answer: dict[str, Any] = json_field()
