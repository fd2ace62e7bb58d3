"""KServe's own clients: `kserve_sdk.py HTTP GRPC`; the answers that are wanted are here."""

import asyncio
import logging
import sys

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

http_address, grpc_address = f"http://{sys.argv[1]}", sys.argv[2]
# A refusal that is wanted is no news.
logging.disable(logging.ERROR)

ARRAYS = {
    "m": (np.array([[1.5, -2], [3, 4]], np.float32), "FP32"),
    "text": (np.array([b"a", "é".encode(), b""], np.object_), "BYTES"),
    "whole": (np.array([-(2**63), 2**63 - 1], np.int64), "INT64"),
    "half": (np.array([0.5, np.inf], np.float16), "FP16"),
}


def request(model, binary, array=None, kind=None):
    array, kind = (array, kind) if array is not None else ARRAYS[model]
    given = InferInput("x", list(array.shape), kind)
    given.set_data_from_numpy(array, binary_data=binary)
    # Else infinities would come as JSON, which has none.
    wanted = [RequestedOutput("y", {"binary_data": True})] if binary else None
    return InferRequest(model_name=model, infer_inputs=[given], request_outputs=wanted, request_id="7")


def check(model, answer):
    array, kind = ARRAYS[model]
    wanted = array + array if model == "m" else array
    [output] = answer.outputs
    assert (output.name, output.datatype, answer.model_name, answer.id) == ("y", kind, model, "7"), answer
    found = output.as_numpy()
    if found.dtype == object:
        # By JSON strings come as text.
        found = np.array([one.encode() if isinstance(one, str) else one for one in found], object)
    assert found.shape == wanted.shape and np.array_equal(found, wanted), (model, found)


async def rest():
    client = InferenceRESTClient(config=RESTConfig(protocol="v2"))
    assert await client.is_server_ready(http_address) and await client.is_server_live(http_address)
    for model in ARRAYS:
        assert await client.is_model_ready(http_address, model), model
        for binary in (True, False):
            # JSON has no half and no bytes of these clients.
            if binary or model in ("m", "whole"):
                check(model, await client.infer(http_address, request(model, binary), model_name=model))
    wrong = request("m", True, np.zeros((1, 3), np.float32), "FP32")
    try:
        await client.infer(http_address, wrong, model_name="m")
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 400, error
        assert "has the shape [?, 2], not [1, 3]" in error.response.text, error.response.text
    else:
        raise AssertionError("not refused")


async def rest_of_tensorflow():
    client = InferenceRESTClient(config=RESTConfig(protocol="v1"))
    answer = await client.infer(http_address, {"instances": [[1, 2]]}, model_name="m")
    assert answer == {"predictions": [[2.0, 4.0]]}, answer
    assert await client.is_server_live(http_address) and await client.is_model_ready(http_address, "m")


async def grpc():
    client = InferenceGRPCClient(url=grpc_address)
    assert await client.is_server_ready() and await client.is_server_live()
    for model in ARRAYS:
        assert await client.is_model_ready(model), model
        for binary in (True, False):
            if binary or model != "half":
                check(model, await client.infer(request(model, binary)))
    answers = await asyncio.gather(*(client.infer(request("m", True)) for _ in range(16)))
    for answer in answers:
        check("m", answer)


asyncio.run(rest())
asyncio.run(rest_of_tensorflow())
asyncio.run(grpc())
print("all answers were right")
