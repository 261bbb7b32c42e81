"""Statistics of heads in the log of a training, at each evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback

from normlens.errors import InvalidInput
from normlens.statistics.heads.measured_heads import HeadStatistics
from normlens.statistics.heads.numbers import MEASURES, head_sums

if TYPE_CHECKING:
    from normlens.statistics.report.measured_corpus import Stream, Text

LOGGED = ("first_token_weight", "first_token_norm", "sink_by_weight", "sink_by_norm", "output_norm")
"""The quantities of heads that are logged, means over all heads; beside them the mixing ratio of each scope."""


class AttentionLog(TrainerCallback):  # type: ignore[misc]
    """Log sinks, output norms of heads and mixing ratios at each evaluation of transformers' ``Trainer``.

    Parameters
    ----------
    lens
        A lens on the very model that is trained: ``normlens.load((model, tokenizer))``.
    texts
        The texts to measure, the same at each evaluation. A few dozen are enough.
    log
        Takes the numbers by name; ``trainer.log`` sends them to the log history and to everything the trainer reports to.
    targets
        Target texts for encoder–decoders, one for each text.
    batch_size
        Texts per forward pass.

    Examples
    --------
    >>> lens = normlens.load((model, tokenizer))  # doctest: +SKIP
    >>> trainer.add_callback(AttentionLog(lens, texts, trainer.log))  # doctest: +SKIP
    """

    def __init__(
        self,
        lens: Stream,
        texts: Sequence[Text],
        log: Callable[[dict[str, float]], Any],
        targets: Sequence[Text] | None = None,
        batch_size: int = 8,
    ) -> None:
        if not texts:
            raise InvalidInput("texts is empty; expected at least one text to measure at each evaluation.")
        self._lens, self._texts, self._targets, self._batch_size = lens, list(texts), targets, batch_size
        self._log = log

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure the texts, and log means over heads and texts as ``attention/KIND/QUANTITY``.

        Parameters
        ----------
        args, state, control, **kwargs
            As the trainer passes them.

        Raises
        ------
        InvalidInput
            If another model is trained than the lens is on.
        """
        trained = kwargs.get("model", self._lens.model)
        if trained is not self._lens.model:
            raise InvalidInput(
                f"The trainer trains another model ({type(trained).__name__}) than the lens is on "
                f"({type(self._lens.model).__name__}). Make the lens from trainer.model."
            )
        self._log(self.measured())

    def measured(self) -> dict[str, float]:
        """The numbers that are logged, of the model as it is now."""
        measures = (*MEASURES, "mixing_ratio")
        statistics: dict[str, HeadStatistics] = {}
        ratios: dict[str, list[float]] = {}
        for analysis in self._lens.stream(
            self._texts, self._targets, measures=measures, reduce=head_sums, batch_size=self._batch_size, progress=False
        ):
            for kind in analysis.groups:
                data = analysis[kind].data
                statistics.setdefault(kind, HeadStatistics()).add(data)
                for scope, ratio in zip(
                    data["scope"].values, data["mixing_ratio"].mean(["layer", "target"]).values, strict=True
                ):
                    if np.isfinite(ratio):
                        ratios.setdefault(f"attention/{kind}/mixing_ratio_{scope}", []).append(float(ratio))
        numbers: dict[str, float] = {}
        for kind, of_kind in statistics.items():
            table = of_kind.table(resamples=1)
            overall = table[table["layer"].isna()].set_index("quantity")["value"]
            numbers |= {f"attention/{kind}/{name}": float(overall[name]) for name in LOGGED if name in overall}
        return numbers | {name: float(np.mean(values)) for name, values in ratios.items()}
