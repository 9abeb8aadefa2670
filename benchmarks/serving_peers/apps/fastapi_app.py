"""FastAPI with one JSON endpoint, one uvicorn process (uvloop, httptools)."""

import uvicorn
from bare_model import PORT, BareModel
from fastapi import FastAPI
from pydantic import BaseModel

model = BareModel()
app = FastAPI()


class Row(BaseModel):
    x: list[float]


class Answer(BaseModel):
    y: list[float]


@app.post("/predict")
async def predict(row: Row) -> Answer:
    y = await model.run(row.x)
    return Answer(y=y[0].tolist())


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, access_log=False, log_level="warning")
