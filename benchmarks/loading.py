"""Time to load a GGUF file: transformers alone, and `normlens.load`, which parses it once and checks it.

Every run has its own process; the two alternate. Run it with ``python -m benchmarks.loading`` (``--quick`` for one
round with a small vocabulary).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from transformers.integrations.gguf import GgufHeader
from transformers.utils import logging

from normlens.loading.catalog import BUNDLED
from normlens.loading.load import load_model

from .machine import Page, machine
from .processes import in_fresh_process, last_line

_WIDTH, _MERGES = 64, 1000


def write_llama(path: Path, vocabulary: int) -> Path:
    """A Llama of one layer with a byte-pair tokenizer of ``vocabulary`` tokens, as a GGUF file."""
    writer, random = gguf.GGUFWriter(str(path), "llama"), np.random.default_rng(0)
    for name, count in {"block_count": 1, "embedding_length": _WIDTH, "feed_forward_length": _WIDTH}.items():
        getattr(writer, f"add_{name}")(count)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_context_length(512)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("gpt2")
    letters = [f"l{k}" for k in range(_MERGES + 1)]
    pairs = list(pairwise(letters))
    tokens = ["<s>", "</s>", *letters, *(a + b for a, b in pairs)]
    writer.add_token_list([*tokens, *(f"token{k}" for k in range(vocabulary - len(tokens)))])
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    shapes = {f"blk.0.{name}.weight": (_WIDTH, _WIDTH) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {f"blk.0.{name}.weight": (_WIDTH, _WIDTH) for name in ("ffn_gate", "ffn_up", "ffn_down")}
    norms = {name: (_WIDTH,) for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight")}
    for name, shape in (shapes | norms | {"token_embd.weight": (vocabulary, _WIDTH)}).items():
        writer.add_tensor(name, random.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def seconds_of(variant: str, path: Path) -> float:
    """Seconds to load model and tokenizer by "transformers" or "normlens", imports excluded."""
    assert LlamaForCausalLM and GgufHeader  # both are imported lazily
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    start = time.perf_counter()
    if variant == "transformers":
        AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    else:
        load_model(path)
    return time.perf_counter() - start


def measure_case(name: str, path: Path, rounds: int) -> dict[str, Any]:
    """Seconds of both variants, round by round, and the median of their ratios."""
    seconds: dict[str, list[float]] = {"transformers": [], "normlens": []}
    for _ in range(rounds):
        for variant, times in seconds.items():
            times.append(float(last_line(in_fresh_process("benchmarks.loading", "--one", variant, path))))
    ratios = [ours / theirs for theirs, ours in zip(seconds["transformers"], seconds["normlens"], strict=True)]
    return {"file": name, "bytes": path.stat().st_size, "seconds": seconds, "ratio": median(ratios)}


def _rows(cases: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["file", "MiB", "transformers", "normlens", "ratio, paired"]]
    for case in cases:
        times = [f"{median(case['seconds'][name]):.1f} s" for name in ("transformers", "normlens")]
        rows.append([case["file"], f"{case['bytes'] / 2**20:.0f}", *times, f"{case['ratio']:.2f}"])
    return rows


_NOTES = [
    "Model and tokenizer from a GGUF file; each run in a process of its own, the two alternating; medians. *Ratio*: the "
    "median over rounds of normlens' time divided by that of transformers. The goal is at most 2."
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round with a small vocabulary; writes no results")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocabularies", nargs="+", type=int, default=[32_000, 128_000])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # VARIANT FILE
    options = parser.parse_args()
    if options.one:
        variant, path = options.one
        print(json.dumps(seconds_of(variant, Path(path))))
        return
    if options.quick:
        options.rounds, options.vocabularies = 1, [4_000]
    described, cases = machine(), []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.vocabularies:
            path = write_llama(Path(folder) / f"{size}.gguf", size)
            cases.append(measure_case(f"one layer, {size:,} tokens", path, options.rounds))
            print(cases[-1], file=sys.stderr)
    bundled = BUNDLED["smollm2-135m"].find()
    if bundled is not None and not options.quick:
        cases.append(measure_case("SmolLM2-135M, 49,152 tokens", bundled, options.rounds))
    page = Page("Loading a GGUF file", _NOTES, _rows(cases), cases, described)
    print(page.markdown())
    if not options.quick:
        page.write("loading")


if __name__ == "__main__":
    main()
