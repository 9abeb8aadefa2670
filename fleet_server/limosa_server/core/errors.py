"""Errors of groups and rollouts: LM-650 to LM-699.

RequestError
  GroupIsSelected, GroupExists, PlanStale, KeyReused, ApprovalRefused
VerdictError
  PlanRefused, KnownBad, GateNotPassed, ReleaseRetracted
"""

from __future__ import annotations

from limosa_contracts.errors import RequestError, VerdictError


class PlanRefused(VerdictError):
    code = "LM-650"
    summary = "a rollout cannot start as it is: no device can take it, or a wave is empty"
    default_hint = "limosa rollout plan FILE"


class PlanStale(RequestError):
    code = "LM-651"
    summary = "the group, the release or the file is not as it was planned"
    http_status = 409
    default_hint = "plan again: limosa rollout plan FILE --json > plan.json"


class KnownBad(VerdictError):
    code = "LM-652"
    summary = "this very release failed before on devices of the target"
    default_hint = "publish a corrected version; a release cannot be repaired"


class GateNotPassed(VerdictError):
    code = "LM-642"
    summary = "a release has not shown what its promotion gate asks for"
    default_hint = "limosa release show NAME@VERSION says what is missing"


class ReleaseRetracted(VerdictError):
    code = "LM-643"
    summary = "a release was retracted, or cannot be installed any more"
    default_hint = "start a rollout of another version: limosa release list"


class GroupIsSelected(RequestError):
    code = "LM-653"
    summary = "the members of a group with a selector follow from labels, not from names"
    http_status = 409
    default_hint = "change the device's labels, or make a static group"


class GroupExists(RequestError):
    code = "LM-654"
    summary = "there is a group of this name already"
    http_status = 409
    default_hint = "limosa group show NAME"


class KeyReused(RequestError):
    code = "LM-655"
    summary = "an idempotency key was used before for another request"
    http_status = 409
    default_hint = "use a new key for each rollout"


class ApprovalRefused(RequestError):
    code = "LM-616"
    summary = "this person may not approve or deny this rollout, or not now"
    http_status = 409
    default_hint = "limosa rollout status ROLLOUT says for whom it waits"
