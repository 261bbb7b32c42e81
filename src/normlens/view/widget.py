"""The explorer in a notebook's cell: the page of :func:`normlens.view.serve` over the kernel's messages, without a port."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import anywidget
import traitlets

from normlens.errors import NormLensError
from normlens.figures.explorer_page.binary_message import Message
from normlens.figures.explorer_page.embedded_page import static_folder
from normlens.lens import Lens
from normlens.view.offered_model import OfferedModel
from normlens.view.page_requests import Operations, status_of
from normlens.view.service import ViewService

_THREADS = 8  # that wait for the thread that computes


@dataclass(frozen=True)
class _Answering:
    """A service, and the threads that wait for its answers, so that the kernel doesn't."""

    service: ViewService
    operations: Operations
    pool: ThreadPoolExecutor


class ExplorerWidget(anywidget.AnyWidget):
    """The explorer of one model, for Jupyter, marimo, and whatever else shows anywidgets; see :meth:`normlens.Lens.view`.

    Nothing runs until the cell shows it, and nothing after the cell is closed.

    Parameters
    ----------
    lens
        The model.
    text, target_text
        What is shown first; the second text is that of encoder–decoders.
    memory
        Bytes that runs and maps may take together; None for an eighth of the machine's memory, from 1 to 4 GiB.

    Attributes
    ----------
    shown
        What is looked at, as in the address of the explorer's page: ``"#layer=4&head=2"``. To begin there, set it before the
        widget is shown.
    """

    _esm = static_folder() / "assets" / "widget.js"
    shown = traitlets.Unicode("").tag(sync=True)

    def __init__(self, lens: Lens, text: str = "", target_text: str = "", memory: int | None = None) -> None:
        super().__init__()
        self._lens, self._texts, self._memory = lens, (text, target_text), memory
        self._views: set[object] = set()
        self._answering: _Answering | None = None
        self.on_msg(self._received)

    @property
    def is_running(self) -> bool:
        """Whether a thread waits for what the reader does next: while a cell shows the explorer."""
        return self._answering is not None

    def close(self) -> None:
        """Take the explorer out of every cell, and end its threads."""
        self._end()
        super().close()

    def _received(self, widget: object, content: Mapping[str, Any], buffers: object) -> None:
        """Take a message of a cell: that it shows the explorer, that it no longer does, or a request."""
        if "view" in content:
            (self._views.add if content.get("isOpen") else self._views.discard)(content["view"])
            if not self._views:
                self._end()
            return
        answering = self._answering = self._answering or self._begun()
        answering.pool.submit(self._answer, answering.operations, content)

    def _begun(self) -> _Answering:
        name = self._lens.name
        model = OfferedModel(name, lambda: self._lens, self._lens.revision)
        service = ViewService([model], text=self._texts[0], target_text=self._texts[1], memory=self._memory)
        return _Answering(service, Operations(service), ThreadPoolExecutor(_THREADS, "normlens-cell"))

    def _end(self) -> None:
        if self._answering is not None:
            self._answering.service.close()
            self._answering.pool.shutdown(wait=False, cancel_futures=True)
        self._answering = None
        self._views.clear()

    def _answer(self, operations: Operations, content: Mapping[str, Any]) -> None:
        reply: dict[str, Any] = {"id": content.get("id")}
        buffers: list[bytes] = []
        try:
            answer = operations.answer(content.get("operation"), content.get("arguments"))
            if isinstance(answer, Message):
                buffers.append(answer.encoded())
            else:
                reply["answer"] = answer
        except CancelledError:  # the cell was closed
            return
        except NormLensError as error:
            reply |= {"error": str(error), "status": status_of(error)}
        except Exception as error:
            fault = f"{type(error).__name__}: {error}. This is a fault of normlens; report it."
            reply |= {"error": fault, "status": 500}
        self.send(reply, buffers)
