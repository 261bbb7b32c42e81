"""Word alignment from an encoder–decoder that reads a sentence and its translation, teacher-forced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from normlens.alignment.cross_attention import CrossReader
from normlens.alignment.readings import Reading
from normlens.alignment.soft import SoftAlignment, averaged
from normlens.alignment.subwords import Subwords, SubwordTokenizer
from normlens.alignment.word_maps import SETTINGS, word_map
from normlens.bitext.raw_text import split_words
from normlens.engine.precision import double
from normlens.engine.tracing.layer_numbers import listed
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, AttentionScope
from normlens.errors import InvalidInput
from normlens.inputs.batch import check_sizes
from normlens.inputs.example import Example
from normlens.inputs.example_maker import ExampleMaker
from normlens.inputs.lengths import check_length
from normlens.inputs.tokens import Tokens
from normlens.lens import Lens
from normlens.loading.languages import set_languages
from normlens.loading.load import LoadedModel

_BATCHES_AT_ONCE = 16  # sorted by length together
_NUMBERS_AT_ONCE = 8_000_000  # attention weights of one batch and layer: 32 MB


@dataclass(frozen=True)
class Pair:
    """A sentence pair, ready for the model.

    Attributes
    ----------
    source, target
        Their words.
    example
        The model inputs.
    source_subwords, target_subwords
        The word that each token belongs to.
    """

    source: list[str]
    target: list[str]
    example: Example
    source_subwords: Subwords
    target_subwords: Subwords


class Extractor:
    """Reads word alignments from one translation model.

    Parameters
    ----------
    lens
        A lens on an encoder–decoder with its tokenizer.
    source_language, target_language
        For multilingual models: language codes as their tokenizer spells them.
    source_prefix
        A prompt before each source sentence that isn't aligned, such as T5's "translate German to English:".
    lowercase
        Whether to lowercase the words for the model.
    batch_size
        Maximum number of pairs per batch.

    Raises
    ------
    InvalidInput
        If the model isn't an encoder–decoder, has no tokenizer that reads both sides, or the batch size isn't a positive
        integer.
    """

    def __init__(
        self,
        lens: Lens,
        *,
        source_language: str | None = None,
        target_language: str | None = None,
        source_prefix: str = "",
        lowercase: bool = False,
        batch_size: int = 32,
    ) -> None:
        check_sizes(None, batch_size)
        self.lens, self.batch_size = lens, batch_size
        self._reader = CrossReader(lens.model)
        if lens.tokenizer is None:
            raise InvalidInput(f"{lens.name} was loaded without a tokenizer; words can't be aligned without one.")
        self._loaded = LoadedModel(lens.model, lens.tokenizer, None, lens.name, lens.revision)
        set_languages(lens.tokenizer, source_language, target_language)
        self._source = SubwordTokenizer(lens.tokenizer, prefix=source_prefix, lowercase=lowercase)
        self._target = SubwordTokenizer(lens.tokenizer, as_target=True, lowercase=lowercase)
        self._probe = self._first_pair()

    @property
    def layers(self) -> list[int]:
        """The numbers of the model's layers with cross-attention."""
        return self._reader.layers(self._probe)

    def heads(self, layer: int) -> int:
        """The number of heads of a layer."""
        ((measures,),) = self._reader.measured([self._probe], [layer])
        return measures.weight.shape[1]

    def check(self, readings: Sequence[Reading]) -> None:
        """Refuse readings of a layer, head or scope that the model doesn't have.

        Raises
        ------
        InvalidInput
            Naming the layer, head or scope that is missing, and those that exist.
        """
        for reading in (one for several in readings for one in several.components):
            if reading.layer not in self.layers:
                raise InvalidInput(
                    f"{self.lens.name} has no layer {reading.layer} with cross-attention; it has layers "
                    f"{listed(self.layers)}. Choose one of these, or auto."
                )
            if reading.head is not None and not 0 <= reading.head < (heads := self.heads(reading.layer)):
                raise InvalidInput(
                    f"Layer {reading.layer} of {self.lens.name} has no head {reading.head}; it has heads 0 to "
                    f"{heads - 1}. Choose one of these."
                )
            scopes = self._reader.scopes(self._probe, reading.layer)
            if reading.reach not in scopes:
                raise InvalidInput(
                    f"The cross-attention in layer {reading.layer} of {self.lens.name} has no scope {reading.reach!r}; it "
                    f"has {', '.join(scopes)}. Choose one of these."
                )

    @property
    def fingerprint(self) -> str:
        """Identifies the model: its name, its revision, and the sum of the absolute values of its weights."""
        total = sum(float(double(x.detach()).abs().sum()) for x in self.lens.model.parameters())
        return f"{self.lens.name} {self.lens.revision or ''} {total:.9e}"

    def pair(self, source: str | Sequence[str], target: str | Sequence[str]) -> Pair:
        """Prepare a sentence pair.

        Parameters
        ----------
        source, target
            Sentences with words separated by spaces, or lists of words.

        Raises
        ------
        InvalidInput
            If a side is empty or too long for the model; the message says which.
        """
        words, subwords = [], []
        for side, sentence, tokenizer in (("source", source, self._source), ("target", target, self._target)):
            words.append(split_words(sentence) if isinstance(sentence, str) else list(sentence))
            try:
                subwords.append(tokenizer.tokenize(words[-1]))
            except InvalidInput as error:
                raise InvalidInput(f"{side}: {error}") from error
        example = self._example(*subwords)
        assert example.source is not None and example.target is not None
        check_length(example.source, self._loaded, "source")
        check_length(example.target, self._loaded, "target")
        return Pair(words[0], words[1], example, subwords[0], subwords[1])

    def maps(self, pairs: Iterable[Pair], readings: Sequence[Reading]) -> Iterator[tuple[SoftAlignment, ...]]:
        """Read several alignments from one run of the model per batch; memory doesn't grow with the number of pairs.

        Parameters
        ----------
        pairs
            From :meth:`pair`.
        readings
            One or more.

        Yields
        ------
        tuple of SoftAlignment
            One per reading, for each pair in order.

        Raises
        ------
        InvalidInput
            If the model lacks a layer, head or scope.
        """
        self.check(readings)
        iterator = iter(pairs)
        while window := list(islice(iterator, _BATCHES_AT_ONCE * self.batch_size)):
            done: dict[int, tuple[SoftAlignment, ...]] = {}
            for batch in self._batches(window):
                done.update(zip(batch, self._read([window[k] for k in batch], readings), strict=True))
            yield from (done[k] for k in range(len(window)))

    def soft(self, pairs: Iterable[Pair], reading: Reading) -> Iterator[SoftAlignment]:
        """Read one alignment of each pair; see :meth:`maps`."""
        return (soft for (soft,) in self.maps(pairs, [reading]))

    def _read(self, batch: Sequence[Pair], readings: Sequence[Reading]) -> list[tuple[SoftAlignment, ...]]:
        single = list(dict.fromkeys(one for reading in readings for one in reading.components))
        layers = sorted({one.layer for one in single})
        reach = max((one.reach for one in single), key=ATTENTION_SCOPES.index)
        runs = self._reader.measured([pair.example for pair in batch], layers, reach)
        values = [[one.select(run[layers.index(one.layer)]).float().cpu().numpy() for one in single] for run in runs]
        rows = [[x[0] for x in run] for run in values] if len(runs) > 1 else list(zip(*values[0], strict=True))
        alignments = []
        for row, pair in zip(rows, batch, strict=True):
            by_reading = {one: self._words(x, pair, one) for x, one in zip(row, single, strict=True)}
            alignments.append(tuple(averaged([by_reading[one] for one in reading.components]) for reading in readings))
        return alignments

    def _words(self, values: NDArray[np.float32], pair: Pair, reading: Reading) -> SoftAlignment:
        source, target = pair.source_subwords, pair.target_subwords
        real = values[: len(pair.example.tensors["decoder_input_ids"]), : len(source.ids)]
        return SoftAlignment(pair.source, pair.target, word_map(real, source, target, reading.setting))

    def _batches(self, window: Sequence[Pair]) -> Iterator[list[int]]:
        """Indices of pairs of similar length, few enough to fit in memory."""
        lengths = [(len(pair.target_subwords.ids), len(pair.source_subwords.ids)) for pair in window]
        heads = getattr(self.lens.model.config, "num_attention_heads", None) or 16
        batch: list[int] = []
        for k in sorted(range(len(window)), key=lambda k: (sum(lengths[k]), lengths[k])):
            longest = [max(lengths[m][side] for m in (*batch, k)) + 1 for side in (0, 1)]
            numbers = heads * (len(batch) + 1) * max(longest) ** 2
            if batch and (len(batch) == self.batch_size or numbers > _NUMBERS_AT_ONCE):
                yield batch
                batch = []
            batch.append(k)
        if batch:
            yield batch

    def _example(self, source: Subwords, target: Subwords) -> Example:
        """Model inputs: the start token and the whole target, so that its last word also has a row as the input."""
        ends = len(target.ids) - 1 if target.words[-1] < 0 else len(target.ids)
        decoder = np.concatenate([[self._start], target.ids[:ends]])
        tensors = {"input_ids": torch.as_tensor(source.ids), "decoder_input_ids": torch.as_tensor(decoder)}
        masks = {name.replace("input_ids", "attention_mask"): torch.ones_like(x) for name, x in tensors.items()}
        return Example({**tensors, **masks}, _unlabeled(source.ids), _unlabeled(decoder), "")

    def _first_pair(self) -> Example:
        """A pair of two words, made by `ExampleMaker`, which knows each model's start token."""
        source, target = self._source.tokenize(["a", "b"]), self._target.tokenize(["a", "b"])
        example = ExampleMaker(self._loaded).make(source.ids.tolist(), target.ids.tolist())
        assert example.target is not None
        self._start = int(example.target.ids[0])
        return self._example(source, target)


def every_reading(
    extractor: Extractor, *, heads: bool = False, scopes: Sequence[AttentionScope] = ("attention",)
) -> list[Reading]:
    """Every candidate reading of a model: each layer, by weight and by norm, AWI and AWO.

    Parameters
    ----------
    extractor
        For the model.
    heads
        Whether to include each head alone.
    scopes
        The scopes at which norms are read.
    """
    candidates = []
    for layer in extractor.layers:
        for setting in SETTINGS:
            first = Reading(layer, "weight", setting=setting)
            candidates += [first, *(replace(first, measure="norm", scope=scope) for scope in scopes)]
            if heads:
                for head in range(extractor.heads(layer)):
                    candidates += [replace(first, head=head), replace(first, measure="norm", head=head)]
    return candidates


def _unlabeled(ids: NDArray[np.int64]) -> Tokens:
    """Tokens without labels: only their number is used."""
    number, nothing = len(ids), np.zeros(len(ids), dtype=np.int64)
    names = np.full(number, "", dtype=np.str_)
    flags = np.zeros(number, dtype=bool)
    return Tokens(np.asarray(ids), "", names, flags, np.zeros((number, 2), dtype=np.int64), nothing, names)
