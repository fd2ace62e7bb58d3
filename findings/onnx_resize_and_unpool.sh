#!/usr/bin/env bash
# Two operators of ONNX on which onnx 1.23.2's own evaluator (and its node tests) and onnxruntime 1.32.0 do not agree.
#
# 1. Resize with coordinate_transformation_mode=align_corners, four values [0, 10, 20, 30] to two. Where the node has `sizes`,
#    both give the corners, 0 and 30. Where it has `scales` of 0.6, which is the same length of two, the evaluator counts with
#    a length of 2.4: its last value is 21.43, no corner. onnxruntime gives 0 and 30 again. So two exports of one network
#    differ by one of the two engines, without an error.
# 2. MaxUnpool with `output_shape`: indices are places in the smallest output (4 x 4) for the evaluator, which then leaves
#    room at its end, and places in the output that is asked for (5 x 5) for onnxruntime: 6 stands elsewhere.
#
# Carrel's table of node tests (inference/nodes.txt) lists them. Exits 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --disable-pip-version-check -q onnx==1.23.2 onnxruntime==1.32.0
cat >"$folder/look.py" <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def both(node, inputs):
    """What the evaluator and onnxruntime make of a node."""
    typed = [(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape) for name, value in inputs.items()]
    infos = [helper.make_tensor_value_info(*one) for one in typed]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one", infos, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = ReferenceEvaluator(model).run(None, inputs)[0], session.run(None, inputs)[0]
    return [[round(float(value), 2) for value in one.ravel()] for one in found]


line = np.array([[[[0, 10, 20, 30]]]], np.float32)
how = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
sizes = helper.make_node("Resize", ["x", "", "", "n"], ["y"], **how)
sizes = both(sizes, {"x": line, "n": np.array([1, 1, 1, 2])})
scales = helper.make_node("Resize", ["x", "", "n"], ["y"], **how)
scales = both(scales, {"x": line, "n": np.array([1, 1, 1, 0.6], np.float32)})
print(f"by sizes: onnx {sizes[0]}, onnxruntime {sizes[1]}; by scales: onnx {scales[0]}, onnxruntime {scales[1]}")
assert sizes == [[0, 30], [0, 30]]
assert scales == [[0, 21.43], [0, 30]]

pooled = np.array([[[[5, 6], [7, 8]]]], np.float32)
places = np.array([[[[5, 7], [13, 15]]]])
unpool = helper.make_node("MaxUnpool", ["x", "i", "n"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
evaluator, runtime = both(unpool, {"x": pooled, "i": places, "n": np.array([1, 1, 5, 5])})
print(f"6 stands at place {evaluator.index(6)} of 5 x 5 for onnx, at {runtime.index(6)} for onnxruntime")
assert (evaluator.index(6), runtime.index(6)) == (8, 7)
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
