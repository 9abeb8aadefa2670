"""BentoML: one worker, an asynchronous API over the shared model, access log off."""

import bentoml
import numpy as np
from bare_model import BareModel


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, traffic={"timeout": 60})
class Peer:
    def __init__(self) -> None:
        self.model = BareModel()

    @bentoml.api
    async def predict(self, x: np.ndarray) -> np.ndarray:
        y: np.ndarray = await self.model.run(x)
        return y
