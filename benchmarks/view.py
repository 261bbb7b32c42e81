"""The explorer in a browser: first picture, switch of heads, hover; beside it bertviz' head view and model view.

Run it with ``python -m benchmarks.view`` (``--quick`` for one short text). Needs Chromium; bertviz is measured where
``pip install bertviz`` was run and npm can fetch the libraries of its pages.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Error

import normlens

from . import bertviz_pages
from .machine import Page, machine
from .page_timing import chromium, median_seconds, new_page, seconds
from .processes import in_fresh_process

CASES = [("minilm-l6", 128), ("minilm-l6", 512), ("smollm2-135m", 1024), ("smollm2-135m", 4096)]
_VIEWS = {"head_view": "bertviz head view", "model_view": "bertviz model view"}
_DRAWN = {"head_view": "#vis svg line", "model_view": "#vis svg .attn_background"}
_PATIENCE = 180.0  # seconds for a page
_REST = 1500  # milliseconds between two switches of a reader
Timing = dict[str, Any]


def text_of(model: str, tokens: int) -> str:
    """The beginning of a page of the docs that has this many tokens, or a few less."""
    docs = Path(__file__).parents[1] / "docs"
    pages = " ".join(path.read_text(encoding="utf-8") for path in sorted(docs.glob("*.md")))
    words = re.sub(r"[^\w\s.,]", "", pages).split()
    tokenizer = normlens.load(model).tokenizer
    assert tokenizer is not None
    low, high = 1, tokens
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(tokenizer(" ".join(words[:middle]))["input_ids"]) <= tokens
        low, high = (middle, high) if fits else (low, middle - 1)
    return " ".join(words[:low])


@contextmanager
def explorer(model: str) -> Iterator[str]:
    """The address of an explorer that has loaded its model."""
    command = [sys.executable, "-m", "normlens", "view", model, "--no-browser", "--text", "A text."]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = re.search(r"http://\S+", server.stderr.readline())
            assert address is not None
            yield address[0]
        finally:
            server.terminate()


def time_explorer(browser: Browser, address: str, text: str) -> Timing:
    """Seconds of the explorer on one text."""
    page = new_page(browser, _PATIENCE)
    page.goto(f"{address}&text={quote(text)}")
    picture = seconds(page, 'untilPainted(".scatter circle")')
    computing = re.search(r"in ([\d.]+) s", page.locator("footer").inner_text())
    assert computing is not None
    received = page.evaluate("performance.getEntries().reduce((sum, one) => sum + (one.transferSize || 0), 0)")
    unseen = [seconds(page, "openHead(argument)", place) for place in (3, 33, 63)]
    switches = []
    for key in ["ArrowRight"] * 4 + ["ArrowDown"] * 3:
        page.wait_for_timeout(_REST)
        switches.append(seconds(page, "pressKey(argument)", key))
    page.wait_for_timeout(_REST)
    timing = {
        "view": "normlens", "picture": picture, "forward": float(computing[1]), "bytes": received,
        "after": picture - float(computing[1]), "switch": median(switches), "unseen": median(unseen),
        "hover": max(median_seconds(page, "pointAtMap(60)"), median_seconds(page, "pointAtTokens(60)")),
    }  # fmt: skip
    page.context.close()
    return timing


def time_bertviz(browser: Browser, view: str, model: str, text: str, folder: Path) -> Timing:
    """Seconds of a view of bertviz on one text, or why it shows nothing."""
    source, path = folder / "text.txt", folder / f"{view}.html"
    source.write_text(text, encoding="utf-8")
    done = in_fresh_process("benchmarks.bertviz_pages", view, model, source, path)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        memory = f"more than {bertviz_pages.MEMORY / 2**30:.0f} GiB of memory"
        wants_memory = any(word in done.stderr for word in ("MemoryError", "allocate memory")) or done.returncode < 0
        return {"view": _VIEWS[view], "failure": memory if wants_memory else (lines or ["no reason"])[-1]}
    made = json.loads(done.stdout.splitlines()[-1])
    page = new_page(browser, _PATIENCE)
    page.route("https://cdnjs.cloudflare.com/**", lambda route: bertviz_pages.answer(route, folder))
    timing = {"view": _VIEWS[view], **made}
    start = time.monotonic()
    try:
        page.goto(path.as_uri(), wait_until="commit")
        page.locator(_DRAWN[view]).first.wait_for(
            state="attached"
        )  # fails if the page crashes, which a timer would wait for
        drawn = seconds(page, f'untilPainted("{_DRAWN[view]}")')
        timing |= {"after": made["page"] + drawn, "picture": made["forward"] + made["page"] + drawn}
        if view == "head_view":
            timing["switch"] = median(seconds(page, "chooseLayer(argument)", layer) for layer in ("1", "2", "3"))
            timing["hover"] = median_seconds(page, "pointAtLeft(20)")
    except Error as error:
        waited = time.monotonic() - start
        timing["failure"] = f"the page fails after {waited:.0f} s" + ("" if "imeout" in str(error) else ": it crashes")
    finally:
        page.context.close()
        path.unlink(missing_ok=True)
    return timing


def measure(cases: list[tuple[str, int]], folder: Path) -> list[Timing]:
    """Every view of every text."""
    timings: list[Timing] = []
    with_bertviz = bertviz_pages.is_installed()
    if with_bertviz:
        bertviz_pages.fetch_libraries(folder)
    else:
        print("bertviz or npm isn't here, so only the explorer is measured.", file=sys.stderr)
    for model, tokens in cases:
        text, facts = text_of(model, tokens), {"model": model, "tokens": tokens}
        with explorer(model) as address, chromium() as browser:
            page = new_page(browser, _PATIENCE)
            page.goto(address)
            seconds(page, 'untilPainted(".scatter circle")')
            page.context.close()
            timings.append({**facts, **time_explorer(browser, address, text)})
        print(timings[-1], file=sys.stderr)
        for view in _VIEWS if with_bertviz else ():
            with chromium() as browser:
                timings.append({**facts, **time_bertviz(browser, view, model, text, folder)})
            print(timings[-1], file=sys.stderr)
    return timings


def _rows(timings: list[Timing]) -> list[list[str]]:
    rows = [
        [
            "text",
            "view",
            "first picture",
            "of that, after the run",
            "MB",
            "switch",
            "to an unseen layer",
            "hover",
            "÷ normlens",
        ]
    ]
    for one in timings:
        ours = next(
            x for x in timings if x["view"] == "normlens" and (x["model"], x["tokens"]) == (one["model"], one["tokens"])
        )
        text = f"{one['tokens']:,} tokens, {one['model']}"
        size = f"{one['bytes'] / 1e6:.1f}" if "bytes" in one else ""
        if "picture" not in one:
            rows.append([text, one["view"], f"none: {one['failure']}", "", size, "", "", "", ""])
            continue
        cells = [f"{one['picture']:.1f} s", f"{one['after']:.1f} s", size]
        cells += [
            f"{1000 * one[key]:.0f} ms" if key in one else one.get("failure", "")
            for key in ("switch", "unseen", "hover")
        ]
        rows.append([text, one["view"], *cells, f"{one['picture'] / ours['picture']:.1f}"])
    return rows


_NOTES = [
    "In Chromium without a window or a graphics processor, with the model loaded. *First picture*: from asking for "
    "the page to the painted scatter of all heads; of bertviz, the forward pass with its weights, making the page, "
    "and drawing it. *MB*: what the browser receives for it. *Switch*: to the next head or layer, after a rest of "
    "1.5 s, until it is painted; of bertviz, to another layer. *To an unseen layer*: a click on a head of a layer "
    "that wasn't looked at, without a rest. *Hover*: one frame in which the pointer moves: script, style, layout "
    f"and paint. Medians. bertviz may take {bertviz_pages.MEMORY / 2**30:.0f} GiB, and its page {_PATIENCE:.0f} s. "
    "The goals at 1,024 tokens: a picture 2 s after the run, a switch in 100 ms, a hover in 16 ms."
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short text; writes no results")
    parser.add_argument("--tokens", nargs="+", type=int, help="only texts of these lengths")
    options = parser.parse_args()
    cases = CASES[:1] if options.quick else [one for one in CASES if options.tokens is None or one[1] in options.tokens]
    described = machine()
    with tempfile.TemporaryDirectory() as folder:
        timings = measure(cases, Path(folder))
    page = Page("The explorer in the browser", _NOTES, _rows(timings), timings, described)
    print(page.markdown())
    if not options.quick:
        page.write("view")


if __name__ == "__main__":
    main()
