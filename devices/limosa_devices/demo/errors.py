"""Errors of the demo."""

from __future__ import annotations

from limosa_contracts.errors import FaultError


class ProcessFailed(FaultError):
    code = "LM-701"
    summary = "a process that the demo started ended with an error"
    default_hint = "limosa demo --keep leaves the folder with every log"


class DemoIncomplete(FaultError):
    code = "LM-702"
    summary = "the demo ran, but not everything it promises was observed"
    default_hint = "limosa demo --keep leaves the folder with every log"
