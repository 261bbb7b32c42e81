"""What ``normlens attribute`` and ``normlens compare`` share: what is asked of a method, and its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from normlens.cli.opening import quiet
from normlens.cli.terminal import messages, starting, waiting
from normlens.engine.tracing.layer_numbers import listed
from normlens.errors import InvalidInput, NormLensError

if TYPE_CHECKING:
    import xarray as xr
    from transformers import PreTrainedConfig

    from normlens import Lens
    from normlens.attribution import Method
    from normlens.figures import Row
    from normlens.loading.outline import Outline

Read = str | dict[str, list[str]]
"""A text, or its words."""

_TELLING = ("decompx", "gradient_input", "norm_rollout", "alti", "rollout")
_SHAPES = ("layers", "at", "vectors")  # options that ask for something else than shares of words
_TELLING_PAIRS = ("decompx", "gradient_input", "alti_plus")


@dataclass(frozen=True)
class Asked:
    """What is to be explained in a text, as it was typed.

    Attributes
    ----------
    target
        A class or a token; None for what the model predicts.
    against
        Another one, whose logit is taken off.
    position
        Where the target is read, and whose row of a map is shown.
    row
        The row of a map that is shown instead: a number, or "mean".
    target_text
        An encoder–decoder's second text.
    text_pair
        A second text that is read with the first.
    """

    target: str | None = None
    against: str | None = None
    position: int | None = None
    row: str | None = None
    target_text: str | None = None
    text_pair: str | None = None

    def reads(self, text: Read) -> Any:
        """What the model reads: a text, its words, or two texts together."""
        return text if self.text_pair is None else {"text": text, "text_pair": self.text_pair}

    def check(self) -> None:
        """Refuse what can't be meant, before a model is loaded.

        Raises
        ------
        InvalidInput
            If the row is neither a number nor "mean".
        """
        self._row()

    def check_outline(self, outline: Outline, text: Read, methods: Sequence[Method] | None) -> None:
        """Refuse what a model can't be asked, before its weights are read.

        Parameters
        ----------
        outline
            The model.
        text
            What it is to read.
        methods
            Those that were named; None for a telling few, of which those that need a head may be left out.

        Raises
        ------
        InvalidInput
            With what would work.
        """
        from normlens.attribution import check_targets, head_of_outline

        outline.check_second_text(self.target_text is not None, "--target-text")
        if self.text_pair is not None and not isinstance(text, str):
            raise InvalidInput(
                "--text-pair reads two texts together, and the file holds one as its words. Give the text itself."
            )
        if methods is None or any(method.targets != "none" for method in methods):
            of_tokens = head_of_outline(outline) in ("next", "masked")
            named = [name for name in (self.target, self.against) if name is not None]
            check_targets(outline, [_atom(name, of_tokens, outline.config) for name in named], self.position)
        self._check_places(outline, text)

    def _check_places(self, outline: Outline, text: Read) -> None:
        """Refuse a position or a row behind the last token of the text."""
        from normlens.words import joined_words

        row = self._row()
        text = text if isinstance(text, str) else joined_words(text["words"])
        places = {"--position": self.position, "--row": None if self.row is None or row == "mean" else row}
        asked = {name: place for name, place in places.items() if isinstance(place, int)}
        if not asked or outline.tokenizer is None or outline.is_encoder_decoder:
            return
        count = len(outline.tokenizer(text, self.text_pair, verbose=False)["input_ids"])
        for name, place in asked.items():
            if not -count <= place < count:
                raise InvalidInput(
                    f"{name} is {place}; this text has {count} tokens, 0 to {count - 1} (negative numbers count from its "
                    "end)."
                )

    def options(self, lens: Lens, method: Method) -> dict[str, Any]:
        """What :meth:`normlens.Lens.attribute` takes of this for a method; a map knows no target.

        Raises
        ------
        InvalidInput
            If the method needs a target, none is named, and the model has no head.
        """
        given: dict[str, Any] = {} if self.target_text is None else {"target_text": self.target_text}
        if method.targets == "none":
            return given
        if has_head(lens) or self.target is not None or self.against is not None:
            return given | {"target": self._target(lens), "position": self.position}
        if method.targets == "required":
            raise InvalidInput(
                f"{method.name} needs a --target, and {type(lens.model).__name__} has no head that could give one. Load the "
                "model with --task, or take a method without a target, such as norm_rollout."
            )
        return given

    def row_of(self, lens: Lens, results: Sequence[xr.DataArray]) -> Row:
        """The row of maps that is shown: as asked, where the target is read, or a masked model's mask."""
        row = self._row()
        maps = [result for result in results if "target_id" in result.coords]
        mask = getattr(lens.tokenizer, "mask_token_id", None)
        if row is not None or mask is None or not maps:
            return row
        places = [k for k, token in enumerate(maps[0]["target_id"].values.tolist()) if token == mask]
        return places[0] if len(places) == 1 else None

    def _row(self) -> Row:
        if self.row is None or self.row == "mean":
            return self.position if self.row is None else "mean"
        try:
            return int(self.row)
        except ValueError:
            raise InvalidInput(
                f"--row is {self.row!r}; expected the number of a position (negative: from the end), or mean."
            ) from None

    def _target(self, lens: Lens) -> Any:
        """The target as the library takes it; None where nothing is named."""
        from normlens.attribution import Predicted

        if self.target is None and self.against is None:
            return None
        of_tokens, config = lens.model.get_output_embeddings() is not None, lens.model.config
        named = Predicted() if self.target is None else _atom(self.target, of_tokens, config)
        return named if self.against is None else (named, _atom(self.against, of_tokens, config))


def explain(
    lens: Lens,
    text: Read,
    asked: Asked,
    method: Method,
    scope: str | None = None,
    layer: int | None = None,
    own: Mapping[str, Any] = MappingProxyType({}),
) -> xr.DataArray:
    """One method's answer for a text.

    Parameters
    ----------
    lens, text, asked
        The model, what it reads, what is to be explained.
    method, scope
        As :meth:`normlens.Lens.attribute` takes them.
    layer
        For methods with layers: the map rolled out through this layer, or what this layer adds to the target.
    own
        From :func:`own_options`.

    Raises
    ------
    NormLensError
        As :meth:`normlens.Lens.attribute`; also if there is no such layer.
    """
    options = {**asked.options(lens, method), **own}
    if layer is not None:
        options["layers"] = "rolled" if method.targets == "none" else "each"
    with waiting(f"Asking {method.name}"), quiet():
        result: xr.DataArray = lens.attribute(asked.reads(text), method=method.name, scope=scope, **options)
    if layer is None:
        return result
    numbers = result["layer"].values.tolist()
    if layer not in numbers:
        raise InvalidInput(f"There is no layer {layer}; expected one of {listed(numbers)}.")
    return result.sel(layer=layer)


def check_question(method: Method, scope: str | None, own: Mapping[str, Any]) -> None:
    """Refuse a scope or an option that a method doesn't have, or a value that it can't take.

    Raises
    ------
    InvalidInput
        With what would work.
    """
    from normlens.attribution import checked_request

    with starting():
        checked_request(method, scope, None if method.targets == "none" else "any", None, own)


def own_options(given: Sequence[str], method: Method) -> dict[str, Any]:
    """A method's own options from ``NAME=VALUE``; a value is read as JSON, or as text where it is none.

    Raises
    ------
    InvalidInput
        If the method has no such option, or there is no value.
    """
    known = [name for name in method.options if name not in _SHAPES]
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or name not in known:
            raise InvalidInput(
                f"--option is {one!r}; expected NAME=VALUE, and {method.name} has "
                f"{'the options ' + ', '.join(known) if known else 'no options of its own'}."
            )
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"--option {name} has a value of {len(value)} characters that can't be read; expected a number or a word."
            ) from error
    return found


def methods_named(names: str | None) -> list[Method] | None:
    """The methods of a list with commas; None for none.

    Raises
    ------
    InvalidInput
        If one doesn't exist, or is named twice.
    """
    if names is None:
        return None
    named = [name.strip() for name in names.split(",")]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise InvalidInput(f"--method names {', '.join(map(repr, twice))} twice; expected each method once.")
    return _imported(named)


def methods_asked(values: Mapping[str, Any]) -> list[Method]:
    """The methods that a command was asked for, by the values of its parameters.

    Raises
    ------
    InvalidInput
        If one doesn't exist, or is named twice.
    """
    if "methods" in values:
        return methods_named(values["methods"]) or _imported([*_TELLING, *_TELLING_PAIRS])
    return _imported([values["method"]])


def _imported(names: Sequence[str]) -> list[Method]:
    """Methods by name; a name that doesn't exist is refused before any of them is imported."""
    from normlens.attribution import check_method, method_named

    for name in names:
        check_method(name)
    with starting():
        return [method_named(name) for name in names]


def explain_all(lens: Lens, text: Read, asked: Asked, methods: Sequence[Method] | None) -> list[xr.DataArray]:
    """Several methods' answers for a text; without names, a telling few, less those that can't explain this model.

    Raises
    ------
    NormLensError
        If a method that was named, or every one of the telling few, can't explain this.
    """
    if methods is not None:
        return [explain(lens, text, asked, method) for method in methods]
    from normlens.attribution import method_named

    found, error = [], None
    for name in _TELLING_PAIRS if lens.model.config.is_encoder_decoder else _TELLING:
        try:
            found.append(explain(lens, text, asked, method_named(name)))
        except NormLensError as refused:
            error = error or refused
            messages().print(f"Left out {name}: {refused}", markup=False, soft_wrap=True)
    if error is not None and not found:
        raise error
    return found


def has_head(lens: Lens) -> bool:
    """Whether the model predicts something: a class, a token, an answer."""
    from normlens.attribution import head_of

    return head_of(lens.model) != "none"


def _atom(given: str, of_tokens: bool, config: PreTrainedConfig) -> str | int:
    """A class by its number, where the model has classes and none of that name; a token by ``id:`` and its number."""
    if of_tokens:
        number = given.removeprefix("id:")
        return int(number) if number != given and number.isdecimal() else given
    from normlens.attribution import class_names

    is_number = given.strip().isdecimal() and given.strip() not in class_names(config)
    return int(given) if is_number else given
