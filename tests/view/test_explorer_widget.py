"""The explorer's widget: a cell's messages against the service, on a small model, without a notebook."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from exploring import TEXT

import normlens
from normlens.figures.explorer_page.binary_message import decoded
from normlens.view import ExplorerWidget


class Cell:
    """A cell that shows a widget: it sends requests and keeps the answers."""

    def __init__(self, widget: ExplorerWidget, monkeypatch: pytest.MonkeyPatch) -> None:
        self.widget, self.count = widget, 0
        self.answers: dict[str, tuple[dict[str, Any], list[bytes]]] = {}
        monkeypatch.setattr(
            widget, "send", lambda content, buffers: self.answers.update({content["id"]: (content, buffers)})
        )
        self.tell(view="one", isOpen=True)

    def tell(self, **content: Any) -> None:
        self.widget._handle_custom_msg(content, [])

    def asked(self, operation: Any, arguments: Any) -> tuple[dict[str, Any], list[bytes]]:
        """The answer to a request."""
        self.count += 1
        name = f"one/{self.count}"
        self.tell(id=name, operation=operation, arguments=arguments)
        for _ in range(3000):
            if name in self.answers:
                return self.answers[name]
            time.sleep(0.01)
        raise AssertionError(f"{operation} has no answer")

    def explored(self) -> str:
        """The name of a run that has ended."""
        facts = self.asked("run", {"model": self.widget._lens.name, "text": TEXT})[0]["answer"]
        while facts["state"] in ("waiting", "loading", "running"):
            facts = self.asked("progress", {"run": facts["run"]})[0]["answer"]
        assert facts["state"] == "done", facts
        return str(facts["run"])


@pytest.fixture
def cell(reader: normlens.Lens, monkeypatch: pytest.MonkeyPatch) -> Cell:
    return Cell(reader.view(TEXT), monkeypatch)


def new_threads(before: set[threading.Thread]) -> set[str]:
    """The names of threads that weren't there before, when those that end have ended."""
    for _ in range(300):
        names = {one.name for one in set(threading.enumerate()) - before}
        if not names:
            break
        time.sleep(0.01)
    return names


def test_a_cell_is_answered_by_the_service(cell: Cell, reader: normlens.Lens) -> None:
    offer = cell.asked("models", {})[0]["answer"]
    assert offer == {"models": [reader.name], "text": TEXT, "targetText": "", "gold": "", "clusters": None}
    run = cell.explored()
    place = {"run": run, "group": "encoder", "layer": 1, "head": 1}
    content, buffers = cell.asked("row", {**place, "target": 2})
    assert set(content) == {"id"}
    _, arrays = decoded(buffers[0])
    expected = reader.analyze(TEXT)["encoder"].weight.sel(layer=1, head=1).values[2]
    assert np.array_equal(arrays["weight"], expected)
    cell.widget.close()


@pytest.mark.parametrize(
    ("operation", "arguments", "status", "says"),
    [
        ("rm", {}, 400, "There is no operation 'rm'; expected one of models, run"),
        (["run"], {}, 400, "There is no operation"),
        ("run", [], 400, "isn't a JSON object"),
        ("run", {"model": 3, "text": "a"}, 400, "'model' can't be int"),
        ("run", {"text": "a"}, 400, "arguments don't fit"),
        ("run", {"model": "/etc/passwd", "text": "a"}, 400, "isn't one of those"),
        ("overview", {"run": "none"}, 404, "Run the text again"),
    ],
)
def test_what_cannot_be_answered_is_refused(cell: Cell, operation: Any, arguments: Any, status: int, says: str) -> None:
    content, buffers = cell.asked(operation, arguments)
    assert (content["status"], buffers) == (status, [])
    assert says in content["error"]
    cell.widget.close()


def test_a_fault_is_told(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault() -> None:
        raise ZeroDivisionError("of course")

    cell.asked("models", {})
    answering = cell.widget._answering
    assert answering is not None
    monkeypatch.setitem(answering.operations._works, "models", fault)
    content, _ = cell.asked("models", {})
    assert content["status"] == 500 and "ZeroDivisionError: of course. This is a fault of normlens" in content["error"]
    cell.widget.close()


def test_nothing_runs_before_a_cell_shows_it_or_after_the_last_is_closed(reader: normlens.Lens, cell: Cell) -> None:
    before = set(threading.enumerate())
    assert not reader.view(TEXT).is_running and not new_threads(before)
    cell.explored()
    cell.tell(view="another", isOpen=True)
    cell.tell(view="one", isOpen=False)
    assert cell.widget.is_running
    cell.tell(view="another", isOpen=False)
    assert not cell.widget.is_running and not new_threads(before)
    cell.explored()  # opened again
    cell.widget.close()
    assert not cell.widget.is_running and not new_threads(before)


def test_the_page_is_inside_the_widget_and_loads_nothing(reader: normlens.Lens) -> None:
    module = str(ExplorerWidget._esm)
    assert "attachShadow" in module and ".explorer" in module  # with its style
    assert not any(word in module for word in ("fetch(", "import(", "XMLHttpRequest", "localStorage"))
    assert reader.view(TEXT).shown == ""


def test_the_extra_is_named_where_it_is_missing(reader: normlens.Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "normlens.view.widget", None)
    with pytest.raises(normlens.NormLensError, match=r"anywidget.*pip install .normlens\[notebook\]"):
        reader.view(TEXT)
