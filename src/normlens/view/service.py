"""The service behind the explorer: models, runs, overviews, maps and rows; it knows nothing of HTTP or notebooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from normlens.errors import InvalidInput, NormLensError, UnknownRun
from normlens.view.computation_queue import ComputationQueue
from normlens.view.default_memory import default_memory
from normlens.view.offered_model import OfferedModel, run_name
from normlens.view.run_job import RunJob

if TYPE_CHECKING:
    from normlens.figures.explorer_page.binary_message import Message
    from normlens.view.exploration import Exploration

MOST_CHARACTERS = 100_000
_MOST_JOBS = 1_000
Result = TypeVar("Result")


class ViewService:
    """Answers an explorer's requests. Threads may share it: one thread computes, and the others wait for it.

    Parameters
    ----------
    models
        The models that can be chosen; the first one is the default.
    text, target_text
        What is shown first; the second text is that of encoder–decoders.
    gold
        Links between the words of these two texts that an annotator made, as :meth:`align` takes them.
    clusters
        Clusters of heads, as `normlens view --clusters` reads them; None if there are none.
    memory
        Bytes that runs and maps may take together; None for :func:`default_memory`. What was used longest ago is dropped,
        and computed again when needed.
    log
        Takes one line for every request that failed.
    """

    def __init__(
        self,
        models: list[OfferedModel],
        *,
        text: str = "",
        target_text: str = "",
        gold: str = "",
        clusters: Mapping[str, Any] | None = None,
        memory: int | None = None,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._offered = {model.name: model for model in models}
        self._first = {"text": text, "targetText": target_text, "gold": gold, "clusters": clusters}
        self._memory, self._log = default_memory() if memory is None else memory, log
        self._queue = ComputationQueue()
        self._jobs: dict[str, RunJob] = {}
        self._guard = threading.Lock()
        self._kept: Any = None

    def models(self) -> dict[str, Any]:
        """The names of the models, and what was given at the start: texts, links of their words, clusters of heads."""
        return {"models": list(self._offered), **self._first}

    def run(self, model: str, text: str, target_text: str = "") -> dict[str, Any]:
        """Have a model read a text, unless it has; returns at once, with the run's name and state.

        Raises
        ------
        InvalidInput
            If the model isn't one of those that can be chosen, or the text is empty or too long.
        TooBusy
            If too much is waiting.
        """
        offered = self._offered.get(model)
        if offered is None:
            raise InvalidInput(
                f"The model {model!r} isn't one of those that this explorer was started with: {', '.join(self._offered)}. "
                "Choose one of these, or start `normlens view` with it."
            )
        if not text.strip():
            raise InvalidInput("The text is empty. Type a text.")
        if max(len(text), len(target_text)) > MOST_CHARACTERS:
            raise InvalidInput(f"The text is longer than {MOST_CHARACTERS:,} characters. Shorten it.")
        name = run_name(offered, text, target_text)
        with self._guard:
            job = self._jobs.get(name)
            if job is not None and job.state in ("waiting", "loading", "running") and not job.is_cancelled.is_set():
                return job.facts()
            if job is not None and job.state == "done" and self._kept is not None and self._kept.has(name):
                return job.facts()
            job = RunJob(name)
            self._queue.submit(lambda: self._explore(job, offered, text, target_text))
            self._jobs.pop(name, None)
            self._jobs[name] = job
            while len(self._jobs) > _MOST_JOBS:
                self._jobs.pop(next(iter(self._jobs)))
            return job.facts()

    def progress(self, run: str) -> dict[str, Any]:
        """How far a run is.

        Raises
        ------
        UnknownRun
            If there is no such run.
        """
        return self._job(run).facts()

    def cancel(self, run: str) -> dict[str, Any]:
        """Stop a run after the layer that is being measured, or before it begins.

        Raises
        ------
        UnknownRun
            If there is no such run.
        """
        job = self._job(run)
        job.is_cancelled.set()
        return job.facts()

    def overview(self, run: str) -> Message:
        """Every head of a run, as a point and as thumbnails pooled by maximum.

        Raises
        ------
        UnknownRun
            If the run isn't in memory.
        """
        return self._computed(lambda: self._exploration(run).overview())

    def map(self, run: str, group: str, layer: int, head: int | None, measure: str | None = None) -> Message:
        """The weights and a measure of one head, or of all heads together (None), as float16 with a scale.

        The measure is "weighted_norm" (the default), "vector_norm", "displacement" or "contribution_weight"; of all heads
        together, "norm" (the default) or "contribution_weight", at every scope.

        Raises
        ------
        UnknownRun
            If the run isn't in memory.
        InvalidInput
            If the model has no such group, layer, head or measure.
        """
        return self._computed(lambda: self._exploration(run).map(group, layer, head, measure))

    def row(
        self, run: str, group: str, layer: int, head: int | None, target: int, measure: str | None = None
    ) -> Message:
        """The numbers of one target, exactly as they were measured; the measure is one of :meth:`map`.

        Raises
        ------
        UnknownRun
            If the run isn't in memory.
        InvalidInput
            If the model has no such group, layer, head or measure, or the text no such target.
        """
        return self._computed(lambda: self._exploration(run).row(group, layer, head, target, measure))

    def save(
        self, run: str, kind: str, group: str, layer: int, head: int | None, measure: str | None = None
    ) -> Message:
        """A file: a map as "csv", the whole analysis as "nc" (netCDF), or the page with its data inside as "html".

        Raises
        ------
        UnknownRun
            If the run isn't in memory.
        InvalidInput
            If there is no such format or map, or the analysis is too large for one netCDF file.
        """
        return self._made("saved_files", "saved_file", run, kind, group, layer, head, measure)

    def attribute(
        self, run: str, method: str = "decompx", place: int | None = None, token: str = "", against: str = ""
    ) -> Message:
        """The share of each token in what the model says, with its value, the bias share, and what else it expects.

        `place` is the token that is said (None: what comes after the text, or the class), `token` another one in its
        place, and `against` one whose logit is subtracted; see :meth:`normlens.Lens.attribute`. A model without a head
        says nothing: then the length of the vector at `place` is split.

        Raises
        ------
        UnknownRun
            If the run isn't in memory.
        InvalidInput
            If there is no such method, place or token, or the text is too long.
        """
        return self._made("attributed_text", "attributed", run, method, place, token, against)

    def flow(self, run: str, group: str, target: int, by: str = "norm", threshold: float = 0.01) -> Message:
        """Where a token's vector comes from, layer by layer: the edges that carry at least a share of it.

        By "norm" or by "weight"; what is hidden by the threshold is in the facts.

        Raises
        ------
        UnknownRun
            If the run isn't in memory.
        InvalidInput
            If there is no such group, token or measure, or the threshold isn't a share.
        """
        return self._made("flow_graph", "flow", run, group, target, by, threshold)

    def align(self, run: str, layer: int | None = None, gold: str = "") -> Message:
        """The words of an encoder–decoder's two texts, linked by weight and by norm (None: layer chosen), and beside gold.

        Raises
        ------
        UnknownRun
            If the run isn't in memory.
        InvalidInput
            If the model reads one text, has no such layer, the texts can't be aligned, or gold isn't links.
        """
        return self._made("aligned_words", "aligned", run, layer, gold)

    def close(self) -> None:
        """Cancel everything; the thread ends after what it computes."""
        for job in list(self._jobs.values()):
            job.is_cancelled.set()
        self._queue.close()

    def _job(self, run: str) -> RunJob:
        job = self._jobs.get(run)
        if job is None:
            raise UnknownRun("This explorer has no such result; it may have been restarted since. Run the text again.")
        return job

    def _computed(self, work: Callable[[], Result]) -> Result:
        """What the computing thread returns."""
        future: Future[Result] = self._queue.submit(work)
        return future.result()

    def _made(self, module: str, name: str, run: str, *arguments: object) -> Message:
        """What a function of a module, which is imported when it is first needed, makes of a run."""

        def make() -> Message:
            function = getattr(import_module(f"normlens.view.{module}"), name)
            return cast("Message", function(self._exploration(run), *arguments))

        return self._computed(make)

    def _exploration(self, run: str) -> Exploration:
        """The result of a run that is in memory; called by the computing thread."""
        exploration: Exploration | None = None if self._kept is None else self._kept.get(run)
        if exploration is None:
            raise UnknownRun("This result is no longer in memory. Run the text again.")
        return exploration

    def _explore(self, job: RunJob, offered: OfferedModel, text: str, target_text: str) -> None:
        """Run a model on a text; called by the computing thread."""
        job.state = "loading"  # the libraries too
        from normlens.view.kept_runs import KeptRuns, RunCancelled

        try:
            if job.is_cancelled.is_set():
                raise RunCancelled
            self._kept = self._kept or KeptRuns(self._memory)
            reader = self._kept.reader(offered)
            job.state = "running"
            self._kept.explore(job.name, reader, text, target_text, job.advance)
            job.state = "done"
        except RunCancelled:
            job.state = "cancelled"
        except NormLensError as error:
            job.state, job.message = "failed", str(error)
            self._log(f"{offered.name}: {error}")
        except Exception as error:
            job.state = "failed"
            job.message = f"{type(error).__name__}: {error}. This is a fault of normlens; report it."
            self._log(f"{offered.name}: {job.message}")
