"""The application on a device: it asks for predictions all the time, and notes each that fails."""

from __future__ import annotations

import http.client
import json
import threading
import time

import numpy as np

from limosa_devices.demo.motion import INPUT_NAME, OUTPUT_NAME, Motion
from limosa_devices.demo.verdict import Failure

REQUEST_TIMEOUT_S = 10.0


class LiveStream:
    """Sends the live people's windows, shuffled over exercises, to one agent (binary tensors)."""

    def __init__(self, *, device: str, port: int, motion: Motion, seed: int, every_s: float) -> None:
        self.device = device
        self.port = port
        self.requests = 0
        self.failures: list[Failure] = []
        self.answers: dict[int, int] = {}
        self._windows = motion.window
        self._order = np.random.default_rng(seed).permutation(len(motion.window))
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stream-{device}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(REQUEST_TIMEOUT_S + 1)

    def _run(self) -> None:
        connection = self._connect()
        at = 0
        while not self._stopped.wait(self._every_s):
            window = self._windows[self._order[at % len(self._order)]]
            at += 1
            self.requests += 1
            try:
                self._ask(connection, window)
            except (OSError, http.client.HTTPException) as error:
                self._failed(f"{type(error).__name__}: {error}", broken=True)
                connection.close()
                connection = self._connect()
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_S)

    def _ask(self, connection: http.client.HTTPConnection, window: np.ndarray) -> None:
        raw = np.ascontiguousarray(window[None], np.float32).tobytes()
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": INPUT_NAME,
                        "datatype": "FP32",
                        "shape": [1, *window.shape],
                        "parameters": {"binary_data_size": len(raw)},
                    }
                ]
            }
        ).encode()
        headers = {
            "Inference-Header-Content-Length": str(len(head)),
            "Content-Type": "application/octet-stream",
        }
        connection.request("POST", "/v2/models/demo/motion/infer", body=head + raw, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if not 200 <= answer.status < 300:
            text = body[:200].decode(errors="replace")
            self._failed(f"HTTP {answer.status}: {text}", broken=False)
            return
        self._note(json.loads(body))

    def _failed(self, what: str, *, broken: bool) -> None:
        self.failures.append(Failure(device=self.device, at=time.time(), what=what, broken=broken))

    def _note(self, answer: dict[str, object]) -> None:
        outputs = answer["outputs"]
        if not isinstance(outputs, list):
            raise http.client.HTTPException("an answer without outputs")
        for output in outputs:
            if output["name"] == OUTPUT_NAME:
                top = int(np.argmax(output["data"]))
                self.answers[top] = self.answers.get(top, 0) + 1
