"""The captured server: an attacker with the whole server folder and every online key (trust, promise).

One real agent with a real model; the attacker signs desired states, snapshots and timestamps as it
likes. It can delay. What it cannot do is make the device run an unsigned, lower or unfit model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest

from limosa_contracts.desired import DesiredModel, Trial
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import Requirements
from limosa_contracts.permit import DowngradePermit
from limosa_contracts.phases import Phase
from tests.agent.attacks.scene import STRANGER_P256, Before, as_object
from tests.agent.device import Device, files_of
from tests.agent.fetch.world import Published
from tests.agent.fleet import Fleet
from tests.agent.serving.releases import tiny_plan

ENDED: Final = {Phase.REJECTED.value, Phase.COMMITTED.value, Phase.FELL_BACK.value}
LAX: Final = Trial(
    inferences=1, seconds=0.1, max_error_ratio=1.0, max_latency_ratio=1000.0, max_class_distance=1.0
)


class Attacker:
    """Holds `fleet.world.keys.server` and everything the server ever sent."""

    def __init__(self, device: Device, fleet: Fleet, first: Published, second: Published) -> None:
        self.device = device
        self.fleet = fleet
        self.first = first
        self.second = second
        self.moves = 0

    def want(self, version: str, index: str, *, model: str = "demo/motion", **more: Any) -> str:
        self.moves += 1
        rollout = f"evil-{self.moves}"
        self.fleet.want_models(
            DesiredModel(model=model, version=version, index_sha256=index, rollout=rollout, trial=LAX, **more)
        )
        return rollout

    def ended(self, rollout: str) -> bool:
        return bool(ENDED & set(self.fleet.phases(rollout)))

    def evil_release(self, key: str) -> str:
        """A model of its own, listed and signed with what it has."""
        world = self.fleet.world
        files = files_of(tiny_plan("6.6.6", factor=666.0), self.device.folder / f"evil-{self.moves}")
        made = world.publish("6.6.6", files, tuf_key=world.online_key(key), oms_key=STRANGER_P256, counter=66)
        return self.want("6.6.6", made.index_sha256)

    def lower_release(self) -> str:
        return self.want("1.0.0", self.first.index_sha256)

    def lower_release_as_a_shadow(self) -> str:
        return self.want("1.0.0", self.first.index_sha256, mode="shadow")

    def lower_release_by_its_own_permit(self) -> str:
        permit = DowngradePermit(model="demo/motion", from_version="2.0.0", to_version="1.0.0")
        signed = as_object(permit.sign(self.fleet.world.online_key("director")).encode())
        return self.want("1.0.0", self.first.index_sha256, permit=signed)

    def lower_release_by_another_name(self) -> str:
        return self.want("9.0.0", self.first.index_sha256)

    def lower_release_as_another_model(self) -> str:
        return self.want("1.0.0", self.first.index_sha256, model="demo/other")

    def release_that_nobody_signed(self) -> str:
        return self.want("9.9.9", "ee" * 32)

    def older_view_of_the_repository(self) -> str:
        self.fleet.world.freeze(version=1)
        return self.lower_release()

    def release_for_other_hardware(self) -> str:
        """Honestly signed, for another kind of device."""
        needs = {"int8": Requirements(architectures=("s390x",))}
        files = files_of(tiny_plan("4.0.0", factor=4.0), self.device.folder / "other-hardware")
        made = self.fleet.world.publish("4.0.0", files, variants=needs)
        return self.want("4.0.0", made.index_sha256)

    def other_weights_of_an_honest_release(self) -> str:
        files = files_of(tiny_plan("5.0.0", factor=5.0), self.device.folder / "honest")
        made = self.fleet.world.publish("5.0.0", files)
        evil = files_of(tiny_plan("5.0.0", factor=666.0), self.device.folder / "swapped")
        name = ReleaseName.parse("demo/motion@5.0.0").name
        path = f"/v2/{name}/blobs/sha256:{made.blob('model.onnx')}"
        self.fleet.world.server.files[path] = evil["model.onnx"]
        return self.want("5.0.0", made.index_sha256)


MOVES: Final[dict[str, Callable[[Attacker], str]]] = {
    "a model of its own, listed with the snapshot's key": lambda a: a.evil_release("snapshot"),
    "a model of its own, listed with the director's key": lambda a: a.evil_release("director"),
    "the release before": Attacker.lower_release,
    "the release before, as a shadow": Attacker.lower_release_as_a_shadow,
    "the release before, with a permit of its own": Attacker.lower_release_by_its_own_permit,
    "the release before, under a new version": Attacker.lower_release_by_another_name,
    "the release before, as another model": Attacker.lower_release_as_another_model,
    "a release that nobody signed": Attacker.release_that_nobody_signed,
    "an older view of the repository": Attacker.older_view_of_the_repository,
    "a release for other hardware": Attacker.release_for_other_hardware,
    "other weights under an honest digest": Attacker.other_weights_of_an_honest_release,
}


@pytest.mark.timeout(240)
def test_captured_server_makes_no_device_run_an_unsigned_lower_or_unfit_model(
    device: Device, fleet: Fleet
) -> None:
    device.start()
    first = device.publish("1.0.0")
    fleet.want(first, rollout="r1", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r1"), "1.0.0 committed")
    second = device.publish("2.0.0")
    fleet.want(second, rollout="r2", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "2.0.0 committed")
    attacker = Attacker(device, fleet, first, second)
    for name, move in MOVES.items():
        before = Before.of(fleet.world)
        rollout = move(attacker)
        device.wait_for(partial(attacker.ended, rollout), f"an end of: {name}")
        assert ENDED & set(fleet.phases(rollout)) == {Phase.REJECTED.value}, name
        assert device.ask(1.0) == 2.0, f"after {name} the good model answers"
        before.again(fleet.world)
    third = device.publish("8.0.0", counter=100)
    fleet.want(third, rollout="r3", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r3"), "the next honest release committed")
    assert device.ask(1.0) == 8.0
    assert device.stop() == 0


def test_device_that_keeps_its_models_loses_none_to_a_captured_director(device: Device, fleet: Fleet) -> None:
    device.write_config(**{"update.removable": False})
    device.start()
    first = device.publish("1.0.0")
    fleet.want(first, rollout="r1", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r1"), "1.0.0 committed")
    Attacker(device, fleet, first, first).want("1.0.0", first.index_sha256, mode="absent")
    device.wait_for(lambda: fleet.order() == fleet.counter, "the order has arrived")
    assert device.ask(1.0) == 1.0
    reported = fleet.reported()
    assert reported is not None
    assert reported.extra["held"] == ["setting:removable"]
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2"), "an honest order is obeyed")
    assert not fleet.phases("evil-1")
    assert device.stop() == 0
