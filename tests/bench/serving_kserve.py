"""kserve's own model server with ONNX Runtime: `serving_kserve.py HTTP GRPC THREADS NAME=FILE..`."""

import logging
import sys

import onnxruntime
from kserve import InferOutput, InferResponse, Model, ModelServer


class Network(Model):
    def __init__(self, name, file, threads):
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(file, options)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        [given] = payload.inputs
        [array] = self.session.run(None, {given.name: given.as_numpy()})
        output = InferOutput(self.session.get_outputs()[0].name, list(array.shape), "FP32")
        # As bytes where it was asked as bytes.
        output.set_data_from_numpy(array, binary_data=given.data is None or payload.from_grpc)
        return InferResponse(payload.id or "1", self.name, [output])


if __name__ == "__main__":
    http, grpc, threads, *networks = sys.argv[1:]
    logging.disable(logging.INFO)
    models = [Network(*network.split("="), int(threads)) for network in networks]
    ModelServer(http_port=int(http), grpc_port=int(grpc), workers=1, access_log_format=None).start(models)
