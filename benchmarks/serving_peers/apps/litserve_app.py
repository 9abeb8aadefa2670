"""LitServe: one API server, one worker process per model thread, its fast queue (ZeroMQ)."""

import litserve
from bare_model import PORT, THREADS, BareModel


class Api(litserve.LitAPI):
    def setup(self, device):
        self.bare = BareModel()

    def decode_request(self, request):  # an annotation would make a query parameter of it
        return request["x"]

    def predict(self, x):
        return self.bare.now(x)

    def encode_response(self, output):
        return {"y": output[0].tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=THREADS, fast_queue=True)
    server.run(
        host="127.0.0.1", port=PORT, num_api_servers=1, generate_client_file=False, log_level="warning",
        access_log=False,
    )  # fmt: skip
