"""The client that TensorFlow Serving has as an example: `inception.py GRPC PICTURE..` prints the response."""

import sys

import grpc
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(sys.argv[1]))
request = predict_pb2.PredictRequest()
request.model_spec.name = "inception"
request.model_spec.signature_name = "predict_images"
images = request.inputs["images"]
images.dtype = types_pb2.DT_STRING
images.tensor_shape.dim.add(size=len(sys.argv) - 2)
for picture in sys.argv[2:]:
    with open(picture, "rb") as file:
        images.string_val.append(file.read())
print(stub.Predict(request, timeout=30), end="")
