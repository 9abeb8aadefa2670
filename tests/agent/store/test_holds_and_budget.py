"""Holds and the byte budget on devices whose clock is wrong, and over reboots (agent 2.2, 2.3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.store.byte_budget import DAY_S, ByteBudget
from limosa_agent.store.holds import EVERYTHING, Hold, Holds
from limosa_agent.store.moment import Moment, elapsed_s
from limosa_agent.store.state_db import StateDb


def at(since_boot_s: float, *, wall: float = 1000.0, boot: str = "one", trusted: bool = True) -> Moment:
    return Moment(boot=boot, since_boot_s=since_boot_s, wall=wall, trusted=trusted)


def test_clock_that_is_set_meanwhile_ends_no_hold_and_lengthens_none(tmp_path: Path) -> None:
    db = StateDb.open(tmp_path)
    holds = Holds(db)
    holds.put(Hold(scope=EVERYTHING, reason="surgery", since=at(10, wall=0.0, trusted=False), for_s=7200))
    assert holds.now(at(11, wall=4e9))  # 1970 -> 2096
    assert holds.now(at(7200, wall=-50.0))
    assert not holds.now(at(7211, wall=0.0))
    assert Holds(db).now(at(7211)) == ()  # it is gone from disk too
    db.close()


def test_hold_over_a_reboot_lasts_as_asked_and_longer_where_no_clock_tells(
    tmp_path: Path,
) -> None:
    db = StateDb.open(tmp_path)
    Holds(db).put(Hold(scope="demo/motion", reason="", since=at(5, wall=1000), for_s=100))
    later = Holds(db)
    assert later.now(at(1, boot="two", wall=1090))
    assert later.now(at(10, boot="two", wall=0, trusted=False))
    assert not later.now(at(11.5, boot="two", wall=0, trusted=False))
    later.put(Hold(scope="demo/motion", reason="", since=at(5, wall=1000), for_s=100))
    blind = Holds(db)
    assert blind.now(at(1, boot="three", wall=0, trusted=False))
    assert blind.now(at(100, boot="three", wall=0, trusted=False))
    assert not blind.now(at(102, boot="three", wall=0, trusted=False))
    db.close()


def test_hold_without_a_length_lasts_until_it_is_released(tmp_path: Path) -> None:
    db = StateDb.open(tmp_path)
    holds = Holds(db)
    holds.put(Hold(scope=EVERYTHING, reason="", since=at(0)))
    holds.put(Hold(scope="demo/motion", reason="", since=at(0), for_s=5))
    assert holds.release("demo/other") == ()
    assert holds.release("demo/mot") == (), "another model, whose name is a part of this one's"
    assert holds.release("demo/motion") == ("demo/motion",)
    assert Holds(db).now(at(1e9, boot="nine", wall=9e9))
    assert holds.release(None) == (EVERYTHING,)
    db.close()


def test_hold_that_cannot_be_read_holds(tmp_path: Path) -> None:
    db = StateDb.open(tmp_path)
    with db.transaction("rubbish") as connection:
        connection.execute("INSERT INTO holds VALUES ('*', 'rubbish')")
    assert [hold.scope for hold in Holds(db).now(at(1))] == [EVERYTHING]
    db.close()


moments = st.builds(
    Moment,
    boot=st.sampled_from(["", "one", "two"]),
    since_boot_s=st.floats(0, 1e7),
    wall=st.floats(-1e9, 5e9),
    trusted=st.booleans(),
)


@given(moments, moments)
def test_time_never_runs_backwards(then: Moment, now: Moment) -> None:
    gone = elapsed_s(then, now)
    assert gone is None or gone >= 0
    if not (then.trusted and now.trusted) and (then.boot != now.boot or not then.boot):
        assert gone is None


def test_bytes_of_a_day_come_back_evenly_and_a_clock_cannot_make_more(tmp_path: Path) -> None:
    db = StateDb.open(tmp_path)
    budget = ByteBudget(db, per_day=1000)
    assert budget.left(at(0)) == 1000
    budget.spend(1000, at(0))
    assert budget.left(at(0)) == 0
    assert budget.wait_s(at(0)) == pytest.approx(DAY_S / 10)
    assert budget.left(at(1, wall=9e9)) == 0
    assert ByteBudget(db, per_day=1000).left(at(DAY_S / 2)) == 500
    assert ByteBudget(db, per_day=1000).left(at(1, boot="two", wall=9e9, trusted=False)) == 0
    assert ByteBudget(db, per_day=1000).left(at(1, boot="two", wall=1000 + DAY_S)) == 1000
    assert ByteBudget(db, per_day=1000).left(at(9 * DAY_S)) == 1000, "nine days without any save nothing up"
    budget.spend(10**9, at(0))
    assert ByteBudget(db, per_day=1000).wait_s(at(0)) <= 1.2 * DAY_S, "never more than a day in debt"
    assert ByteBudget(db, per_day=0).left(at(0)) is None
    db.set_meta("download_budget", "rubbish")
    assert ByteBudget(db, per_day=1000).left(at(0)) == 1000
    db.close()
