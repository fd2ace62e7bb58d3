#!/usr/bin/env bash
# onnxruntime 1.32.0 keeps a telemetry database on Linux, also where a program asked for none.
#
# Its documentation speaks of telemetry in builds for Windows. The wheel of PyPI for Linux makes, when the first session is
# made, a folder Microsoft in the user's cache folder, with a random device number and a database of events. The call
# onnxruntime.disable_telemetry_events() before it does not change that; the variable ORT_DISABLE_TELEMETRY=1 does, when it
# is set before the library is loaded. Since 1.29.0; 1.28.0 makes no such folder.
#
# Carrel sets the variable in its model server and in its notebooks' kernelspec. Exits 1 when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/look.py" <<'PYTHON'
import sys

import onnxruntime
from onnx import TensorProto, helper

if sys.argv[1] == "call":
    onnxruntime.disable_telemetry_events()
value = helper.make_tensor_value_info
node = helper.make_node("Relu", ["x"], ["y"])
graph = helper.make_graph([node], "one", [value("x", TensorProto.FLOAT, [1])], [value("y", TensorProto.FLOAT, [1])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
PYTHON

# What a version leaves in an empty home folder.
left() {
  local version=$1 how=$2
  shift 2
  mkdir -p "$folder/user"
  env -i PATH="$PATH" HOME="$folder/user" "$@" "$folder/$version/bin/python" "$folder/look.py" "$how" >/dev/null 2>&1
  find "$folder/user" -type f -printf '%P\n' | sort
  rm -rf "$folder/user"
}

for version in 1.28.0 1.32.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --disable-pip-version-check -q onnx==1.23.2 "onnxruntime==$version"
done
before=$(left 1.28.0 plain)
plain=$(left 1.32.0 plain)
call=$(left 1.32.0 call)
variable=$(left 1.32.0 plain ORT_DISABLE_TELEMETRY=1)
printf '1.28.0: [%s]\n1.32.0:\n%s\nafter disable_telemetry_events():\n%s\nwith ORT_DISABLE_TELEMETRY=1: [%s]\n' \
  "$before" "$plain" "$call" "$variable"
[[ -z $before && $plain == *Microsoft* && $call == *Microsoft* && -z $variable ]]
