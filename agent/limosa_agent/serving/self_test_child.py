"""The child of `self_test.py`: limits itself, loads a release, runs its golden vectors, prints one line."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
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
    import_runtime(serving.runtime)
    before = status_bytes("VmRSS")
    # The model as it came: its optimised graph is made from it only after it has passed.
    options = replace(RuntimeOptions.parse(options_said), graph_cache=False)
    model = LoadedModel(slot, ServingLimits(intra_op_threads=limits.intra_op_threads), options)
    replay = model.replay()
    evidence: dict[str, JsonValue] = {
        "max_abs_error": min(replay.max_abs_error, 1e300),
        "p95_us": replay.p95_us,
        "run_us": model.run_us,
        "peak_rss_bytes": status_bytes("VmHWM"),
        "memory_bytes": max(0, status_bytes("VmHWM") - before),
        "cases": replay.n,
        "failed": replay.failed,
    }
    if replay.failed:
        text = f"{replay.failed} of {replay.n} golden cases differ, by {replay.max_abs_error:.3g} at most"
        return _bad(GoldenMismatch.reason_code, text, evidence)
    return {"ok": True, "reason_code": None, "message": "", "evidence": evidence}


def import_runtime(name: str) -> None:
    """What the runtime takes by itself is not laid at the model's door (agent 4.1)."""
    modules = {
        "onnxruntime": "limosa_agent.serving.runtime_onnx",
        "litert": "limosa_agent.serving.runtime_litert",
    }
    if name in modules:
        with suppress(ImportError):  # loading the model says so
            import_module(modules[name])


def status_bytes(name: str) -> int:
    """A size of this program as Linux counts it: VmRSS now, VmHWM at most since exec; 0 where it does not."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    lines = (line.partition(":") for line in status.splitlines())
    return next((int(value.split()[0]) * 1024 for key, _, value in lines if key == name), 0)


def _bad(reason_code: str, message: str, evidence: JsonObject) -> JsonObject:
    return {"ok": False, "reason_code": reason_code, "message": message[:1000], "evidence": evidence}


if __name__ == "__main__":
    main()
