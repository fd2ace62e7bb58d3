"""Speed and memory beside the peers: each pair is measured in one run, turn by turn, with its ratio and its goal. A goal
that is not met ends it with 1.

Medians of the rounds; the range in brackets; a ratio is the peer's figure by ours. Other programs on the machine blur
single figures: trust the ratios.
"""

import argparse
import os

import hub
import kernel
import proxy
import serving
import training
from common import MISSED, heading

PARTS = {
    "hub": hub.measure,
    "kernel": kernel.measure,
    "proxy": proxy.measure,
    "serving": serving.measure,
    "training": training.measure,
}


def main():
    options = arguments()
    print(f"{os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f} at the start\n", flush=True)
    heading()
    for part in options.parts or PARTS:
        PARTS[part](options)
    if MISSED:
        raise SystemExit(f"{len(MISSED)} goals were not met")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--hub", required=True, help="carrel-hub")
    parser.add_argument("--kernel", required=True, help="carrel-kernel")
    parser.add_argument("--ends", required=True, help="the example bench_ends")
    parser.add_argument("--train", required=True, help="carrel-train")
    parser.add_argument("--throughput", required=True, help="its example throughput")
    parser.add_argument("--all-reduce", required=True, help="its example all_reduce")
    parser.add_argument("--model-server", required=True, help="carrel-model-server")
    parser.add_argument("--serving-load", required=True, help="its example serving_load")
    parser.add_argument("--engine-time", required=True, help="the example engine_time of carrel-inference")
    parser.add_argument("--kserve", required=True, help="a Python with kserve, onnx and onnxruntime")
    parser.add_argument("--mlserver", required=True, help="a Python with mlserver and onnxruntime")
    parser.add_argument("--torch", help="a Python with PyTorch")
    parser.add_argument("--jupyterhub", required=True)
    parser.add_argument("--chp", help="configurable-http-proxy")
    parser.add_argument("--evcxr", help="evcxr_jupyter")
    parser.add_argument("--before", help="the programs of another commit, in place of the peers of kernel and training")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load per proxy and round")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; the parts are {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    main()
