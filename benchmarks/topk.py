"""Top-k attention against dense eager, SDPA and chunked exact attention: peak memory and time, and a decoding step.

Every variant and length has its own process, whose peak memory is read. Run it with ``python -m benchmarks.topk``
(``--quick`` for one small case).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from normlens.topk import log_vector_norms, projection_factors, topk_attention

from .machine import Page, free_memory, machine
from .processes import in_fresh_process, peak, start_peak

VARIANTS = ("eager", "sdpa", "chunked", "topk", "topk-norm")
REMEMBERED = "topk-norm-remembered"
"""A decoding step by norm that reuses the norms of all sources except the last from the previous step."""
_HEAD_DIM = 64
_FLOAT = 4
_SHARED = ("k", "chunk_size", "heads", "rounds", "device")


def attend(
    variant: str, k: int, chunk_size: int, factors: Tensor, cached: Tensor | None = None
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Causal attention of one kind, the targets being the last positions, as a function of query, key and value.

    Parameters
    ----------
    variant
        One of `VARIANTS`: dense with all weights in memory; torch's SDPA; ours with every source; ours with k sources by
        weight, and by norm (the norms of all sources computed in the same call); or `REMEMBERED`.
    k, chunk_size
        Sources per target, and targets per chunk.
    factors
        Factors of an output projection, for the norms.
    cached
        Logarithms of the norms of the first sources.
    """

    def eager(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        targets, sources = query.shape[2], key.shape[2]
        scores = query @ key.transpose(-1, -2) * _HEAD_DIM**-0.5
        hidden = torch.ones(targets, sources, dtype=torch.bool, device=query.device).triu(1 + sources - targets)
        weights: Tensor = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        return weights @ value

    def ours(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        norms = None
        if variant.startswith("topk-norm"):
            norms = log_vector_norms(value if cached is None else value[:, :, cached.shape[-1] :], factors)
            norms = norms if cached is None else torch.cat([cached, norms], dim=-1)
        kept = None if variant == "chunked" else k
        measure = "weight" if norms is None else "norm"
        return topk_attention(
            query, key, value, k=kept, measure=measure, log_norms=norms, chunk_size=chunk_size, causal=True
        )

    if variant == "eager":
        return eager
    if variant == "sdpa":
        return lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1)
    return ours


def measure(
    variant: str, targets: int, sources: int, backward: bool, options: argparse.Namespace
) -> dict[str, float | list[float]]:
    """Seconds of each round, and the most bytes beyond query, key and value that were in use during the first.

    Parameters
    ----------
    variant
        One of `VARIANTS`, or `REMEMBERED`.
    targets, sources
        Equal for a whole text; one target is a decoding step over a cache.
    backward
        Whether gradients of query, key and value are computed too.
    options
        As parsed by `main`.
    """
    device = torch.device(options.device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    generator = torch.Generator().manual_seed(0)
    projection = torch.randn(options.heads * _HEAD_DIM, options.heads * _HEAD_DIM, generator=generator).to(device)
    factors = projection_factors(projection, options.heads)
    run = attend(variant, options.k, options.chunk_size, factors)

    def inputs(targets: int, sources: int) -> list[Tensor]:
        shapes = [(1, options.heads, n, _HEAD_DIM) for n in (targets, sources, sources)]
        return [torch.randn(shape, generator=generator).to(device).requires_grad_(backward) for shape in shapes]

    def once(tensors: list[Tensor]) -> float:
        _wait(device)
        start = clock()
        with torch.set_grad_enabled(backward):
            output = run(*tensors)
            if backward:
                torch.autograd.grad(output.sum(), tensors)
        _wait(device)
        return clock() - start

    once(inputs(min(targets, 64), 64))
    tensors = inputs(targets, sources)
    if variant == REMEMBERED:
        run = attend(variant, options.k, options.chunk_size, factors, log_vector_norms(tensors[2][:, :, :-1], factors))
    before = _start_peak(device)
    seconds = [once(tensors)]
    peak = _peak(device) - before
    rounds = options.rounds if seconds[0] < 5 else 1
    return {"peak": peak, "seconds": [*seconds, *(once(tensors) for _ in range(rounds - 1))][-rounds:]}


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _start_peak(device: torch.device) -> int:
    """Reset the peak, and return the bytes in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    return start_peak()


def _peak(device: torch.device) -> int:
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else peak()


def measure_cases(
    variant: str, sizes: list[tuple[int, int, bool]], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """One variant in a fresh process, for each (targets, sources, backward) whose dense weights would fit into memory."""
    cases = [{"variant": variant, "targets": t, "sources": n, "backward": b, "skipped": None} for t, n, b in sizes]
    for case, (targets, sources, backward) in zip(cases, sizes, strict=True):
        needed = _FLOAT * options.heads * targets * sources * (5 if backward else 3)
        if variant == "eager" and options.device == "cpu" and needed > 0.6 * free_memory():
            case["skipped"] = f"would need about {needed / 2**30:.0f} GiB"
    fitting = [case for case in cases if case["skipped"] is None]
    if not fitting:
        return cases
    asked = json.dumps([[variant, case["targets"], case["sources"], case["backward"]] for case in fitting])
    shared = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in _SHARED]
    done = in_fresh_process("benchmarks.topk", "--these", asked, *shared)
    for case, line in zip_longest(fitting, done.stdout.splitlines()):
        reason = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:80]
        case.update({"skipped": reason} if line is None else json.loads(line))
    return cases


def _cell(case: dict[str, Any], memory: bool) -> str:
    if case["skipped"] is not None:
        return f"– ({case['skipped']})"
    seconds = statistics.median(case["seconds"])
    duration = f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.2f} ms"
    return f"{case['peak'] / 2**20:.0f} MiB, {duration}" if memory else duration


def _rows(cases: list[dict[str, Any]], variants: list[str], memory: bool) -> list[list[str]]:
    rows = [["n", *(["pass"] if memory else []), *variants]]
    for sources in dict.fromkeys(case["sources"] for case in cases):
        for backward in (False, True) if memory else (False,):
            by_variant = {c["variant"]: c for c in cases if (c["sources"], c["backward"]) == (sources, backward)}
            if by_variant:
                kind = ["forward + backward" if backward else "forward"] if memory else []
                rows.append([str(sources), *kind, *(_cell(by_variant[v], memory) for v in variants)])
    return rows


def slopes(cases: list[dict[str, Any]]) -> dict[str, float]:
    """Exponent of n in the peak memory of forward and backward passes from n = 1024 on, per variant."""
    exponents = {}
    for variant in dict.fromkeys(case["variant"] for case in cases):
        points = [
            (case["sources"], case["peak"])
            for case in cases
            if case["variant"] == variant and case["backward"] and case["skipped"] is None and case["sources"] >= 1024
        ]
        if len(points) > 1:
            lengths, peaks = np.log(np.array(points, dtype=float).clip(1)).T
            exponents[variant] = float(np.polyfit(lengths, peaks, 1)[0])
    return exponents


def _notes(options: argparse.Namespace, cases: list[dict[str, Any]]) -> list[str]:
    grown = ", ".join(f"{variant} n^{slope:.2f}" for variant, slope in slopes(cases).items())
    return [
        f"Causal attention, one text, {options.heads} heads of {_HEAD_DIM}, float32, on {options.device}; top-k with k = "
        f"{options.k}, in chunks of {options.chunk_size} targets. Every variant and length runs in a process of its own. "
        "Cells: peak memory beyond queries, keys and values, and the median time (on a CPU, processor time). *eager* keeps "
        "all weights, *chunked* keeps every source but works in chunks, and *topk-norm* chooses by norm and computes all "
        "‖f(x)‖ in the same call.",
        f"Growth of the peak memory from n = 1024 on, forward and backward: {grown or 'not measured'}.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small case; writes no results")
    parser.add_argument("--lengths", nargs="+", type=int, default=[512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--caches", nargs="+", type=int, default=[1024, 4096, 16384, 65536])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--chunk-size", type=int, default=128)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--these", help=argparse.SUPPRESS)  # JSON: [[variant, targets, sources, backward], ...]
    options = parser.parse_args()
    if options.these:
        for variant, targets, sources, backward in json.loads(options.these):
            print(json.dumps(measure(variant, targets, sources, backward, options)), flush=True)
        return
    if options.quick:
        options.lengths, options.caches = [512], [1024]
    described, cases, steps = machine(), [], []
    for variant in options.variants:
        for length in options.lengths:
            print(f"{variant}, n = {length}", file=sys.stderr)
            cases += measure_cases(variant, [(length, length, False), (length, length, True)], options)
    decoding = [*options.variants, *([REMEMBERED] if "topk-norm" in options.variants else [])]
    for variant in decoding:
        print(f"{variant}, decoding", file=sys.stderr)
        steps += measure_cases(variant, [(1, length, False) for length in options.caches], options)
    page = Page("Top-k attention", _notes(options, cases), _rows(cases, options.variants, True), cases, described)
    note = (
        "One target over a cache of n keys and values. *topk-norm* computes the norms of the whole cache, "
        f"*{REMEMBERED}* only that of the new source, as switched models do while their cache only grows."
    )
    step_page = Page("A decoding step", [note], _rows(steps, decoding, False), steps, described)
    for name, made in (("topk", page), ("topk_decoding", step_page)):
        print(made.markdown())
        if not options.quick:
            made.write(name)


if __name__ == "__main__":
    main()
