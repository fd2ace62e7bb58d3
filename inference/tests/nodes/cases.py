"""Writes the node tests of the installed `onnx`, and some of our own, for `tests/it/nodes.rs`: `cases.py FOLDER`.

Each test is a network `NAME.onnx` there and a line of `cases.jsonl` with its operator, inputs and wanted outputs.
"""

import base64
import json
import pathlib
import sys
import warnings

import more
import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases

NAMES = {
    "bool": "bool", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64", "int8": "i8", "int16": "i16",
    "int32": "i32", "int64": "i64", "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64",
}


def tensor(info, value):
    """A tensor as the test in Rust reads it; without data where that knows no such type."""
    if isinstance(value, (list, type(None), onnx.TensorProto)):
        return {"name": info.name}
    value = np.asarray(value)
    found = {"name": info.name, "shape": value.shape}
    if value.dtype.kind in "OSU":
        texts = [one if isinstance(one, bytes) else str(one).encode() for one in value.ravel()]
        return {**found, "dtype": "string", "strings": [base64.b64encode(one).decode() for one in texts]}
    if value.dtype.name not in NAMES:
        return {"name": info.name}
    return {**found, "dtype": NAMES[value.dtype.name], "bytes": base64.b64encode(value.tobytes()).decode()}


def text(attribute):
    value = onnx.helper.get_attribute_value(attribute)
    match value:
        case bytes():
            value = value.decode()
        case onnx.TensorProto():
            value = "tensor"
        case onnx.GraphProto():
            value = "graph"
        case float():
            value = f"{value:g}"
        case int():
            pass
        case _:
            parts = (part.decode() if isinstance(part, bytes) else f"{part:g}" for part in value)
            value = f"[{','.join(parts)}]"
    return f"{attribute.name}={value}".replace(" ", "_")


def described(model):
    """The operator, since which opset it is as it is here, and its attributes; a network of several nodes by all its operators."""
    nodes = model.graph.node
    if len(nodes) != 1:
        return "+".join(sorted({node.op_type for node in nodes})) or "-", 0, []
    node = nodes[0]
    opset = next(one.version for one in model.opset_import if one.domain == node.domain)
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    try:
        opset = onnx.defs.get_schema(node.op_type, opset, node.domain).since_version
    except onnx.defs.SchemaError:
        # A function of the network itself.
        return operator, 0, []
    return operator, opset, sorted(text(attribute) for attribute in node.attribute)


def main():
    folder = pathlib.Path(sys.argv[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [*collect_testcases(None), *more.cases()]
    with open(folder / "cases.jsonl", "w") as lines:
        for case in cases:
            (folder / f"{case.name}.onnx").write_bytes(case.model.SerializeToString())
            operator, opset, attributes = described(case.model)
            [(inputs, outputs)] = case.data_sets
            line = {
                "name": case.name,
                "operator": operator,
                "opset": opset,
                "attributes": attributes,
                "rtol": case.rtol,
                "atol": case.atol,
                "inputs": [tensor(*one) for one in zip(case.model.graph.input, inputs)],
                "outputs": [tensor(*one) for one in zip(case.model.graph.output, outputs)],
            }
            print(json.dumps(line), file=lines)
    print(onnx.__version__)


if __name__ == "__main__":
    main()
