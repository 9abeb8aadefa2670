"""Groups follow labels when those change, and never by looking at the whole fleet (rollouts 3.6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func
from sqlmodel import col, select

from limosa_contracts.selector import Operator, Requirement, Selector
from limosa_server.fleet import groups, labels, membership
from limosa_server.fleet.selector_sql import selected
from limosa_server.store import Store, Transaction
from limosa_server.tables.devices import Device, DeviceLabel, LabelSource
from limosa_server.tables.groups import Group, Membership
from tests.fleet_server.databases import Database
from tests.fleet_server.fleet.counting import counted

pytestmark = pytest.mark.both_databases
NOW = 1_700_000_000.0


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    opened = Store.open(database.place())
    yield opened
    opened.close()


def add_devices(tx: Transaction, count: int, **said: str) -> list[str]:
    names = [f"d{i:05}" for i in range(count)]
    tx.add_all([Device(id=name, enrolled_at=NOW) for name in names])
    tx.flush()
    labels.set_many(tx, dict.fromkeys(names, said), source=labels.DEVICE)
    return names


def add_group(tx: Transaction, name: str, selector: str) -> Group:
    return groups.create(tx, name, selector=Selector.parse(selector), description="", now=NOW, actor="test")


def members(tx: Transaction, group: str) -> set[str]:
    return set(tx.exec(select(Membership.device).where(Membership.group == group)))


def check_sizes(tx: Transaction) -> None:
    """What is kept is what a count would give."""
    for group in tx.exec(select(Group)):
        count = select(func.count()).select_from(Membership).where(Membership.group == group.name)
        assert group.devices == tx.exec(count).one(), group.name


def test_statements_of_a_change_grow_neither_with_the_fleet_nor_with_the_devices_changed(
    store: Store,
) -> None:
    with store.transaction() as tx:
        names = add_devices(tx, 400, site="lab")
        for i in range(20):
            add_group(tx, f"g{i}", f"site=lab,tier notin (t{i})")
    asked: list[int] = []
    for some in (names[:1], names[:300]):
        with store.transaction() as tx, counted(store) as statements:
            changed = labels.set_many(tx, {name: {"site": "hq"} for name in some}, source=labels.OPERATOR)
            moved = membership.follow(tx, changed, now=NOW + 1)
            asked.append(len(statements))
        assert len(moved) == 20
    assert asked[0] == asked[1] <= 14
    with store.read() as tx:
        assert members(tx, "g0") == set(names[300:])
        check_sizes(tx)
        assert tx.get_one(Group, "g0").devices == 100


def test_a_change_that_changes_no_label_asks_two_things_and_writes_none(store: Store) -> None:
    with store.transaction() as tx:
        names = add_devices(tx, 50, site="lab")
    with store.transaction() as tx, counted(store) as statements:
        assert labels.set_many(tx, {name: {"site": "lab"} for name in names}, source=labels.DEVICE) == []
        assert len(statements) <= 2
        assert not any(one.startswith(("INSERT", "UPDATE", "DELETE")) for one in statements)


def test_a_group_by_selector_is_made_in_one_statement_however_large_the_fleet(store: Store) -> None:
    with store.transaction() as tx:
        names = add_devices(tx, 1200, site="lab")
        labels.set_labels(tx, names[7], {"old": "1"}, source=labels.OPERATOR)
        with counted(store) as statements:
            add_group(tx, "fresh", "site=lab,!old")
        assert len(statements) <= 8
        assert members(tx, "fresh") == set(names) - {names[7]}
        check_sizes(tx)


def test_a_label_of_the_device_comes_back_when_the_operators_is_taken_away(store: Store) -> None:
    with store.transaction() as tx:
        (name,) = add_devices(tx, 1, site="lab")
        add_group(tx, "hq", "site=hq")
        add_group(tx, "lab", "site=lab")
        for operators, holds in (({"site": "hq"}, "hq"), ({}, "lab")):
            assert labels.set_labels(tx, name, operators, source=labels.OPERATOR)
            membership.follow(tx, [name], now=NOW)
            assert members(tx, holds) == {name}
            assert tx.get_one(DeviceLabel, (name, "site")).value == holds
        check_sizes(tx)


def test_the_device_says_what_the_operator_says_already_and_nothing_moves(store: Store) -> None:
    with store.transaction() as tx:
        (name,) = add_devices(tx, 1)
        assert labels.set_labels(tx, name, {"site": "hq"}, source=labels.OPERATOR)
        assert not labels.set_labels(tx, name, {"site": "hq"}, source=labels.DEVICE)
        assert tx.get_one(DeviceLabel, (name, "site")).source == labels.OPERATOR
        assert not labels.set_labels(tx, name, {}, source=labels.OPERATOR)
        assert tx.get_one(DeviceLabel, (name, "site")).source == labels.DEVICE


def test_a_device_that_is_not_active_is_selected_by_nothing_not_even_by_what_it_lacks(store: Store) -> None:
    with store.transaction() as tx:
        name, other = add_devices(tx, 2)
        add_group(tx, "new", "!old")
        assert members(tx, "new") == {name, other}
        tx.get_one(Device, name).state = "decommissioned"
        membership.follow(tx, [name], now=NOW)
        assert members(tx, "new") == {other}
        add_group(tx, "also-new", "!old")
        assert members(tx, "also-new") == {other}
        check_sizes(tx)


KEYS = st.sampled_from(("site", "tier", "gpu", "old"))
VALUES = st.sampled_from(("", "hq", "lab", "dev", "HQ"))
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)
REQUIREMENTS = st.builds(
    lambda key, operator, values: Requirement(
        key=key,
        operator=operator,
        values=tuple(sorted(values)) if operator in (Operator.IN, Operator.NOT_IN) else (),
    ),
    KEYS,
    st.sampled_from(Operator),
    st.sets(VALUES.filter(bool), min_size=1, max_size=3),
)
SELECTORS = st.builds(lambda found: Selector(tuple(found)), st.lists(REQUIREMENTS, min_size=1, max_size=4))


def by_python(selector: Selector, has: dict[str, str]) -> bool:
    """The grammar's meaning once more, written by its definition (Kubernetes, Labels and Selectors)."""
    answers = []
    for one in selector.requirements:
        there = one.key in has
        match one.operator.value:
            case "in":
                answers.append(there and has[one.key] in set(one.values))
            case "notin":
                answers.append(not there or has[one.key] not in set(one.values))
            case "exists":
                answers.append(there)
            case _:
                answers.append(not there)
    return False not in answers


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(fleet=st.lists(LABELS, min_size=1, max_size=6), wanted=st.lists(SELECTORS, min_size=1, max_size=6))
def test_a_selector_means_the_same_in_sql_in_memory_and_by_its_definition(
    store: Store, fleet: list[dict[str, str]], wanted: list[Selector]
) -> None:
    with store.transaction() as tx:
        clear(tx)
        names = [f"p{i}" for i in range(len(fleet))]
        tx.add_all([Device(id=name, enrolled_at=NOW) for name in names])
        tx.flush()
        labels.set_many(tx, dict(zip(names, fleet, strict=True)), source=labels.DEVICE)
        for selector in wanted:
            again = Selector.parse(str(selector))
            expected = {name for name, has in zip(names, fleet, strict=True) if by_python(selector, has)}
            assert {n for n, has in zip(names, fleet, strict=True) if again.matches(has)} == expected
            assert set(tx.exec(select(Device.id).where(selected(again)))) == expected


CHANGES = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(labels.SOURCES), LABELS, st.booleans()), max_size=12
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=CHANGES, wanted=st.lists(SELECTORS, min_size=1, max_size=4))
def test_whatever_changes_in_whatever_order_members_are_those_that_match_now(
    store: Store, changes: list[tuple[int, str, dict[str, str], bool]], wanted: list[Selector]
) -> None:
    said: dict[str, dict[str, dict[str, str]]] = {f"p{i}": {} for i in range(5)}
    with store.transaction() as tx:
        clear(tx)
        tx.add_all([Device(id=name, enrolled_at=NOW) for name in said])
        for i, selector in enumerate(wanted):
            add_group(tx, f"g{i}", str(selector))
        active = dict.fromkeys(said, True)
        for number, source, new, stays in changes:
            name = f"p{number}"
            said[name][source] = new
            active[name] = stays
            tx.get_one(Device, name).state = "active" if stays else "decommissioned"
            labels.set_labels(tx, name, new, source=source)
            membership.follow(tx, [name], now=NOW)
        check_sizes(tx)
        for i, selector in enumerate(wanted):
            assert members(tx, f"g{i}") == {
                name
                for name in said
                if active[name]
                and by_python(selector, {k: v for k, (v, _) in labels.holding(said[name]).items()})
            }


def clear(tx: Transaction) -> None:
    for kind in (Membership, Group, DeviceLabel, LabelSource, Device):
        for row in tx.exec(select(kind)).all():
            tx.delete(row)
        tx.flush()
    assert tx.exec(select(func.count()).select_from(Device).where(col(Device.id) != "")).one() == 0
