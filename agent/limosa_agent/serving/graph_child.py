"""The child that makes optimised graphs: limited as the self-test's, so that no model takes the device along.

What it made it loads again and holds against the golden vectors before it takes its name: a graph that
would not serve is never found by a worker.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from limosa_agent.serving.limited_child import die_with_parent, limit_this_process
from limosa_agent.serving.limits import SelfTestLimits
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonObject

NICE = 5
COPIES = 3  # of the model: what the runtime writes, the graph beside it, and what optimising adds


def main() -> None:
    directory, limits_text, options_text, parent = sys.argv[1:]
    die_with_parent(int(parent))
    limits = SelfTestLimits(**json.loads(limits_text))
    limit_this_process(limits, file_max_bytes=limits.graph_max_bytes)
    os.nice(NICE)
    try:
        said = make(Path(directory), json.loads(options_text), reserve_bytes=limits.graph_reserve_bytes)
    except (LimosaError, OSError, MemoryError) as error:
        said = {"made": False, "why": str(error)[:1000]}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def make(release: Path, options_said: JsonObject, *, reserve_bytes: int = 0) -> JsonObject:
    """`reserve_bytes` stay free on the disk: state and reports need it more.

    Raises LimosaError, OSError, MemoryError."""
    # Only now: the limits must hold while numpy and the runtime are loaded.
    from limosa_agent.serving.files import read_bounded
    from limosa_agent.serving.golden import GoldenVectors, difference
    from limosa_agent.serving.graph_cache import graph_folder, read_graph, write_graph
    from limosa_agent.serving.runtime_onnx import NAME, OnnxRuntime, graph_key, optimised_graph
    from limosa_agent.serving.runtime_options import RuntimeOptions
    from limosa_contracts.limits import LIMITS
    from limosa_contracts.serving import FILE, GOLDEN_FILE, Serving

    options = RuntimeOptions.parse(options_said)
    serving = Serving.parse(read_bounded(release / FILE, LIMITS.document_max_bytes))
    folder = graph_folder(release)
    key = graph_key(release, serving, options) if serving.runtime == NAME and folder else None
    if key is None or folder is None:
        return {"made": False, "why": "this runtime, or these providers, have none"}
    if read_graph(release, key) is not None:
        return {"made": False, "why": "it is there"}
    model = read_bounded(release / serving.model_file, LIMITS.blob_max_bytes)
    folder.mkdir(parents=True, exist_ok=True)
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < COPIES * len(model) + reserve_bytes:
        return {"made": False, "why": "the disk has no room for it"}
    graph = optimised_graph(model, serving, options, folder / "scratch.part")
    runtime = OnnxRuntime.of_graph(graph, serving, options)
    golden = GoldenVectors.parse(read_bounded(release / GOLDEN_FILE, LIMITS.blob_max_bytes), serving)
    for case in golden:
        if not difference(runtime.run(case.inputs), case, serving.golden)[1]:
            return {"made": False, "why": "it does not answer as the golden vectors say"}
    write_graph(release, key, graph)
    return {"made": True, "bytes": len(graph)}


if __name__ == "__main__":
    main()
