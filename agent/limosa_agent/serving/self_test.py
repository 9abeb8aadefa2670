"""Tries a release before it may serve, in a child that cannot take the device with it (agent 4.1).

Imported by the supervisor: nothing heavy here. The child is `self_test_child.py`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from limosa_agent.serving.errors import GoldenMismatch, LoadFailed, SelfTestFailed
from limosa_agent.serving.graph_maker import in_words, make_graph
from limosa_agent.serving.limited_child import Ended, module_command, run_limited
from limosa_agent.serving.limits import SelfTestLimits
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

log = logging.getLogger(__name__)

CHILD: Final = "limosa_agent.serving.self_test_child"
REASONS: Final = ("", GoldenMismatch.reason_code, LoadFailed.reason_code, SelfTestFailed.reason_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestResult:
    """`reason_code`: "" if ok, golden_mismatch, load_failed, or self_test_failed (limits, crash).

    `evidence`: max_abs_error, p95_us, peak_rss_bytes, cases, failed, and `exit`: how the child ended.
    """

    ok: bool
    reason_code: str = ""
    message: str = ""
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)


async def run_self_test(
    directory: str | os.PathLike[str], limits: SelfTestLimits, options: RuntimeOptions | None = None
) -> SelfTestResult:
    """Loads what lies in `directory` and runs its golden vectors, in the runtime and with the options
    that it will serve with. Never raises for a bad release.

    Of a release that passes, the optimised graph is made as well, where `options` ask for it.
    """
    options = options or RuntimeOptions()
    command = module_command(
        CHILD,
        os.fspath(directory),
        encode_canonical(limits.as_json()).decode(),
        encode_canonical(options.as_json()).decode(),
        str(os.getpid()),
    )
    result = judge(await run_limited(command, limits), limits)
    if result.ok and options.graph_cache:
        said = await make_graph(directory, limits, options)
        log.info("optimised graph of %s: %s", Path(directory).name[:12], in_words(said))
    return result


def judge(ended: Ended, limits: SelfTestLimits) -> SelfTestResult:
    """What the end of the child and its words mean. Pure."""
    how = ended.signal_name or str(ended.returncode)
    if ended.over_time:
        return _failed(f"no end after {limits.wall_max_s:g} s", how)
    if ended.signal_name == "SIGXCPU":
        return _failed(f"used more than {limits.cpu_max_s} s of processor time", how)
    if ended.signal_name:
        return _failed(f"the child was ended by {ended.signal_name}", how)
    try:
        said = Fields(
            parse_object(ended.output, what="self-test", max_bytes=limits.output_max_bytes), where="self-test"
        )
        return SelfTestResult(
            ok=said.boolean("ok") and ended.returncode == 0,
            reason_code=said.choice("reason_code", REASONS) if said.has("reason_code") else "",
            message=said.text("message", empty=True),
            evidence={**said.object("evidence"), "exit": how},
        )
    except LimosaError as error:
        return _failed(f"the child exited with {ended.returncode} and no verdict: {error}", how)


def _failed(message: str, how: str) -> SelfTestResult:
    return SelfTestResult(
        ok=False, reason_code=SelfTestFailed.reason_code, message=message, evidence={"exit": how}
    )
