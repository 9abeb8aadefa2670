"""The stock `tritonclient[http]` against whatever serves demo/motion@1.0.0 (architecture 1)."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

SCRIPT: Final = """
import sys
import numpy as np
import tritonclient.http as triton
from limosa_devices.demo import motion

rows = motion.load("live").window[:3]
client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("demo/motion") and client.is_model_ready("demo/motion", "1.0.0")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
assert client.get_model_metadata("demo/motion")["inputs"][0]["shape"] == [-1, 6, 100]
assert [item["name"] for item in client.get_model_repository_index()] == ["demo/motion"]
answers = []
for binary_in in (False, True):
    for binary_out in (False, True):
        tensor = triton.InferInput("window", [3, 6, 100], "FP32")
        tensor.set_data_from_numpy(rows, binary_data=binary_in)
        wanted = [triton.InferRequestedOutput("probabilities", binary_data=binary_out)]
        result = client.infer("demo/motion", [tensor], outputs=wanted, request_id="r-7")
        assert result.get_response()["id"] == "r-7"
        assert result.get_response()["model_version"] == "1.0.0"
        answers.append(result.as_numpy("probabilities"))
answers.append(client.infer("demo/motion", [tensor]).as_numpy("probabilities"))  # all outputs, binary
for answer in answers:
    assert answer.shape == (3, 7) and answer.dtype == np.float32
    assert np.allclose(answer, answers[0], atol=1e-6)
    assert np.allclose(answer.sum(axis=1), 1, atol=0.05)  # probabilities of an int8 model come in steps
try:
    client.infer("demo/none", [tensor])
    raise SystemExit("an unknown model answered")
except triton.InferenceServerException as error:
    assert error.status() == "404", error
client.close()
print("stock client content")
"""


INFERENCES: Final = 15  # five requests of three rows


def ask_with_stock_client(port: int) -> None:
    """JSON and binary, both ways; fails with what the client says."""
    # A process of its own: gevent, which the client brings, warns when it is imported late.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stock client content" in done.stdout
