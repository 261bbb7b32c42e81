"""``normlens align --fit``: models of both directions trained on the text that is aligned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from normlens.cli import language_pairs
from normlens.cli.choices import GuidingAligner
from normlens.cli.commands.align_options import ChoosingRule, Setting
from normlens.cli.destinations import check_creatable
from normlens.cli.opening import quiet
from normlens.cli.output.training_progress import training_progress

if TYPE_CHECKING:
    from normlens.translation import TrainedPair, TrainingText

UNGUIDED = {"masking": 0.5, "plain": 0.4}
"""Settings of a training without a guide: masked input makes the cross-attention align."""


@dataclass(frozen=True)
class Fitting:
    """The text that the models are trained on."""

    text: TrainingText

    @classmethod
    def planned(
        cls,
        source: Path,
        target: Path | None,
        more: list[str] | None,
        tokenize: str | None,
        languages: tuple[str | None, str | None],
    ) -> Fitting:
        """The text to be aligned, and further text.

        Raises
        ------
        InvalidInput
            If it is standard input, or too many files are named.
        """
        from normlens.translation import TrainingText

        files = language_pairs.text_files(source, target, more)
        return cls(
            TrainingText(
                files, *language_pairs.languages_of(files, tokenize, *languages), tokenize is not None, lowercase=True
            )
        )

    def train(self, folder: Path, guide: GuidingAligner, recipe: list[str] | None, device: str | None) -> TrainedPair:
        """Train both directions, or resume, showing progress.

        Raises
        ------
        NormLensError
            As :func:`normlens.translation.train`.
        """
        from normlens.translation import train

        check_creatable(folder)
        settings = {**(UNGUIDED if guide is GuidingAligner.none else {}), **language_pairs.recipe_settings(recipe)}
        with quiet(), training_progress() as progress:
            return train(
                self.text, folder, both=True, device=device, reporter=progress, **{"guide": guide.value, **settings}
            )

    def layer(
        self, guide: GuidingAligner, layer: int | None, rule: ChoosingRule | None, setting: Setting
    ) -> int | None:
        """The layer to read: as named, or the one that was trained to align; None if a rule chooses it."""
        from normlens.alignment.aligner import GUIDED_LAYER

        guided = guide is not GuidingAligner.none and rule is None and setting is Setting.awi
        return GUIDED_LAYER if layer is None and guided else layer
