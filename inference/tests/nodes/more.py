"""Tests of our own beside those of `onnx`: older opsets, and types and attributes that its tests lack. What is wanted is what
ONNX Runtime computes in Python."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

NUMBERS = np.random.default_rng(18)


@dataclasses.dataclass
class Case:
    name: str
    model: onnx.ModelProto
    data_sets: list
    rtol: float = 1e-3
    atol: float = 1e-6


def cases():
    yield from casts()
    yield from convolutions()
    yield from recurrent()
    yield from older()
    yield case("dropout_of_inference", "Dropout", [image()])


def case(name, operator, inputs, opset=22, outputs=1, **attributes):
    """A network of one node on these inputs."""
    names = [f"x{index}" if one is not None else "" for index, one in enumerate(inputs)]
    given = [(name, one) for name, one in zip(names, inputs) if name]
    results = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(operator, names, results, name=name, **attributes)
    graph = helper.make_graph(
        [node],
        name,
        [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(one.dtype), one.shape) for name, one in given],
        [helper.make_empty_tensor_value_info(name) for name in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    # Engines want to know the types of outputs.
    model = onnx.shape_inference.infer_shapes(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    wanted = session.run(None, dict(given))
    return Case(f"carrel_{name}", model, [([one for _, one in given], wanted)])


def floats(*shape):
    return NUMBERS.normal(size=shape).astype(np.float32)


def image():
    return floats(1, 4, 7, 7)


def casts():
    kinds = {"f32": np.float32, "i32": np.int32, "i64": np.int64, "u8": np.uint8, "i8": np.int8, "bool": np.bool_}
    for source, one in kinds.items():
        for target, other in kinds.items():
            values = np.array([0, 1.9, 100, 7.2] if "u8" in (source, target) else [0, -1.9, 1, -100.2]).astype(one)
            to = helper.np_dtype_to_tensor_dtype(np.dtype(other))
            yield case(f"cast_{source}_to_{target}", "Cast", [values], to=to)


def convolutions():
    x, kernel = image(), [3, 3]
    weights, bias = floats(4, 4, 3, 3), floats(4)
    yield case("conv_dilations", "Conv", [x, weights, bias], dilations=[2, 2], group=1, kernel_shape=kernel)
    yield case("conv_group", "Conv", [x, floats(4, 2, 3, 3), bias], group=2, kernel_shape=kernel)
    for name, attributes in {
        "plain": {},
        "strides": {"strides": [2, 2]},
        "pads": {"strides": [2, 2], "pads": [1, 0, 1, 2]},
        "output_padding": {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        "same": {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        "dilations": {"dilations": [2, 2]},
        "group": {"group": 2},
    }.items():
        weights = floats(4, 2 if name == "group" else 4, 3, 3)
        yield case(f"convtranspose_{name}", "ConvTranspose", [x, weights], kernel_shape=kernel, **attributes)
    for operator in ("AveragePool", "MaxPool"):
        name = operator.lower()
        yield case(f"{name}_by_one", operator, [x], kernel_shape=[2, 2], strides=[1, 1])
        yield case(f"{name}_pads", operator, [x], kernel_shape=kernel, strides=[1, 1], pads=[1, 1, 1, 1])
        yield case(f"{name}_ceil", operator, [x], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    yield case("averagepool_all", "AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)


def recurrent():
    hidden, x = 3, floats(5, 2, 4)
    for direction, count in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
        for reset in (0, 1):
            inputs = [x, floats(count, 3 * hidden, 4), floats(count, 3 * hidden, hidden), floats(count, 6 * hidden)]
            yield case(
                f"gru_{direction}_{reset}", "GRU", inputs, outputs=2,
                direction=direction, hidden_size=hidden, linear_before_reset=reset,
            )  # fmt: skip
        inputs = [x, floats(count, 4 * hidden, 4), floats(count, 4 * hidden, hidden), floats(count, 8 * hidden)]
        yield case(f"lstm_{direction}", "LSTM", inputs, outputs=3, direction=direction, hidden_size=hidden)


def older():
    """As operators were before the opset that the tests of `onnx` are of."""
    x = floats(2, 3, 4)
    for operator in ("Softmax", "LogSoftmax"):
        for axis in (1, 2):
            yield case(f"{operator.lower()}_11_axis_{axis}", operator, [x], opset=11, axis=axis)
        yield case(f"{operator.lower()}_11", operator, [x], opset=11)
    for operator in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2"):
        yield case(f"{operator.lower()}_11", operator, [x], opset=11, axes=[1], keepdims=0)
    yield case("squeeze_11", "Squeeze", [floats(2, 1, 3)], opset=11, axes=[1])
    yield case("unsqueeze_11", "Unsqueeze", [x], opset=11, axes=[0, 2])
    yield case("clip_6", "Clip", [x], opset=10, min=-0.5, max=0.5)
    yield case("pad_2", "Pad", [x], opset=10, pads=[0, 1, 0, 0, 0, 2], mode="constant", value=1.5)
    yield case("slice_1", "Slice", [x], opset=9, axes=[1, 2], starts=[0, 1], ends=[2, 4])
    yield case("split_2", "Split", [x], opset=11, outputs=2, axis=2, split=[1, 3])
    yield case("flatten_9", "Flatten", [x], opset=9)
    yield case("dropout_7", "Dropout", [x], opset=9, ratio=0.5)
    yield case("gemm_9", "Gemm", [floats(2, 3), floats(3, 4), floats(4)], opset=9)
    scale, mean = np.abs(floats(4)), floats(4)
    yield case("batchnormalization_9", "BatchNormalization", [image(), scale, mean, mean, scale + 1], opset=9)
    yield case("instancenormalization_6", "InstanceNormalization", [image(), scale, mean], opset=9)
    scales = np.array([1, 1, 2, 2], np.float32)
    for mode in ("nearest", "linear"):
        yield case(f"upsample_9_{mode}", "Upsample", [image(), scales], opset=9, mode=mode)
        yield case(f"resize_10_{mode}", "Resize", [image(), scales], opset=10, mode=mode)
    yield case("topk_10", "TopK", [x, np.array([2], np.int64)], opset=10, outputs=2)
    yield case("gather_1", "Gather", [x, np.array([1, 0], np.int64)], opset=10, axis=1)
    yield case("pow_7", "Pow", [np.abs(x), x], opset=9)
    yield case("onehot_9", "OneHot", [np.array([1, 0], np.int64), np.array([3], np.int64), np.array([0, 1], np.float32)], opset=9)
