"""What a bound token sees, as conditions of a database and as plain answers: one rule (trust 6.4)."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlmodel import select

from limosa_server.access.scope import WHOLE, Scope
from limosa_server.store import Store
from limosa_server.tables.releases import Release
from tests.fleet_server.databases import Database

MODELS = ("vis/detector", "vision/detector", "vi_ion/detector", "v/is")


@pytest.mark.parametrize("team", ["vis", "vision", "vi_ion", "v", "%", ""])
def test_a_team_sees_its_own_models_and_none_of_a_team_whose_name_begins_alike(
    database: Database, team: str
) -> None:
    scope = Scope(team=team) if team else WHOLE
    with closing(Store.open(database.place())) as store, store.transaction() as tx:
        for number, model in enumerate(MODELS):
            tx.add(
                Release(
                    model=model,
                    version="1.0.0",
                    index_sha256=f"{number:064}",
                    release_counter=1,
                    published_at=1.0,
                    published_by="test",
                    size_bytes=1,
                )
            )
        tx.flush()
        found = set(tx.exec(select(Release.model).where(scope.models(Release.model))))
    assert found == {model for model in MODELS if scope.sees_model(model)}
    assert found == {model for model in MODELS if team in ("", model.partition("/")[0])}


def test_nobody_hands_out_more_than_they_have() -> None:
    both = Scope(team="vision", group="lab")
    assert both.within(WHOLE)
    assert both.within(Scope(team="vision"))
    assert both.within(Scope(group="lab"))
    assert not Scope(team="vision").within(both)
    assert not Scope(team="audio", group="lab").within(both)
    assert not Scope(team="vision", group="hq").within(both)
