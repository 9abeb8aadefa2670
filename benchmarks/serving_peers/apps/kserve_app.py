"""KServe's Python server: one uvicorn worker, no gRPC, no log line per request."""

from typing import Any
from uuid import uuid4

from bare_model import PORT, BareModel
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Peer(Model):
    def __init__(self) -> None:
        super().__init__("peer")
        self.bare = BareModel()
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        assert isinstance(payload, InferRequest)
        y = await self.bare.run(payload.inputs[0].as_numpy())
        output = InferOutput(name="y", shape=list(y.shape), datatype="FP32")
        output.set_data_from_numpy(y, binary_data=payload.use_binary_outputs)
        return InferResponse(
            response_id=payload.id or str(uuid4()),  # it wants one
            model_name="peer",
            infer_outputs=[output],
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


if __name__ == "__main__":
    ModelServer(http_port=PORT, workers=1, enable_grpc=False, enable_latency_logging=False).start([Peer()])
