"""Memory over many calls: the leak per call, from the slope of the resident memory.

Run it with ``python -m benchmarks.leaks`` (``--quick`` for a few dozen calls). Every kind of call has its own process.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import normlens

from .machine import Page, machine
from .processes import in_fresh_process, last_line, resident

_SAMPLES = 50
IDS = [3, 14, 15, 9, 26]

CALLS: Mapping[str, tuple[str, int, Callable[[normlens.Lens], Any]]] = {
    "attribute": ("attribute, DecompX of a logit", 10_000, lambda lens: lens.attribute(IDS, target=7)),
    "map": ("attribute, a rollout of ALTI", 10_000, lambda lens: lens.attribute(IDS, method="alti")),
    "zeroing": ("attribute, value zeroing", 10_000, lambda lens: lens.attribute(IDS, method="value_zeroing")),
    "analyze": ("analyze", 10_000, lambda lens: lens.analyze(IDS)),
    "block": ("analyze, through the block", 10_000, lambda lens: lens.analyze(IDS, through="block")),
    "stream": ("stream of two texts", 10_000, lambda lens: list(lens.stream([IDS, IDS[:3]], progress=False))),
}
"""The calls by name: description, number of calls, and function."""


def tiny_lens() -> normlens.Lens:
    """A lens on a one-layer decoder with random weights."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=40, **sizes)).eval()
    return normlens.load((model, None))


def samples_of(kind: str, calls: int) -> list[tuple[int, int]]:
    """Numbers of calls, and the resident memory in bytes after them; a fifth as many calls run first to warm up."""
    lens, call = tiny_lens(), CALLS[kind][2]
    for _ in range(max(calls // 5, 1)):
        call(lens)
    step, samples = max(calls // _SAMPLES, 1), []
    for number in range(0, calls + 1, step):
        gc.collect()
        samples.append((number, resident()))
        for _ in range(step):
            call(lens)
    return samples


def slope(samples: list[tuple[int, int]]) -> tuple[float, float]:
    """Bytes leaked per call, and the standard error: Theil and Sen's median slope between halves.

    Memory moves in steps of pages, so pairs of samples half the run apart are compared.
    """
    calls, bytes_ = np.asarray(samples, dtype=float).T
    half = len(calls) // 2
    slopes = (bytes_[half:] - bytes_[: len(calls) - half]) / (calls[half:] - calls[: len(calls) - half])
    return float(np.median(slopes)), float(slopes.std(ddof=1) / np.sqrt(len(slopes)))


def measure_case(kind: str, calls: int) -> dict[str, Any]:
    """Measure one kind of call in a fresh process."""
    samples = json.loads(last_line(in_fresh_process("benchmarks.leaks", "--one", kind, calls)))
    per_call, error = slope(samples)
    risen = samples[-1][1] - samples[0][1]
    return {"way": CALLS[kind][0], "calls": calls, "bytes_per_call": per_call, "error": error, "risen": risen}


_NOTES = [
    "A model of one layer and width 8 is called repeatedly, with each kind of call in its own process, after a warm-up of a "
    "fifth as many calls. *Bytes per call*: the median slope of resident memory between samples half the run apart, with "
    "its standard error. *Risen*: growth from the first sample to the last.",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few dozen calls; writes no results")
    parser.add_argument("--calls", type=int, help="number of calls of every kind")
    parser.add_argument("--ways", nargs="+", default=list(CALLS), choices=list(CALLS))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # NAME CALLS
    options = parser.parse_args()
    if options.one:
        torch.set_num_threads(1)
        print(json.dumps(samples_of(options.one[0], int(options.one[1]))))
        return
    described, cases = machine(), []
    for kind in options.ways:
        print(CALLS[kind][0], file=sys.stderr)
        cases.append(measure_case(kind, 50 if options.quick else options.calls or CALLS[kind][1]))
    header = ["calls of", "times", "bytes per call", "risen"]
    rows = [
        [c["way"], f"{c['calls']:,}", f"{c['bytes_per_call']:.1f} ± {c['error']:.1f}", f"{c['risen'] / 1024:.0f} KiB"]
        for c in cases
    ]
    page = Page("Memory over many calls", _NOTES, [header, *rows], cases, described)
    print(page.markdown())
    if not options.quick:
        page.write("leaks")


if __name__ == "__main__":
    main()
