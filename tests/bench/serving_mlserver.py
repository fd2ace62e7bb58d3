"""A network on ONNX Runtime in mlserver, by its `model-settings.json`."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Network(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.settings.parameters.extra["threads"]
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload):
        [given] = payload.inputs
        [array] = self.session.run(None, {given.name: NumpyCodec.decode_input(given)})
        output = NumpyCodec.encode_output(self.session.get_outputs()[0].name, array)
        return InferenceResponse(model_name=self.name, outputs=[output])
