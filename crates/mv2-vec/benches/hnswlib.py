"""Beside hnswlib: what a search finds and how fast, on the same vectors, in turn in one run.

    pip install hnswlib numpy
    cargo build --release -p mv2-vec --example graph
    cargo run --release -p mv2-vec --example graph -- clustered 100000 --dump FOLDER
    python3 crates/mv2-vec/benches/hnswlib.py FOLDER [ROWS] [--f32]

FOLDER holds `vectors.f32` and `queries.f32` as the example describes them. One thread each, the
time that the processor was theirs, the best of several rounds.
"""

import json
import os
import subprocess
import sys
import time

# Not this file, which has the name of what it measures.
sys.path.pop(0)
import hnswlib
import numpy

M, EF_CONSTRUCTION = 16, 200
EFS = [32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
TOP_K = 10
ROUNDS = 3


def read(path):
    data = numpy.fromfile(path, dtype="<f4")
    dims = int(data[:1].view("<u4")[0])
    vectors = data[1:].reshape(-1, dims)
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


def hnswlib_points(index, queries, truth):
    """Recall and microseconds of a query for each ef."""
    points = []
    for ef in EFS:
        index.set_ef(ef)
        best = float("inf")
        for _ in range(ROUNDS):
            start = time.thread_time()
            found, _ = index.knn_query(queries, k=TOP_K, num_threads=1)
            best = min(best, time.thread_time() - start)
        scores = numpy.take_along_axis(truth[0], found.astype(numpy.int64), axis=1)
        recall = float((scores >= truth[1][:, None] - 1e-6).mean())
        points.append((recall, best / len(queries) * 1e6))
    return points


def at_recall(points, recall):
    """Microseconds at a recall, on the line between the points around it."""
    points = sorted(points)
    for (low, fast), (high, slow) in zip(points, points[1:]):
        if low <= recall <= high and high > low:
            return fast + (slow - fast) * (recall - low) / (high - low)
    return None


def main():
    folder = sys.argv[1]
    rows = [argument for argument in sys.argv[2:] if argument.isdigit()]
    f32 = [argument for argument in sys.argv[2:] if argument == "--f32"]
    vectors = read(os.path.join(folder, "vectors.f32"))[: int(rows[0]) if rows else None]
    queries = read(os.path.join(folder, "queries.f32"))[:500]
    scores = queries @ vectors.T
    truth = (scores, -numpy.partition(-scores, TOP_K - 1, axis=1)[:, TOP_K - 1])
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
    start = time.thread_time()
    index.add_items(vectors, num_threads=1)
    print(f"hnswlib M {M}: built in {time.thread_time() - start:.1f} s")

    target = os.environ.get("CARGO_TARGET_DIR", "target")
    example = [os.path.join(target, "release/examples/graph"), "folder", folder, *rows, "--beside", *f32]
    ours = subprocess.Popen(example, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    for line in ours.stdout:
        if line.startswith("ready"):
            break
        print(line, end="")
    # In turn, so that what else the machine does slows both.
    theirs, mine = {}, {}
    for _ in range(ROUNDS):
        for at, point in enumerate(hnswlib_points(index, queries, truth)):
            theirs[at] = min(theirs.get(at, point), point, key=lambda point: point[1])
        ours.stdin.write("again\n")
        ours.stdin.flush()
        for at, point in enumerate(json.loads(ours.stdout.readline())):
            mine[at] = min(mine.get(at, point), point, key=lambda point: point[1])
    ours.stdin.close()
    ours.wait()

    print(f"{'hnswlib':>7}{'us':>9}{'mv2-vec':>13}{'us':>9}")
    for at in range(max(len(theirs), len(mine))):
        pairs = [curve.get(at, (float("nan"), float("nan"))) for curve in (theirs, mine)]
        print(f"{pairs[0][0]:>7.4f}{pairs[0][1]:>9.1f}{pairs[1][0]:>13.4f}{pairs[1][1]:>9.1f}")
    for recall in [0.95, 0.97, 0.98, 0.99, 0.995, 0.998]:
        slow, fast = at_recall(theirs.values(), recall), at_recall(mine.values(), recall)
        if slow and fast:
            print(f"at recall {recall}: hnswlib {slow:.0f} us, mv2-vec {fast:.0f} us, {slow / fast:.2f}x")


main()
