"""The question that ``normlens attribute`` and ``normlens compare`` ask of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normlens.cli.commands.answer_options import AnswerOptions
from normlens.cli.media_inputs import Read, holds_media, media_named
from normlens.cli.terminal import counted
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    import xarray as xr
    from transformers import PreTrainedConfig

    from normlens import Lens
    from normlens.attribution import Method
    from normlens.figures import Row
    from normlens.loading.outline import Outline


@dataclass(frozen=True)
class AttributionQuestion:
    """What to explain in a text, as typed on the command line.

    Attributes
    ----------
    target
        A class or a token; None for what the model predicts.
    against
        Another class or token, whose logit is subtracted.
    position
        Position where the target is read, and whose row of a map is shown.
    row
        Row of a map to show instead: a number, or "mean".
    target_text
        Text for the decoder to read (encoder–decoders only).
    text_pair
        Second text of a pair.
    answer
        The answer that is explained, and the passages.
    """

    target: str | None = None
    against: str | None = None
    position: int | None = None
    row: str | None = None
    target_text: str | None = None
    text_pair: str | None = None
    answer: AnswerOptions | None = None

    @property
    def explains_answer(self) -> bool:
        """Whether an answer is explained."""
        return self.answer is not None and self.answer.is_asked

    def reads(self, text: Read) -> Any:
        """The model's input: a text, its words, a pair of texts, or images and a sound."""
        return text if self.text_pair is None else {"text": text, "text_pair": self.text_pair}

    def check(self) -> None:
        """Refuse values that no model takes, before one is loaded.

        Raises
        ------
        InvalidInput
            If the row is neither a number nor "mean".
        """
        self._row()

    def check_outline(self, outline: Outline, text: Read, methods: Sequence[Method] | None) -> None:
        """Refuse what this model can't answer, before its weights are read.

        Parameters
        ----------
        outline
            The model before its weights are read.
        text
            The input.
        methods
            The methods; None for the default selection.

        Raises
        ------
        InvalidInput
            Naming what would work.
        """
        from normlens.attribution import check_targets, head_of_outline

        if self.explains_answer:
            assert self.answer is not None
            self.answer.check_outline(outline)
            return
        outline.check_media(**media_named(text))
        outline.check_second_text(self.target_text is not None, "--target-text")
        if self.text_pair is not None and not isinstance(text, str):
            raise InvalidInput("--text-pair takes a text, and the file is a treebank. Pass its sentence as TEXT.")
        if methods is None or any(method.targets != "none" for method in methods):
            of_tokens = head_of_outline(outline) in ("next", "masked")
            named = [name for name in (self.target, self.against) if name is not None]
            check_targets(outline, [_atom(name, of_tokens, outline.config) for name in named], self.position)
        self._check_positions(outline, text)

    def _check_positions(self, outline: Outline, text: Read) -> None:
        """Refuse a position or a row outside the text."""
        from normlens.words import joined_words

        if holds_media(text):
            return  # their processor says how many positions they take
        row = self._row()
        text = text if isinstance(text, str) else joined_words(text["words"])
        positions = {"--position": self.position, "--row": None if self.row is None or row == "mean" else row}
        asked = {name: position for name, position in positions.items() if isinstance(position, int)}
        if not asked or outline.tokenizer is None or outline.is_encoder_decoder:
            return
        count = len(outline.tokenizer(text, self.text_pair, verbose=False)["input_ids"])
        for name, position in asked.items():
            if not -count <= position < count:
                raise InvalidInput(
                    f"{name} is {position}; this text has {counted(count, 'token')}, 0 to {count - 1} (negative numbers "
                    "count from the end)."
                )

    def options(self, lens: Lens, method: Method) -> dict[str, Any]:
        """The options of :meth:`normlens.Lens.attribute` for a method.

        Raises
        ------
        InvalidInput
            If the method needs a target, none is named, and the model has no head.
        """
        options: dict[str, Any] = {} if self.target_text is None else {"target_text": self.target_text}
        options |= {} if self.answer is None else self.answer.options()
        if self.explains_answer:
            return options
        if method.targets == "none":
            return options
        if has_head(lens) or self.target is not None or self.against is not None:
            return options | {"target": self._target(lens), "position": self.position}
        if method.targets == "required":
            raise InvalidInput(
                f"{method.name} needs a --target, and {type(lens.model).__name__} has no head that could predict one. Load "
                "the model with --task, or use a method without a target, such as norm_rollout."
            )
        return options

    def row_of(self, lens: Lens, results: Sequence[xr.DataArray]) -> Row:
        """The row of maps to show: ``--row``, ``--position``, or the mask of a masked language model."""
        row = self._row()
        maps = [result for result in results if "target_id" in result.coords]
        mask = getattr(lens.tokenizer, "mask_token_id", None)
        if row is not None or mask is None or not maps:
            return row
        masks = [k for k, token in enumerate(maps[0]["target_id"].values.tolist()) if token == mask]
        return masks[0] if len(masks) == 1 else None

    def _row(self) -> Row:
        if self.row is None or self.row == "mean":
            return self.position if self.row is None else "mean"
        try:
            return int(self.row)
        except ValueError:
            raise InvalidInput(
                f"--row is {self.row!r}; expected a position (negative numbers count from the end), or mean."
            ) from None

    def _target(self, lens: Lens) -> Any:
        """The target as the library takes it; None if none is named."""
        from normlens.attribution import Predicted

        if self.target is None and self.against is None:
            return None
        of_tokens, config = lens.model.get_output_embeddings() is not None, lens.model.config
        named = Predicted() if self.target is None else _atom(self.target, of_tokens, config)
        return named if self.against is None else (named, _atom(self.against, of_tokens, config))


def has_head(lens: Lens) -> bool:
    """Whether the model predicts a class, a token or an answer."""
    from normlens.attribution import head_of

    return head_of(lens.model) != "none"


def _atom(name: str, of_tokens: bool, config: PreTrainedConfig) -> str | int:
    """A class name or number, a name winning; for tokens, the text, or the number after ``id:``."""
    if of_tokens:
        number = name.removeprefix("id:")
        return int(number) if number != name and number.isdecimal() else name
    from normlens.attribution import class_names

    is_number = name.strip().isdecimal() and name.strip() not in class_names(config)
    return int(name) if is_number else name
