"""MLServer's model class. The model runs in the server's own process: its fastest way here."""

from typing import Any

from bare_model import BareModel
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Peer(MLModel):
    async def load(self) -> bool:
        self.bare = BareModel()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        y: Any = await self.bare.run(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(id=payload.id, model_name="peer", outputs=[NumpyCodec.encode_output("y", y)])
