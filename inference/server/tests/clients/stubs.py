"""TensorFlow Serving's own stubs: `stubs.py GRPC FOLDER`; the answers that are wanted are here."""

import sys

import grpc
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

address, base = sys.argv[1:3]
channel = grpc.insecure_channel(address)
prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)


def tensor(dtype, shape, **values):
    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def request(model, inputs, **spec):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    for name, value in spec.items():
        if name == "version":
            message.model_spec.version.value = value
        else:
            setattr(message.model_spec, name, value)
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(value)
    return message


def refused(code, words, message):
    try:
        prediction.Predict(message, timeout=10)
    except grpc.RpcError as error:
        assert error.code() == code, error
        assert words in error.details(), error
    else:
        raise AssertionError(f"not refused: {words}")


x = tensor(types_pb2.DT_FLOAT, [1, 2], float_val=[3, 5])
answer = prediction.Predict(request("m", {"x": x}), timeout=10)
assert list(answer.outputs["y"].float_val) == [6, 10], answer
assert answer.model_spec.version.value == 1 and answer.model_spec.signature_name == "serving_default"
content = tensor(types_pb2.DT_FLOAT, [1, 2], tensor_content=bytes(8))
assert list(prediction.Predict(request("m", {"x": content}, version=1)).outputs["y"].float_val) == [0, 0]
once = tensor(types_pb2.DT_FLOAT, [2, 2], float_val=[4])
assert list(prediction.Predict(request("m", {"x": once})).outputs["y"].float_val) == [8] * 4

text = tensor(types_pb2.DT_STRING, [2], string_val=[b"a", "é".encode()])
assert list(prediction.Predict(request("text", {"x": text})).outputs["y"].string_val) == [b"a", "é".encode()]
whole = tensor(types_pb2.DT_INT64, [2], int64_val=[-(2**63), 2**63 - 1])
assert list(prediction.Predict(request("whole", {"x": whole})).outputs["y"].int64_val) == [-(2**63), 2**63 - 1]
half = tensor(types_pb2.DT_HALF, [1], half_val=[0x3C00])
assert list(prediction.Predict(request("half", {"x": half})).outputs["y"].half_val) == [0x3C00]

refused(grpc.StatusCode.NOT_FOUND, 'no model "n"', request("n", {"x": x}))
refused(grpc.StatusCode.NOT_FOUND, "no version 9", request("m", {"x": x}, version=9))
refused(grpc.StatusCode.INVALID_ARGUMENT, 'no signature "s"', request("m", {"x": x}, signature_name="s"))
refused(grpc.StatusCode.INVALID_ARGUMENT, 'no input "z"', request("m", {"z": x}))
refused(grpc.StatusCode.INVALID_ARGUMENT, 'input "x" is f32, not i64', request("m", {"x": whole}))
huge = tensor(types_pb2.DT_FLOAT, [1 << 40, 2], float_val=[4])
refused(grpc.StatusCode.INVALID_ARGUMENT, "too large", request("m", {"x": huge}))

metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
metadata.model_spec.name = "m"
signatures = get_model_metadata_pb2.SignatureDefMap()
prediction.GetModelMetadata(metadata).metadata["signature_def"].Unpack(signatures)
info = signatures.signature_def["serving_default"].inputs["x"]
assert [dim.size for dim in info.tensor_shape.dim] == [-1, 2] and info.dtype == types_pb2.DT_FLOAT

status = get_model_status_pb2.GetModelStatusRequest()
status.model_spec.name = "m"
found = models.GetModelStatus(status).model_version_status
assert [(one.version, one.state) for one in found] == [(1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)]

config = model_server_config_pb2.ModelServerConfig()
added = config.model_config_list.config.add(name="added", base_path=base, model_platform="tensorflow")
added.version_labels["stable"] = 1
models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(config=config))
answer = prediction.Predict(request("added", {"x": x}, version_label="stable"))
assert list(answer.outputs["y"].float_val) == [6, 10], answer
refused(grpc.StatusCode.NOT_FOUND, 'no model "m"', request("m", {"x": x}))

# What is printed of a message is the same message.
assert text_format.Parse(str(answer), predict_pb2.PredictResponse()) == answer
for method, asked in {
    prediction.Classify: classification_pb2.ClassificationRequest(),
    prediction.MultiInference: inference_pb2.MultiInferenceRequest(),
}.items():
    try:
        method(asked, timeout=10)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
        assert "takes tf.Example, which no ONNX network does" in error.details(), error
    else:
        raise AssertionError("not refused")
print("all answers were right")
