"""The cost of attribution, in plain forward passes of the same model, and the memory of pushing forward.

Run it with ``python -m benchmarks.attribution``: the bundled models, texts of random tokens, processor seconds in turns.
Memory is the rise to the peak in a process of its own, where every chunk of vectors is freed before the next one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

import normlens
from normlens import Lens
from normlens.attribution import VectorNorm
from normlens.engine.frozen import Push, pull_back, push_forward

from .machine import Page, machine
from .processes import in_fresh_process, last_line, peak, start_peak

MODELS = ("minilm-l6", "smollm2-135m")
LAST = {"minilm-l6": "encoder.layer.5", "smollm2-135m": "model.layers.29"}
"""The last block of each model: vectors pushed there have crossed the whole model."""

MOST_SOURCES = {"minilm-l6": 128, "smollm2-135m": 32}
"""Only texts of at most this many tokens are pushed forward: each token costs a forward pass or more."""

_TOKEN = 1000


def token_ids(lens: Lens, length: int) -> list[int]:
    """Random tokens, the same in every run."""
    words = torch.randint(
        2000, lens.model.config.vocab_size - 1, (length,), generator=torch.Generator().manual_seed(length)
    )
    return [int(token) for token in words]


def variants(lens: Lens, name: str, length: int) -> dict[str, Callable[[], object]]:
    """The timed variants by name, the plain forward pass first.

    Parameters
    ----------
    lens, name
        A lens on one of `MODELS`, and its name.
    length
        Number of tokens.
    """
    ids = token_ids(lens, length)
    inputs = {"input_ids": torch.tensor([ids])}
    has_head = lens.model.get_output_embeddings() is not None
    target: Any = _TOKEN if has_head else VectorNorm()

    def forward() -> None:
        with torch.no_grad():
            lens.model(**inputs, **({"use_cache": False} if has_head else {}))

    def scalar(output: Any) -> torch.Tensor:
        score: torch.Tensor = output.logits[:, -1, _TOKEN] if has_head else output.last_hidden_state[:, 0].sum(-1)
        return score

    def asked(method: str, **options: Any) -> Callable[[], object]:
        return lambda: lens.attribute(ids, method=method, **options)

    calls = {
        "forward": forward,
        "pull back alone": lambda: pull_back(lens.model, inputs, scalar),
        "decompx": asked("decompx", target=target, position=-1 if has_head else 0),
    }
    if length <= MOST_SOURCES[name]:
        calls |= {
            "push forward, for each source": lambda: push_forward(lens.model, inputs, LAST[name]),
            "value_zeroing, for each source": asked("value_zeroing"),
        }
    return calls


def measure_time(name: str, length: int, rounds: int) -> dict[str, Any]:
    """Medians over rounds of the processor seconds relative to a forward pass in the same round."""
    lens = normlens.load(name)
    timed = variants(lens, name, length)
    for run in timed.values():
        run()
    ratios: dict[str, list[float]] = {variant: [] for variant in timed}
    for _ in range(rounds):
        seconds = {}
        for variant, run in timed.items():
            before, times = time.process_time(), 3 if variant == "forward" else 1
            for _ in range(times):
                run()
            seconds[variant] = (time.process_time() - before) / times
        for variant, taken in seconds.items():
            per = length if variant.endswith("for each source") else 1
            ratios[variant].append(taken / seconds["forward"] / per)
    return {"model": name, "length": length, "ratios": ratios}


def peak_of(name: str, length: int, chunk_size: int) -> dict[str, int]:
    """Rise of the resident memory in bytes, while all sources are pushed and while the model runs once."""
    lens = normlens.load(name)
    inputs = {"input_ids": torch.tensor([token_ids(lens, length)])}

    def rise(run: Callable[[], object]) -> int:
        before = start_peak()
        run()
        return peak() - before

    def forward() -> None:
        with torch.no_grad():
            lens.model(**inputs)

    def pushed() -> None:
        for _ in Push(lens.model, inputs, LAST[name], chunk_size=chunk_size):
            pass

    forward()
    return {"forward": rise(forward), "push": rise(pushed)}


def measure_memory(name: str, length: int, chunk_size: int) -> dict[str, Any]:
    """`peak_of` in a process of its own."""
    done = in_fresh_process("benchmarks.attribution", "--one", name, length, chunk_size)
    return {"model": name, "length": length, "chunk_size": chunk_size, **json.loads(last_line(done))}


def _spread(ratios: list[float] | None) -> str:
    return "–" if ratios is None else f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def _time_page(cases: list[dict[str, Any]], described: dict[str, str]) -> Page:
    rows = [["model", "tokens", *list(cases[0]["ratios"])[1:]]]
    for case in cases:
        cells = [_spread(case["ratios"].get(variant)) for variant in rows[0][2:]]
        rows.append([case["model"], str(case["length"]), *cells])
    notes = [
        f"Processor seconds in plain forward passes of one text (SDPA, no gradients), medians of "
        f"{len(cases[0]['ratios']['forward'])} alternating rounds (smallest to largest). *decompx*: `lens.attribute`, from "
        "ids to labeled shares. *for each source*: the total divided by the number of sources (left out where it would take "
        "minutes). The goals are 4 for pull back, and 3 for each source of push forward.",
    ]
    return Page("Attribution: time", notes, rows, cases, described)


def _memory_page(cases: list[dict[str, Any]], described: dict[str, str]) -> Page:
    rows = [["model", "tokens", "sources at a time", "forward", "push forward"]]
    for case in cases:
        sizes = (f"{case[key] / 2**20:.0f} MiB" for key in ("forward", "push"))
        rows.append([case["model"], str(case["length"]), str(case["chunk_size"]), *sizes])
    notes = ["Growth of resident memory to its peak, each in a process of its own; chunks of vectors are discarded."]
    return Page("Attribution: memory of pushing forward", notes, rows, cases, described)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", nargs="+", type=int, default=[16, 32, 64, 128, 512])
    parser.add_argument("--chunk-sizes", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # MODEL LENGTH CHUNK_SIZE
    options = parser.parse_args()
    if options.one:
        name, length, chunk_size = options.one
        print(json.dumps(peak_of(name, int(length), int(chunk_size))))
        return
    described, timed, held = machine(), [], []
    for name in MODELS:
        for length in options.lengths:
            print(f"{name}, {length} tokens", file=sys.stderr)
            timed.append(measure_time(name, length, options.rounds))
            if length <= MOST_SOURCES[name]:
                held += [measure_memory(name, length, chunk_size) for chunk_size in options.chunk_sizes]
    for page, file in (
        (_time_page(timed, described), "attribution"),
        (_memory_page(held, described), "attribution_memory"),
    ):
        print(page.markdown())
        page.write(file)


if __name__ == "__main__":
    main()
