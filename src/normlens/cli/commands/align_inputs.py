"""The inputs of ``normlens align``: a parallel text, and one or two translation models."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlens.cli.opening import open_lens, quiet
from normlens.cli.terminal import messages, waiting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens.alignment import Extractor, Line, Reading
    from normlens.loading.outline import Outline

_SYMMETRIZATION = "grow-diag"


@dataclass(frozen=True)
class ParallelTexts:
    """A parallel text, with its length and fingerprint.

    Attributes
    ----------
    lines
        Its lines. Standard input can be iterated only once.
    number
        The number of lines; None if unknown.
    fingerprint
        Names and checksums of its files; empty for standard input.
    files
        Its files, one or two; None for standard input.
    """

    lines: Iterable[Line]
    number: int | None = None
    fingerprint: Sequence[str] = ()
    files: tuple[Path, Path | None] | None = None

    @classmethod
    def opened(cls, source: Path, target: Path | None, tokenize: str | None = None) -> ParallelTexts:
        """Open two files, one file with both sides, or standard input ("-"); tokenize if `tokenize` names languages.

        Raises
        ------
        InvalidInput
            If they can't be read, or differ in length.
        """
        from normlens.alignment import ParallelFiles, Tokenized
        from normlens.bitext.corpora import joined_stream

        if str(source) == "-":
            if target is not None:
                raise InvalidInput(
                    "SOURCE_FILE is standard input, which must hold both sides, but there is a TARGET_FILE too. Leave it "
                    "out, or name a file as SOURCE_FILE."
                )
            lines = joined_stream(sys.stdin.buffer)
            return cls(lines if tokenize is None else Tokenized(lines, tokenize))
        files = ParallelFiles(source, target)
        return cls(
            files if tokenize is None else Tokenized(files, tokenize), len(files), files.fingerprint(), (source, target)
        )


@dataclass(frozen=True)
class Translators:
    """One translation model, or two of opposite directions, whose cross-attention can be read."""

    forward: Extractor
    reverse: Extractor | None

    @classmethod
    def opened(
        cls,
        model: str | None,
        reverse_model: str | None,
        opening: Mapping[str, Any],
        languages: tuple[str | None, str | None],
        source_prefix: str,
        reading: Mapping[str, Any],
        readings: Sequence[Reading],
    ) -> Translators:
        """Load the models, by default the bundled ones.

        Parameters
        ----------
        model, reverse_model
            Names, folders or Hub ids.
        opening
            Options of :func:`normlens.load`.
        languages
            Language codes of source and target, for multilingual models.
        source_prefix
            Prefix of each source sentence, for the forward model.
        reading
            Further options of :class:`normlens.alignment.Extractor`.
        readings
            What is read of the models.

        Raises
        ------
        InvalidInput
            If no model is named and none is bundled, or a model can't be used.
        """
        from normlens.alignment import Extractor
        from normlens.alignment.cross_attention import check_translator
        from normlens.alignment.defaults import DEFAULT_MODEL, DEFAULT_REVERSE_MODEL
        from normlens.loading.languages import set_languages

        if model is None and DEFAULT_MODEL is not None:
            model, reverse_model = DEFAULT_MODEL, reverse_model or DEFAULT_REVERSE_MODEL
            also = "" if reverse_model is None else f" and {reverse_model}"
            messages().print(f"No --model: using {model}{also}, for German and English.", markup=False)
        if model is None:
            raise InvalidInput(
                "No --model, and none is bundled with this installation; expected a translation model for the two "
                "languages, such as --model Helsinki-NLP/opus-mt-de-en, or a folder."
            )
        source, target = languages

        def extractor(name: str, source: str | None, target: str | None, prefix: str) -> Extractor:
            def check(outline: Outline) -> None:
                check_translator(getattr(outline.model_class, "__name__", name), outline.config)
                for single in readings:
                    outline.check_view("cross", single.layer, single.head)
                if outline.tokenizer is not None:
                    set_languages(outline.tokenizer, source, target)

            lens = open_lens(name, check=check, **opening)
            with quiet():
                return Extractor(lens, source_language=source, target_language=target, source_prefix=prefix, **reading)

        forward = extractor(model, source, target, source_prefix)
        return cls(forward, None if reverse_model is None else extractor(reverse_model, target, source, ""))

    @property
    def fingerprints(self) -> list[str]:
        """Fingerprints of the models, which tell whether a run may be resumed."""
        return [one.fingerprint for one in (self.forward, self.reverse) if one is not None]

    def symmetrization(self, named: str | None) -> str | None:
        """The symmetrization: as named; by default grow-diag for two models, none for one."""
        return named if named is not None or self.reverse is None else _SYMMETRIZATION

    def readings(
        self, reading: Reading, lines: Iterable[Line], rule: str | None, *, choose: bool
    ) -> tuple[list[Reading], Iterable[Line]]:
        """The reading of each model, in its layer or in one that a rule chooses (None: the default rule), and the text."""
        if not choose:
            return [reading, reading], lines
        from normlens.alignment import with_layers

        with waiting("Choosing the layer"), quiet():
            choices, again = with_layers(iter(lines), self.forward, reading, self.reverse, rule)
        named = " and ".join(choice.reading.layers for choice in choices)
        messages().print(
            f"{'Layer' if len(choices) == 1 else 'Layers'} {named}, by the rule {choices[0].rule}", markup=False
        )
        return [choices[0].reading, choices[-1].reading], again
