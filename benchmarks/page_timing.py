"""Timing of pages in Chromium: until something is drawn, and how long the page needs to follow the pointer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

SIZE: ViewportSize = {"width": 1440, "height": 900}

_SCRIPT = """
const painted = () => new Promise((done) => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => done(performance.now());
  channel.port2.postMessage(0);
}));

/** Milliseconds since the page was asked for, when an element is there and painted. */
window.untilPainted = async (selector) => {
  while (!document.querySelector(selector)) await new Promise((done) => setTimeout(done, 5));
  return painted();
};

/** Milliseconds of a frame in which events are handled: script, style, layout and paint. */
window.frameWith = (events) => new Promise((done) => requestAnimationFrame(() => {
  const start = performance.now();
  for (const [element, event] of events) element.dispatchEvent(event);
  const channel = new MessageChannel();
  channel.port1.onmessage = () => done(performance.now() - start);
  channel.port2.postMessage(0);
}));

/** Milliseconds from an act until what `state` returns has changed and is painted. */
window.untilChanged = async (act, state) => {
  const before = state();
  const start = performance.now();
  act();
  while (state() === before) await new Promise((done) => setTimeout(done, 1));
  return (await painted()) - start;
};

window.pointAtMap = async (count) => {
  const map = document.querySelector(".panel canvas[role=img]");
  const box = map.getBoundingClientRect();
  const times = [];
  for (let step = 0; step < count; step += 1) {
    const [x, y] = [80 + ((37 * step) % (box.width - 90)), 80 + ((53 * step) % (box.height - 90))];
    const event = new PointerEvent("pointermove", { clientX: box.left + x, clientY: box.top + y, bubbles: true });
    times.push(await frameWith([[map, event]]));
  }
  return times;
};

window.pointAtTokens = async (count) => {
  const tokens = [...document.querySelectorAll(".targets button")];
  const times = [];
  for (let step = 0; step < count; step += 1) {
    const [left, entered] = [tokens[(7 * step) % 60], tokens[(7 * step + 7) % 60]];
    times.push(await frameWith([[left, new PointerEvent("pointerleave")], [entered, new PointerEvent("pointerenter")]]));
  }
  return times;
};

window.openHead = (place) => untilChanged(
  () => document.querySelectorAll(".scatter circle")[place].dispatchEvent(new MouseEvent("click", { bubbles: true })),
  () => document.querySelector(".panels")?.dataset.map,
);

window.pressKey = (key) => untilChanged(
  () => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })),
  () => document.querySelector(".panels")?.dataset.map,
);

window.chooseLayer = (layer) => {
  const choice = document.querySelector("#layer");
  return untilChanged(() => { choice.value = layer; choice.dispatchEvent(new Event("change", { bubbles: true })); },
    () => document.querySelector("#attention"));
};

window.pointAtLeft = async (count) => {
  const tokens = [...document.querySelectorAll("#left .background")].map((one) => one.parentNode);
  const times = [];
  for (let step = 0; step < count; step += 1) {
    times.push(await frameWith([[tokens[(7 * step) % tokens.length], new MouseEvent("mouseover", { bubbles: true })]]));
  }
  return times;
};
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a window.

    Raises
    ------
    RuntimeError
        If it isn't installed.
    """
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        raise RuntimeError("There is no Chromium here. Install it, as in: apt-get install chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]) as one,
    ):
        yield one


def new_page(browser: Browser, patience: float) -> Page:
    """A page with the timers of this module, which waits for ``patience`` seconds."""
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(1000 * patience)
    page.add_init_script(_SCRIPT)
    return page


def seconds(page: Page, call: str, argument: Any = None) -> float:
    """What a timer of the page returns, in seconds."""
    return float(page.evaluate(f"argument => {call}", argument)) / 1000


def median_seconds(page: Page, call: str) -> float:
    """The median of what a timer of the page returns, in seconds."""
    times: list[float] = page.evaluate(call)
    return median(times) / 1000
