"""The networks of the benchmark: `serving_networks.py FOLDER` writes tiny.onnx, and mlp.onnx, which is faster in batches."""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def main():
    folder = pathlib.Path(sys.argv[1])
    value = helper.make_tensor_value_info
    two = [value(name, TensorProto.FLOAT, ["rows", 2]) for name in "xy"]
    write(folder / "tiny.onnx", [helper.make_node("Add", ["x", "x"], ["y"])], two, [])
    numbers, nodes, weights, sizes = np.random.default_rng(0), [], [], [784, 1024, 1024, 10]
    for layer, (rows, columns) in enumerate(zip(sizes, sizes[1:])):
        matrix = numbers.normal(0, 0.05, (rows, columns)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [f"h{layer}" if layer else "x", f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"h{layer + 1}" if layer < 2 else "y"]))
    ends = [value("x", TensorProto.FLOAT, ["rows", 784]), value("y", TensorProto.FLOAT, ["rows", 10])]
    write(folder / "mlp.onnx", nodes, ends, weights)


def write(file, nodes, ends, weights):
    graph = helper.make_graph(nodes, "network", [ends[0]], [ends[1]], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString())


main()
