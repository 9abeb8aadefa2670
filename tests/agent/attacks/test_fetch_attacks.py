"""Over a hundred attacks on what a device fetches: refused by name, nothing kept, the next update comes
(trust 3, 4, 7)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from tests.agent.attacks import on_bytes, on_metadata
from tests.agent.attacks.scene import Attack, Before, Scene, check_untouched
from tests.agent.fetch.world import World
from tests.support.hostile_server import hostile_server

ATTACKS: Final[dict[str, Attack]] = {**on_metadata.ATTACKS, **on_bytes.ATTACKS}
BUDGET_S: Final = 20.0  # with the quick limits of the tests; a fetch that hangs is found by it


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_on_a_fetch_is_refused_and_the_next_update_comes(name: str, tmp_path: Path) -> None:
    attack = ATTACKS[name]
    with hostile_server() as server:
        scene = Scene.set(World.make(server, tmp_path / "device"))
        before = Before.of(scene.world)
        attack.do(scene)
        began = time.monotonic()
        answer = scene.fetch()
        assert time.monotonic() - began < BUDGET_S
        if attack.ends:
            assert answer.error, "the attack was not noticed"
            assert answer.error["code"] in attack.ends, answer.error
        else:
            assert not answer.error, answer.error
        check_untouched(scene, tmp_path)
        before.again(scene.world)
        next_one = scene.world.publish("7.0.0", counter=20)
        answer = scene.world.fetch(next_one, committed_counter=3)
        assert not answer.error, f"an honest update after the attack: {answer.error}"


def test_there_are_as_many_attacks_as_are_told_of() -> None:
    assert len(ATTACKS) >= 60
    assert {attack.by for attack in ATTACKS.values()} >= {"captured server", "the network", "another team"}
