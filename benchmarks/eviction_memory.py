"""Peak memory of `evict` at several lengths, beside an SDPA forward pass of the same text.

Every run has its own process, whose peak resident memory is read. Run it with ``python -m benchmarks.eviction_memory``
(``--quick`` for one short case).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch

from normlens.topk.eviction import evict

from .machine import Page, machine
from .processes import in_fresh_process, last_line, peak, start_peak
from .shapes import SHAPES, lens_on, token_ids
from .variants import forward

WINDOW = 64
LENGTHS = (512, 1024, 2048, 4096)
CASES: tuple[tuple[str, int | None, tuple[int, ...]], ...] = (
    ("snapkv", WINDOW, (*LENGTHS, 8192)),
    ("displacement", WINDOW, (*LENGTHS, 8192)),
    ("weight", None, LENGTHS),
    ("displacement", None, LENGTHS),
    ("joint", None, (128, 256, 512)),
)
"""Score, number of queries (None: all), and lengths."""

_FLOAT, _MIB = 4, 2**20
_LONG, _LONG_WITH_WINDOW = 2048, 8192  # tokens from which one moment of a run holds the peak at n, n/2 and n/4
_ROUNDING = 0.15  # what repeated runs differ by, in one head's n²


def peak_of(score: str, queries: int | None, layers: int, length: int) -> dict[str, float]:
    """Peak rise of this process's resident memory in bytes while a text is read, and the seconds that it takes.

    Parameters
    ----------
    score
        A score of `normlens.topk.eviction.SCORES`, or "forward": a forward pass with SDPA.
    queries
        Number of queries at the end; None for all.
    layers, length
        Model and input sizes.
    """
    lens = lens_on(SHAPES["llama"].model(layers))
    [ids] = token_ids(1, length)
    forward(lens.model, ids[None, :8], "sdpa")
    evict(lens, token_ids(1, 2 * WINDOW)[0], score="weight", queries=queries)
    before, start = start_peak(), time.perf_counter()
    if score == "forward":
        forward(lens.model, ids[None], "sdpa")
    else:
        evict(lens, ids, score=score, queries=queries)
    return {"peak": peak() - before, "seconds": time.perf_counter() - start}


def measure_case(score: str, queries: int | None, lengths: Sequence[int], layers: int) -> list[dict[str, Any]]:
    """Peaks of one score and of the forward pass at every length, each in a fresh process."""
    cases: list[dict[str, Any]] = []
    for length in lengths:
        print(f"{score}, {queries or 'all'} queries, {length} tokens", file=sys.stderr)
        alone = _in_fresh_process("forward", queries, layers, length)
        ours = _in_fresh_process(score, queries, layers, length)
        cases.append(
            {
                "score": score,
                "queries": queries,
                "length": length,
                "forward_peak_bytes": alone["peak"],
                "evict_peak_bytes": ours["peak"],
                "seconds": ours["seconds"],
                "quadratic_part": quadratic_part(cases, ours["peak"], length),
            }
        )
    return cases


def quadratic_part(shorter: Sequence[dict[str, Any]], peak_bytes: float, length: int) -> float | None:
    """How often one head's n² floats are in a peak, from the lengths n, n/2 and n/4.

    Of a constant, a part that grows with n and one that grows with n², only the last is left in P(n) − 3 P(n/2) + 2 P(n/4),
    ⅜ of it. None if the two shorter lengths weren't measured.
    """
    by_length = {case["length"]: case["evict_peak_bytes"] for case in shorter}
    if length // 2 not in by_length or length // 4 not in by_length:
        return None
    left: float = peak_bytes - 3 * by_length[length // 2] + 2 * by_length[length // 4]
    return round(left / (3 / 8) / (_FLOAT * length**2), 2) + 0.0  # no −0


def _in_fresh_process(score: str, queries: int | None, layers: int, length: int) -> dict[str, float]:
    done = in_fresh_process("benchmarks.eviction_memory", "--one", score, queries or 0, layers, length)
    measured: dict[str, float] = json.loads(last_line(done))
    return measured


def _rows(cases: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["score", "queries", "n", "forward", "evict", "beyond", "in n²", "growth", "n² part", "claim"]]
    for case, before in zip(cases, [None, *cases[:-1]], strict=True):
        beyond = case["evict_peak_bytes"] - case["forward_peak_bytes"]
        doubled = before is not None and case["length"] == 2 * before["length"]
        growth = case["evict_peak_bytes"] / before["evict_peak_bytes"] if before is not None and doubled else None
        rows.append(
            [
                f"`{case['score']}`",
                f"last {case['queries']}" if case["queries"] else "all",
                str(case["length"]),
                *(f"{case[f'{name}_peak_bytes'] / _MIB:.0f} MiB" for name in ("forward", "evict")),
                f"{beyond / _MIB:.0f} MiB",
                f"{beyond / _FLOAT / case['length'] ** 2:.1f}",
                "–" if growth is None else f"{growth:.2f}",
                "–" if _long_part(case) is None else f"{_long_part(case):.2f}",
                _claim(case),
            ]
        )
    return rows


def _claim(case: dict[str, Any]) -> str:
    """Whether the part that grows with n² is what is claimed: none with a window, otherwise one head's map at most."""
    part = _long_part(case)
    if part is None:
        return "–"
    bound, name = (0, "linear") if case["queries"] else (1, "one n²")
    return f"{name}: {'holds' if part <= bound + _ROUNDING else '**fails**'}"


def _long_part(case: dict[str, Any]) -> float | None:
    """The quadratic part; None for texts so short that other parts decide about the peak."""
    part: float | None = case["quadratic_part"]
    return part if case["length"] >= (_LONG_WITH_WINDOW if case["queries"] else _LONG) else None


_NOTES = (
    "Growth of resident memory to its peak, each in a process of its own, on a Llama-like model (d 2048, 32/8 heads, "
    "{layers} layers, float32, random weights) that was used once before. *Forward*: a pass of the same text with SDPA. "
    "*Beyond*: *evict* less *forward*, also in units of n² floats, one head's map; a part of this grows with n alone. "
    "*Growth*: of the peak of *evict*, from half the length (2: linear, 4: quadratic). *n² part*: the part of that peak "
    "that grows with n², in units of n² floats, from the lengths n, n/2 and n/4, for texts of at least {long} tokens, or "
    "{longer} with a window: below that, the peak is reached at another moment of the run. *Claim*: no n² part with the "
    "last {window} queries, at most 1 with all; {rounding} more is allowed, for the spread of a process's memory."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short case; writes no results")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)  # SCORE QUERIES LAYERS LENGTH
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        (score, last), (layers, length) = options.one[:2], map(int, options.one[2:])
        print(json.dumps(peak_of(score, int(last) or None, layers, length)))
        return
    described, cases = machine(), []
    for score, queries, lengths in [("weight", None, (128, 256))] if options.quick else CASES:
        cases += measure_case(score, queries, lengths, options.layers)
    notes = _NOTES.format(
        layers=options.layers, window=WINDOW, long=_LONG, longer=_LONG_WITH_WINDOW, rounding=_ROUNDING
    )
    page = Page("Peak memory of evictions", [notes], _rows(cases), cases, described)
    print(page.markdown())
    if not options.quick:
        page.write("eviction_memory")


if __name__ == "__main__":
    main()
