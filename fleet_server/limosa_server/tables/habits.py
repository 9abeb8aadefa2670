"""How long each device is usually away, so that silence is judged by its own habits (rollouts 3.4)."""

from __future__ import annotations

from sqlmodel import Field, SQLModel

from limosa_server.tables.columns import json_list


class DeviceHabit(SQLModel, table=True):
    """`spans_s`: seconds spent in gaps of each length, by powers of two (core.habit.Habit)."""

    __tablename__ = "device_habits"

    device: str = Field(primary_key=True, foreign_key="devices.id")
    observed_to: float  # up to when `spans_s` has counted, Unix seconds
    spans_s: list[float] = json_list()
