"""Opened models, and the runs and maps that are kept, bounded in bytes; only the computing thread uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from normlens.analysis.inspector import Inspector
from normlens.engine.tracing.tracer import RunStopped
from normlens.errors import InvalidInput
from normlens.inputs.example import Example
from normlens.inputs.example_maker import ExampleMaker
from normlens.loading.load import LoadedModel
from normlens.view.byte_cache import ByteCache
from normlens.view.exploration import Exploration
from normlens.view.viewed_maps import KeptMaps

if TYPE_CHECKING:
    from normlens.lens import Lens
    from normlens.view.offered_model import OfferedModel

MOST_TOKENS = 4096


class RunCancelled(RunStopped):
    """Nobody waits for this run any longer."""


class ExploredModel:
    """An opened model.

    Parameters
    ----------
    lens
        The model.
    """

    def __init__(self, lens: Lens) -> None:
        loaded = LoadedModel(lens.model, lens.tokenizer, lens.processor, lens.name, lens.revision)
        self.lens, self.name, self.revision = lens, lens.name, lens.revision
        self.inspector, self._maker = Inspector(lens.model), ExampleMaker(loaded)

    def example(self, text: str, target_text: str) -> Example:
        """The tensors and labels of a text.

        Raises
        ------
        InvalidInput
            If the model can't read it, or it has too many tokens.
        """
        if self._maker.has_decoder and not target_text:
            raise InvalidInput(
                f"{self.name} is an encoder–decoder, which reads two texts. Type the second one, such as a translation."
            )
        if target_text and not self._maker.has_decoder:
            raise InvalidInput(f"{self.name} reads one text. Leave the second one empty.")
        example = self._maker.make(text, target_text or None)
        length = max(len(side) for side in (example.source, example.target) if side is not None)
        if length > MOST_TOKENS:
            raise InvalidInput(
                f"The text has {length:,} tokens; the explorer shows {MOST_TOKENS:,} at most. Shorten it."
            )
        return example


class KeptRuns:
    """Opened models, and the runs and maps that fit into memory.

    Parameters
    ----------
    memory
        In bytes.
    """

    def __init__(self, memory: int) -> None:
        self._models: dict[str, ExploredModel] = {}
        self._of_one_run = memory * 5 // 8
        self._runs: ByteCache[Exploration] = ByteCache(memory * 3 // 4)
        self._maps: ByteCache[KeptMaps] = ByteCache(memory // 4)

    def reader(self, offered: OfferedModel) -> ExploredModel:
        """A model, opened when it is first needed."""
        if offered.name not in self._models:
            self._models[offered.name] = ExploredModel(offered.open())
        return self._models[offered.name]

    def explore(
        self, name: str, model: ExploredModel, text: str, target_text: str, advance: Callable[[int, int], None]
    ) -> None:
        """Run a model on a text, and keep the result.

        Parameters
        ----------
        name
            Name of the run.
        model, text, target_text
            What to run.
        advance
            Takes the numbers of layers that were measured, and of all; may raise :class:`RunCancelled`.
        """
        exploration = Exploration(name, model, model.example(text, target_text), self._of_one_run, self._maps)
        exploration.run(advance)
        self._runs.put(name, exploration, exploration.size)

    def has(self, name: str) -> bool:
        """Whether a run is kept."""
        return self._runs.get(name) is not None

    def get(self, name: str) -> Exploration | None:
        """A run; None if it isn't kept."""
        return self._runs.get(name)
