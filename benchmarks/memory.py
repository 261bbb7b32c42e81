"""Peak memory of the analysis beyond an eager forward pass and the returned arrays.

Every run has its own process, whose peak resident memory is read. Run it with ``python -m benchmarks.memory``
(``--quick`` for one small case).
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import torch

from .machine import Page, free_memory, machine
from .processes import in_fresh_process, last_line, peak, start_peak
from .shapes import SHAPES, lens_on, token_ids
from .variants import analyses, forward

_FLOAT = 4


def peak_of(variant: str, shape_name: str, layers: int, batch: int, length: int) -> dict[str, int]:
    """Peak rise of this process's resident memory in bytes while one variant runs, and the size of its result.

    Parameters
    ----------
    variant
        "analysis", or "eager": a forward pass with eager attention whose weights are not kept.
    shape_name, layers, batch, length
        Model and input sizes.
    """
    lens = lens_on(SHAPES[shape_name].model(layers))
    ids = token_ids(batch, length)
    forward(lens.model, ids[:, :8], "eager")
    analyses(lens, ids[:, :8])
    before = start_peak()
    if variant == "eager":
        forward(lens.model, ids, "eager")
        return {"peak": peak() - before, "returned": 0}
    results = analyses(lens, ids)
    returned = sum(group.nbytes for one in results for group in one.data.children.values())
    return {"peak": peak() - before, "returned": returned}


def measure_case(shape_name: str, layers: int, batch: int, length: int) -> dict[str, Any]:
    """Both variants, each in a fresh process; the extra in numbers per text beside the bound 3 H n² + 2 H n d."""
    shape = SHAPES[shape_name]
    map_size, vectors = shape.heads * length**2, shape.heads * length * shape.width
    case: dict[str, Any] = {"shape": shape.name, "layers": layers, "batch": batch, "length": length}
    needed = _FLOAT * batch * ((layers + 6) * map_size + 4 * vectors)
    if needed > free_memory() / 2:
        return {**case, "skipped": f"would need about {needed / 2**30:.0f} GiB"}
    eager = _in_fresh_process("eager", shape_name, layers, batch, length)
    ours = _in_fresh_process("analysis", shape_name, layers, batch, length)
    extra = (ours["peak"] - ours["returned"] - eager["peak"]) / _FLOAT / batch
    bound = 3 * map_size + 2 * vectors
    return {
        **case,
        "skipped": None,
        "eager_peak_bytes": eager["peak"],
        "analysis_peak_bytes": ours["peak"],
        "returned_bytes": ours["returned"],
        "extra_numbers_per_text": extra,
        "bound_numbers_per_text": bound,
        "map_size": map_size,
        "vectors": vectors,
    }


def _in_fresh_process(variant: str, shape_name: str, layers: int, batch: int, length: int) -> dict[str, int]:
    case = (variant, shape_name, layers, batch, length, torch.get_num_threads())
    measured: dict[str, int] = json.loads(last_line(in_fresh_process("benchmarks.memory", "--one", *case)))
    return measured


def _rows(cases: list[dict[str, Any]]) -> list[list[str]]:
    rows = [
        ["shape", "batch × n", "eager forward", "analysis", "returned", "extra per text", "in H·n²", "of the bound"]
    ]
    for case in cases:
        start = [case["shape"], f"{case['batch']}×{case['length']}"]
        if case["skipped"] is not None:
            rows.append([*start, f"skipped: {case['skipped']}", *["–"] * 5])
            continue
        extra = case["extra_numbers_per_text"]
        sizes = [case[f"{name}_bytes"] for name in ("eager_peak", "analysis_peak", "returned")]
        rows.append(
            [
                *start,
                *[f"{size / 2**20:.0f} MiB" for size in sizes],
                f"{extra * _FLOAT / 2**20:.1f} MiB",
                f"{extra / case['map_size']:.2f}",
                f"{extra / case['bound_numbers_per_text']:.0%}",
            ]
        )
    return rows


_NOTES = [
    "Growth of resident memory to its peak, each in a process of its own, on a model that was used once before. "
    "*Eager forward*: the attention weights aren't kept. *Extra per text*: memory of the analysis beyond the eager forward "
    "pass and the returned arrays, divided by the batch size. *Of the bound*: as a share of 3·H·n² + 2·H·n·d numbers "
    "(float32) per text.",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small case; writes no results")
    parser.add_argument("--lengths", nargs="+", type=int, default=[128, 512, 2048])
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 1])
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)  # VARIANT SHAPE LAYERS BATCH LENGTH THREADS
    options = parser.parse_args()
    if options.one:
        variant, shape_name, layers, batch, length, threads = options.one
        torch.set_num_threads(int(threads))
        print(json.dumps(peak_of(variant, shape_name, int(layers), int(batch), int(length))))
        return
    if options.quick:
        options.lengths, options.batches, options.shapes = [128], [1], ["bert"]
    described, cases = machine(), []
    for shape_name in options.shapes:
        for length in options.lengths:
            for batch in options.batches:
                print(f"{SHAPES[shape_name].name}, {batch}×{length}", file=sys.stderr)
                cases.append(measure_case(shape_name, options.layers, batch, length))
    page = Page("Peak memory", _NOTES, _rows(cases), cases, described)
    print(page.markdown())
    if not options.quick:
        page.write("memory")


if __name__ == "__main__":
    main()
