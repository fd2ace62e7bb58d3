"""Triton's own clients of KServe's protocol v2: `triton.py HTTP GRPC`; the answers that are wanted are here."""

import asyncio
import queue
import sys
import time

import grpc
import ml_dtypes
import numpy as np
import tritonclient.grpc as tgrpc
import tritonclient.grpc.aio as agrpc
import tritonclient.http as thttp
import tritonclient.http.aio as ahttp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

http_address, grpc_address = sys.argv[1:3]
http = thttp.InferenceServerClient(http_address, concurrency=4)
rpc = tgrpc.InferenceServerClient(grpc_address)

ARRAYS = {
    "m": np.array([[1.5, -2], [3, np.inf]], np.float32),
    "text": np.array([b"a", "é".encode(), b""], np.object_),
    "whole": np.array([-(2**63), 2**63 - 1], np.int64),
    "half": np.array([0.5, np.inf], np.float16),
    "bf16": np.array([0.5, -2], ml_dtypes.bfloat16),
}


def tensors(module, array, **options):
    kind = "BF16" if array.dtype == ml_dtypes.bfloat16 else np_to_triton_dtype(array.dtype)
    given = module.InferInput("x", list(array.shape), kind)
    given.set_data_from_numpy(array, **options)
    return [given]


def check(model, result):
    found, wanted = result.as_numpy("y"), ARRAYS[model]
    wanted = wanted + wanted if model == "m" else wanted
    assert found.shape == wanted.shape, (model, found)
    if found.dtype == object:
        # By JSON strings come as text.
        found = np.array([one.encode() if isinstance(one, str) else one for one in found], object)
    # A client without a word for bfloat16 gives float32.
    assert np.array_equal(found.astype(wanted.dtype), wanted), (model, found)


for client in (http, rpc):
    assert client.is_server_live() and client.is_server_ready()
    for model in ARRAYS:
        assert client.is_model_ready(model) and client.is_model_ready(model, "1"), model
    assert not client.is_model_ready("n")
    client.get_server_metadata()
    client.get_model_metadata("m")
    client.get_inference_statistics("m")

for model, array in ARRAYS.items():
    check(model, rpc.infer(model, tensors(tgrpc, array), outputs=[tgrpc.InferRequestedOutput("y")]))
    for binary in (True, False):
        # By JSON there is no half, no infinity as these clients write it, and no bfloat16.
        if not binary and model in ("half", "bf16", "m"):
            continue
        outputs = [thttp.InferRequestedOutput("y", binary_data=binary)]
        check(model, http.infer(model, tensors(thttp, array, binary_data=binary), outputs=outputs))

for compression in ("gzip", "deflate"):
    given = tensors(thttp, ARRAYS["m"])
    check("m", http.infer("m", given, request_compression_algorithm=compression))

waiting = [http.async_infer("m", tensors(thttp, ARRAYS["m"])) for _ in range(16)]
for one in waiting:
    check("m", one.get_result())

done = queue.Queue()
for _ in range(16):
    rpc.async_infer("m", tensors(tgrpc, ARRAYS["m"]), lambda result, error: done.put((result, error)))
for _ in range(16):
    result, error = done.get(timeout=30)
    assert error is None, error
    check("m", result)

rpc.start_stream(lambda result, error: done.put((result, error)))
rpc.async_stream_infer("m", tensors(tgrpc, ARRAYS["m"]), request_id="1")
rpc.async_stream_infer("n", tensors(tgrpc, ARRAYS["m"]), request_id="2")
rpc.async_stream_infer("m", tensors(tgrpc, ARRAYS["m"]), request_id="3")
for request_id in ("1", "2", "3"):
    result, error = done.get(timeout=30)
    if request_id == "2":
        assert 'no model "n"' in str(error), error
    else:
        assert error is None, error
        assert result.get_response().id == request_id
        check("m", result)
rpc.stop_stream()

async def asynchronous():
    """The clients of asyncio: requests at once, and streams."""
    async with ahttp.InferenceServerClient(http_address) as client:
        waiting = [client.infer("m", tensors(thttp, ARRAYS["m"])) for _ in range(8)]
        for result in await asyncio.gather(*waiting):
            check("m", result)
    async with agrpc.InferenceServerClient(grpc_address) as client:
        waiting = [client.infer("m", tensors(tgrpc, ARRAYS["m"])) for _ in range(8)]
        for result in await asyncio.gather(*waiting):
            check("m", result)

        async def requests():
            for _ in range(3):
                yield {"model_name": "m", "inputs": tensors(tgrpc, ARRAYS["m"])}

        count = 0
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            check("m", result)
            count += 1
        assert count == 3, count


asyncio.run(asynchronous())

for client, module in ((http, thttp), (rpc, tgrpc)):
    try:
        client.infer("m", tensors(module, np.zeros((1, 3), np.float32)))
    except InferenceServerException as error:
        assert 'the input "x" has the shape [?, 2], not [1, 3]' in error.message(), error
    else:
        raise AssertionError("not refused")

for client in (http, rpc):
    index = client.get_model_repository_index()
    models = index if isinstance(index, list) else [{"name": one.name} for one in index.models]
    assert {one["name"] for one in models} >= set(ARRAYS), models
    client.unload_model("whole")
    assert not client.is_model_ready("whole")
    client.load_model("whole")
    assert client.is_model_ready("whole")

for client in (http, rpc):
    options = {} if client is http else {"as_json": True}

    def settings(found):
        """Each as a list of texts, whatever the protocol."""
        found = found.get("settings", found)
        values = {name: one["value"] if isinstance(one, dict) else one for name, one in found.items()}
        return {name: one if isinstance(one, list) else [one] for name, one in values.items()}

    changed = client.update_trace_settings("m", {"trace_level": ["TIMESTAMPS"], "trace_rate": "2"}, **options)
    assert settings(changed)["trace_rate"] == ["2"], changed
    found = settings(client.get_trace_settings("m", **options))
    assert found["trace_level"] == ["TIMESTAMPS"] and found["trace_count"] == ["-1"], found
    assert settings(client.get_trace_settings(**options))["trace_level"] == ["OFF"]
    client.update_trace_settings("m", {"trace_level": None, "trace_rate": None})
    assert settings(client.get_trace_settings("m", **options))["trace_level"] == ["OFF"]
    try:
        client.update_trace_settings(settings={"trace_file": "/tmp/a"})
    except InferenceServerException as error:
        assert "no trace setting" in error.message(), error
    else:
        raise AssertionError("not refused")

channel = grpc.insecure_channel(grpc_address)
health = health_pb2_grpc.HealthStub(channel)
for service in ("", "m"):
    end = time.monotonic() + 30
    while health.Check(health_pb2.HealthCheckRequest(service=service)).status != 1:
        assert time.monotonic() < end, f"{service!r} is not healthy"
        time.sleep(0.05)
asked = reflection_pb2.ServerReflectionRequest(list_services="")
reply = next(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked])))
names = {one.name for one in reply.list_services_response.service}
assert {"inference.GRPCInferenceService", "tensorflow.serving.PredictionService"} <= names, names
print("all answers were right")
