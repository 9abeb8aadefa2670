"""What can go wrong around health checks. LM-524 to LM-526.

FaultError      ProbeUnsafe
"""

from __future__ import annotations

from limosa_contracts.errors import FaultError


class ProbeUnsafe(FaultError):
    code = "LM-524"
    summary = "a probe's program is not run: it is missing, or others than root and the agent can change it"
    default_hint = "chown root and chmod go-w the program and every folder above it"
