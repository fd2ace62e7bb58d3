"""Networks that packages carry, by the server as by ONNX Runtime in Python: `networks.py` prints the files of all, and
`networks.py HTTP GRPC NAME=FILE..` compares them."""

import importlib.util
import pathlib
import sys

PACKAGES = ["magika", "rapidocr_onnxruntime", "brainmaze_eeg_models", "arabic_name_romanizer"]

if len(sys.argv) == 1:
    for package in PACKAGES:
        folder = pathlib.Path(importlib.util.find_spec(package).origin).parent
        for file in sorted(folder.rglob("*.onnx")):
            print(file)
    sys.exit()

import json
import urllib.request

import numpy as np
import onnxruntime
import tritonclient.grpc as tgrpc
import tritonclient.http as thttp
from tritonclient.utils import np_to_triton_dtype

NUMBERS = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}
# For dimensions of any size but the first, the first of these that the network takes.
SIZES = [64, 2048, 32]
NEAR = 1e-4

http_address, grpc_address = sys.argv[1:3]
http = thttp.InferenceServerClient(http_address, network_timeout=60)
rpc = tgrpc.InferenceServerClient(grpc_address)


def made_up(inputs, size):
    random = np.random.default_rng(0)
    feed = {}
    for one in inputs:
        shape = [dim if isinstance(dim, int) else (1 if place == 0 else size) for place, dim in enumerate(one.shape)]
        kind = NUMBERS[one.type]
        values = random.random(shape) if kind == np.float32 else random.integers(0, 4, shape)
        feed[one.name] = values.astype(kind)
    return feed


def wanted(file):
    session = onnxruntime.InferenceSession(file)
    names = [one.name for one in session.get_outputs()]
    for size in SIZES:
        feed = made_up(session.get_inputs(), size)
        try:
            return feed, dict(zip(names, session.run(None, feed)))
        except Exception as error:
            last = error
    raise last


def tensors(module, feed):
    given = []
    for name, array in feed.items():
        tensor = module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        given.append(tensor)
    return given


def by_json(model, feed, outputs):
    body = json.dumps({"inputs": {name: array.tolist() for name, array in feed.items()}}).encode()
    with urllib.request.urlopen(f"http://{http_address}/v1/models/{model}:predict", body) as answer:
        found = json.load(answer)["outputs"]
    return found if len(outputs) > 1 else {name: found for name in outputs}


for pair in sys.argv[3:]:
    model, file = pair.split("=", 1)
    feed, outputs = wanted(file)
    of_http, of_grpc = http.infer(model, tensors(thttp, feed)), rpc.infer(model, tensors(tgrpc, feed))
    of_json = by_json(model, feed, outputs)
    for name, array in outputs.items():
        for found in (of_http.as_numpy(name), of_grpc.as_numpy(name), np.array(of_json[name])):
            assert found.shape == array.shape, (file, name, found.shape, array.shape)
            assert np.allclose(found, array, rtol=NEAR, atol=NEAR), (file, name)
print(f"{len(sys.argv) - 3} networks were right")
