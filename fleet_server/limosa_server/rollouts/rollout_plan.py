"""Plans a rollout over what the database holds; writes nothing (rollouts 4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.errors import KnownBad, PlanRefused
from limosa_server.core.modes.eligible import usable
from limosa_server.core.planning.candidates import Candidate, LeftOut, VariantFacts
from limosa_server.core.planning.known_bad import findings_warnings
from limosa_server.core.planning.plan import BytesOf, Plan, make_plan
from limosa_server.rollouts import plan_facts
from limosa_server.rollouts.plan_candidates import candidates, still_holds
from limosa_server.rollouts.plan_facts import USUAL_SHARE, Facts
from limosa_server.rollouts.remarks import remarks
from limosa_server.store import Transaction
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow

USUAL_ROLLOUTS: Final = 3  # the last ones of the model, of which the usual time on a device is read
USUAL_DEVICES_MAX: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A plan, and what it was made of. `spec` is as it was asked for; the plan's waves are fitted."""

    plan: Plan
    spec: RolloutSpec
    facts: Facts
    now: float

    def still_holds(self, tx: Transaction) -> bool:
        """Whether the same plan would be made of what the database holds now.

        Raises NotFound, ReleaseRetracted where it would not be made at all.
        """
        again = plan_facts.read(tx, self.spec, now=self.now)
        despite = frozenset(self.plan.despite)
        return still_holds(self.spec, self.facts, again, despite=despite)


def make(
    tx: Transaction,
    spec: RolloutSpec,
    *,
    salt: str,
    now: float,
    despite: Sequence[int] = (),
    bytes_of: BytesOf | None = None,
    only: Sequence[str] | None = None,
) -> Made:
    """`despite`: rollouts whose findings are set aside. `only`: as if the target were these devices of it;
    nobody else is read.

    Raises NotFound for an unknown release or group, ReleaseRetracted.
    """
    facts = plan_facts.read(tx, spec, now=now, only=only)
    release = replace(facts.shared.release, usual_s=_usual_s(tx, str(spec.release.name)))
    aside = frozenset(despite)
    of_target = candidates(
        facts,
        reachable=plan_facts.reachable(tx, spec, only, now=now),
        gaps=plan_facts.usual_gaps(tx, spec, only),
        despite=aside,
    )
    chosen = usable(spec, release, of_target, salt=salt)
    planned = make_plan(
        spec,
        release,
        chosen.candidates,
        salt=salt,
        bytes_of=bytes_of or (lambda _, variant: variant.size_bytes),
        despite=sorted(aside),
        remarks=[
            *findings_warnings(facts.shared.known, despite=aside),
            *remarks(tx, spec, [one.device for one in chosen.candidates]),
        ],
    )
    planned = replace(planned, arms=chosen.arms) if chosen.arms else planned
    return Made(plan=planned, spec=spec, facts=facts, now=now)


def refuse_bad(planned: Plan) -> None:
    """Raises KnownBad, PlanRefused."""
    if not planned.problems:
        return
    if not any(wave.devices for wave in planned.waves):
        bad = [one.why for one in planned.excluded.values() if one.kind is LeftOut.KNOWN_BAD]
        if bad:
            raise KnownBad(
                f"{planned.spec.release} is known to be bad here", where=planned.spec.target, why=bad[0]
            )
    raise PlanRefused(planned.problems[0], where=planned.spec.target, why="; ".join(planned.problems[1:]))


def _usual_s(tx: Transaction, model: str) -> float | None:
    """From the offer to the commit, as nine of ten devices needed in the last rollouts of the model."""
    last = (
        select(RolloutRow.id)
        .where(RolloutRow.model == model, col(RolloutRow.ended_at).is_not(None))
        .order_by(col(RolloutRow.id).desc())
        .limit(USUAL_ROLLOUTS)
    )
    numbers = list(tx.exec(last).all())
    took = sorted(
        max(0.0, since - offered)
        for since, offered in tx.execute(
            select_columns(col(ExecutionRow.since), col(ExecutionRow.offered_at))
            .where(
                col(ExecutionRow.rollout).in_(numbers),
                col(ExecutionRow.state) == Execution.SUCCEEDED.value,
                col(ExecutionRow.offered_at).is_not(None),
            )
            .limit(USUAL_DEVICES_MAX)
        ).all()
    )
    return took[math.ceil(USUAL_SHARE * len(took)) - 1] if took else None


Sizes = Callable[[str, str], int | None]
"""(manifest that runs, manifest that shall run) -> bytes of the deltas between them, None where unknown."""


def by_delta(sizes: Sizes) -> BytesOf:
    """Bytes to move where deltas are known; each pair of manifests is looked at once."""
    known: dict[tuple[str, str], int | None] = {}

    def bytes_of(one: Candidate, variant: VariantFacts) -> int:
        if not one.running_manifest or not variant.manifest_sha256:
            return variant.size_bytes
        pair = (one.running_manifest, variant.manifest_sha256)
        if pair not in known:
            known[pair] = sizes(*pair)
        found = known[pair]
        return variant.size_bytes if found is None else min(found, variant.size_bytes)

    return bytes_of
