"""The service: names of runs, progress, cancelling, what is refused, and its bounds."""

from __future__ import annotations

import json
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from exploring import TEXT, explored, finished, opened, service_of

import normlens
from normlens.errors import InvalidInput, ModelNotFound, TooBusy, UnknownRun
from normlens.figures.explorer_page.binary_message import Message, PackedArray, exact, half
from normlens.figures.explorer_page.thumbnails import MOST_CELLS, Thumbnails, edges, shaded
from normlens.view import OfferedModel, ViewService
from normlens.view.byte_cache import ByteCache
from normlens.view.computation_queue import MOST_WAITING, ComputationQueue
from normlens.view.default_memory import LEAST, MOST, default_memory
from normlens.view.measured_run import targets_at_once
from normlens.view.offered_model import run_name


def test_a_message_is_a_header_and_little_endian_numbers() -> None:
    message = Message({"layer": 3}, {"a": exact(np.float32([1, 2])), "b": PackedArray(np.uint8([7]))})
    data = message.encoded()
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    assert header["layer"] == 3
    assert header["arrays"]["b"] == {"dtype": "uint8", "shape": [1], "offset": 8, "scale": 1.0}
    assert data[4 + length :] == struct.pack("<ff", 1, 2) + b"\x07" + bytes(7)
    assert (4 + length) % 8 == 0


def test_half_precision_is_relative_over_eight_decades_and_keeps_nan() -> None:
    values = np.float32([3e4, 1.234, 1.234e-3, -4e-4, np.nan, 0])
    _, arrays = opened(Message({}, {"x": half(values)}))
    assert arrays["x"] == pytest.approx(values, rel=2.0**-11, nan_ok=True)


def test_cells_take_the_largest_number_whatever_the_slices() -> None:
    assert edges(40).tolist() == [k * 40 // MOST_CELLS for k in range(MOST_CELLS)]
    maps = np.random.default_rng(0).normal(size=(2, 40, 70)).astype(np.float32)
    kept = np.arange(70) != 3
    whole = Thumbnails(2, 40, 70, kept)
    whole.add(0, maps)
    sliced = Thumbnails(2, 40, 70, kept)
    for start in (0, 7, 20):
        sliced.add(start, maps[:, start : {0: 7, 7: 20, 20: 40}[start]])
    assert np.array_equal(whole.whole, sliced.whole) and np.array_equal(whole.without, sliced.without)
    rows, columns = [*edges(40), 40], [*edges(70), 70]
    assert whole.whole[1, 4, 1] == np.abs(maps[1, rows[4] : rows[5], columns[1] : columns[2]]).max()
    steps, most = shaded(whole.whole)
    assert steps.max() == 255 and most[0] == np.abs(maps[0]).max()


def test_the_cache_is_bounded_and_drops_what_was_used_longest_ago() -> None:
    cache: ByteCache[str] = ByteCache(10)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    assert cache.get("a") == "A"
    cache.put("c", "C", 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("A", None, "C")
    cache.put("d", "D", 11)
    assert cache.get("d") is None and cache.size == 8
    cache.put("a", "A", 1)
    assert cache.size == 5


def test_the_queue_is_bounded_and_computes_in_order() -> None:
    queue, gate, done = ComputationQueue(), threading.Event(), []
    first = queue.submit(gate.wait)
    while not first.running():
        pass
    futures = [queue.submit(lambda k=k: done.append(k)) for k in range(MOST_WAITING)]
    with pytest.raises(TooBusy, match=rf"^{MOST_WAITING} requests are waiting"):
        queue.submit(gate.wait)
    gate.set()
    futures[-1].result(10)
    assert done == list(range(MOST_WAITING))
    queue.close()


def test_a_run_is_named_by_model_revision_and_texts() -> None:
    def name(model: str = "a", revision: str | None = None, text: str = "t", target: str = "") -> str:
        return run_name(OfferedModel(model, pytest.fail, revision), text, target)

    names = [name(), name("b"), name(revision="1"), name(text="u"), name(target="t")]
    assert len(set(names)) == len(names)
    assert name() == names[0]


def test_the_same_text_is_run_once(reader: normlens.Lens) -> None:
    service = service_of(reader)
    run = explored(service)
    again = service.run("tiny", TEXT)
    assert (again["run"], again["state"], again["done"]) == (run, "done", again["total"])


def test_a_cancelled_run_ends_and_can_be_run_again(reader: normlens.Lens) -> None:
    gate = threading.Event()

    def opening() -> normlens.Lens:
        gate.wait(10)
        return reader

    service = ViewService([OfferedModel("tiny", opening)])
    run = service.run("tiny", TEXT)["run"]
    service.cancel(run)
    gate.set()
    assert finished(service, run)["state"] == "cancelled"
    assert explored(service) == run


def test_what_is_refused_says_what_to_do(reader: normlens.Lens) -> None:
    service = service_of(reader)
    with pytest.raises(InvalidInput, match=r"'/etc/passwd' isn't one of those .* started with: tiny\. Choose one"):
        service.run("/etc/passwd", "text")
    with pytest.raises(InvalidInput, match=r"The text is empty\. Type a text\."):
        service.run("tiny", " \n")
    with pytest.raises(InvalidInput, match=r"longer than 100,000 characters"):
        service.run("tiny", "x" * 100_001)
    with pytest.raises(UnknownRun, match=r"restarted since\. Run the text again"):
        service.progress("gone")
    with pytest.raises(UnknownRun, match=r"no longer in memory\. Run the text again"):
        service.overview("gone")
    run = explored(service)
    with pytest.raises(InvalidInput, match=r"no kind of attention called 'cross'; this model has encoder"):
        service.map(run, "cross", 0, 0)
    with pytest.raises(InvalidInput, match=r"'encoder' has no layer 99; it has 0, 1"):
        service.map(run, "encoder", 99, None)
    with pytest.raises(InvalidInput, match=r"Layer 0 has no head 99; it has \d+, counted from 0"):
        service.map(run, "encoder", 0, 99)
    with pytest.raises(InvalidInput, match=r"no map of 'norm' of one head; expected one of weighted_norm, vector_norm"):
        service.map(run, "encoder", 0, 0, "norm")
    with pytest.raises(InvalidInput, match=r"no map of 'displacement' of all heads together; expected one of norm"):
        service.row(run, "encoder", 0, None, 0, "displacement")
    with pytest.raises(InvalidInput, match=r"There is no target -1"):
        service.row(run, "encoder", 0, 0, -1)


def test_a_model_that_cannot_be_opened_fails_with_its_reason_and_one_line_in_the_log() -> None:
    def refused() -> normlens.Lens:
        raise ModelNotFound("There is no such model. Choose another.")

    def broken() -> normlens.Lens:
        raise ZeroDivisionError("by zero")

    lines: list[str] = []
    service = ViewService([OfferedModel("gone", refused), OfferedModel("broken", broken)], log=lines.append)
    facts = finished(service, service.run("gone", TEXT)["run"])
    assert (facts["state"], facts["message"]) == ("failed", "There is no such model. Choose another.")
    facts = finished(service, service.run("broken", TEXT)["run"])
    assert facts["message"].startswith("ZeroDivisionError: by zero. This is a fault of normlens")
    assert [line.partition(":")[0] for line in lines] == ["gone", "broken"]


def test_a_text_that_is_too_long_for_the_model_fails_with_its_reason(
    reader: normlens.Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("normlens.view.kept_runs.MOST_TOKENS", 5)
    service = service_of(reader)
    facts = finished(service, service.run("tiny", TEXT)["run"])
    assert facts["state"] == "failed"
    assert facts["message"].endswith("the explorer shows 5 at most. Shorten it.")
    facts = finished(service, service.run("tiny", TEXT, "a second text")["run"])
    assert facts["message"].endswith("reads one text. Leave the second one empty.")


def test_hostile_tokens_become_visible_text(reader: normlens.Lens) -> None:
    service = service_of(reader)
    run = explored(service, "the </script> \x00 \u202e cat")
    facts, _ = opened(service.overview(run))
    for token in facts["groups"][0]["sources"]:
        assert token["text"].isprintable()


def test_slices_of_targets_are_small_enough_for_memory_to_be_used_again() -> None:
    assert targets_at_once(512, 12) is None
    assert targets_at_once(1024, 9) == 448
    assert targets_at_once(4096, 9) == 112
    assert 4 * 9 * 4096 * 112 <= 2**24
    assert targets_at_once(4096, 128) == 16


def test_memory_is_an_eighth_of_the_machine_s_or_of_the_container_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 24 * 2**18}.__getitem__)
    assert default_memory(limit) == 3 * 2**30  # no such file
    for text, expected in (("max\n", 3 * 2**30), (str(2**34), 2**31), (str(2**31), LEAST), (str(2**50), 3 * 2**30)):
        limit.write_text(text)
        assert default_memory(limit) == expected
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**30}.__getitem__)
    assert default_memory(limit) == MOST


def test_half_precision_is_rounded_as_numpy_does() -> None:
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32) * np.float32(10.0) ** -(
        np.arange(10_000) % 12
    ).astype(np.float32)
    values[::7] = -values[::7]
    packed = half(values)
    assert np.array_equal(packed.numbers, (values * np.float32(1 / packed.scale)).astype(np.float16))
    assert packed.numbers.dtype == np.float16 and np.isnan(half(np.float32([np.nan, 1])).numbers[0])
    assert np.isfinite(half(np.float32([np.inf, 1])).scale)
