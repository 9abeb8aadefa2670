"""The child of `self_test.py`: limits itself, loads a release, runs its golden vectors, prints one line."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from limosa_agent.serving.errors import GoldenMismatch, LoadFailed, SelfTestFailed
from limosa_agent.serving.limited_child import die_with_parent, limit_this_process
from limosa_agent.serving.limits import SelfTestLimits, ServingLimits
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonObject, JsonValue


def main() -> None:
    directory, limits_text, options_text, parent = sys.argv[1:]
    die_with_parent(int(parent))
    limits = SelfTestLimits(**json.loads(limits_text))
    limit_this_process(limits)
    try:
        verdict = try_release(Path(directory), limits, json.loads(options_text))
    except LoadFailed as error:
        verdict = _bad(LoadFailed.reason_code, str(error), {})
    except LimosaError as error:
        verdict = _bad(LoadFailed.reason_code, str(error), {"code": error.code})
    except MemoryError:
        text = f"needs more than {limits.memory_max_bytes} bytes of memory"
        verdict = _bad(SelfTestFailed.reason_code, text, {})
    sys.stdout.write(json.dumps(verdict) + "\n")
    sys.stdout.flush()


def try_release(directory: Path, limits: SelfTestLimits, options_said: JsonObject) -> JsonObject:
    """Raises LimosaError, MemoryError."""
    # Only now: the limits must hold while numpy and the runtime are loaded.
    from limosa_agent.serving.files import read_bounded
    from limosa_agent.serving.loaded_model import LoadedModel
    from limosa_agent.serving.runtime_options import RuntimeOptions
    from limosa_agent.serving.slot_ref import SlotRef
    from limosa_contracts.limits import LIMITS
    from limosa_contracts.serving import FILE, Serving

    serving = Serving.parse(read_bounded(directory / FILE, LIMITS.document_max_bytes))
    slot = SlotRef(
        model=serving.model, version=serving.version, manifest_sha256="0" * 64, directory=str(directory)
    )
    # The model as it came: its optimised graph is made from it only after it has passed.
    options = replace(RuntimeOptions.parse(options_said), graph_cache=False)
    model = LoadedModel(slot, ServingLimits(intra_op_threads=limits.intra_op_threads), options)
    replay = model.replay()
    evidence: dict[str, JsonValue] = {
        "max_abs_error": min(replay.max_abs_error, 1e300),
        "p95_us": replay.p95_us,
        "peak_rss_bytes": peak_rss_bytes(),
        "cases": replay.n,
        "failed": replay.failed,
    }
    if replay.failed:
        text = f"{replay.failed} of {replay.n} golden cases differ, by {replay.max_abs_error:.3g} at most"
        return _bad(GoldenMismatch.reason_code, text, evidence)
    return {"ok": True, "reason_code": None, "message": "", "evidence": evidence}


def peak_rss_bytes() -> int:
    """Of this program since exec; 0 where /proc does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _bad(reason_code: str, message: str, evidence: JsonObject) -> JsonObject:
    return {"ok": False, "reason_code": reason_code, "message": message[:1000], "evidence": evidence}


if __name__ == "__main__":
    main()
