"""A network on ONNX Runtime in Python: `serving_python.py MODEL THREADS ROUNDS` prints its median time in milliseconds."""

import statistics
import sys
import time

import numpy as np
import onnxruntime

model, threads, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(model, options)
[given] = session.get_inputs()
shape = [size if isinstance(size, int) else 1 for size in given.shape]
numbers = (np.arange(np.prod(shape)) % 100 / 100).astype(np.float32).reshape(shape)
times = []
for _ in range(rounds + 1):
    begin = time.perf_counter()
    session.run(None, {given.name: numbers})
    times.append((time.perf_counter() - begin) * 1e3)
print(statistics.median(times[1:]))
