"""A prompt with its answer, generated or brought, as the model reads both, and where each token is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normlens.analysis.generate import translated
from normlens.attribution.targets.answer_tokens import AnswerTokens, Score
from normlens.errors import InvalidInput
from normlens.inputs.bare_ids import integers
from normlens.inputs.example import Example, token_example
from normlens.inputs.example_maker import ExampleMaker, ReadingOptions
from normlens.inputs.lengths import check_length, cut
from normlens.inputs.tokens import Tokens


@dataclass(frozen=True)
class AnsweredPrompt:
    """A prompt with its answer.

    Attributes
    ----------
    example
        What the model reads: all but the last token of the answer, which predicts nothing.
    answer
        The tokens of the answer.
    positions
        For each of them, the position in the output that predicts it.
    start
        Position of the answer's first token in the text; None if a decoder reads it beside the prompt.
    """

    example: Example
    answer: Tokens
    positions: tuple[int, ...]
    start: int | None

    @property
    def text(self) -> str:
        """The answer as a text; its tokens in readable form if they have no text."""
        spans = self.answer.offsets[self.answer.offsets[:, 0] < self.answer.offsets[:, 1]]
        if len(spans) and int(spans.max()) <= len(self.answer.text):
            return self.answer.text[int(spans.min()) : int(spans.max())]
        return " ".join(map(str, self.answer.labels))

    def target(self, score: Score) -> AnswerTokens:
        """The tokens of the answer as a target."""
        ids: list[int] = self.answer.ids.tolist()
        return AnswerTokens(tuple(ids), self.positions, tuple(map(str, self.answer.labels)), score)


def answered(
    maker: ExampleMaker, prompt: Any, answer: Any, generate: int | None, options: ReadingOptions
) -> AnsweredPrompt:
    """A prompt with the answer that the model generates, or with a brought one.

    Parameters
    ----------
    maker
        Makes examples of inputs, for one model.
    prompt
        A text, chat messages or token ids; for an encoder–decoder, any input.
    answer
        A text, or token ids; None to generate one.
    generate
        Number of tokens to generate, fewer if the model ends its answer.
    options
        How the prompt is read.

    Raises
    ------
    InvalidInput
        If both an answer and a number of tokens were passed, the answer is empty, it doesn't fit, or the tokenizer joins
        its beginning to the end of the prompt.
    """
    if (answer is None) == (generate is None):
        raise InvalidInput("Both answer= and generate= were passed; expected one of them. Leave out the other.")
    if isinstance(answer, str) and not answer.strip():
        raise InvalidInput(f"The answer is empty ({answer!r}); expected at least one word, or generate=.")
    if maker.has_decoder:
        return _of_decoder(maker, prompt, answer, generate, options)
    kind = maker.reader.kind(prompt)
    if kind not in ("text", "chat", "ids"):
        raise InvalidInput(
            f"Whole answers are explained for a text, chat messages or token ids, but the input is of the kind {kind!r}. "
            "Pass one of these, one prompt at a time."
        )
    read = maker.make(prompt, None, options).source
    assert read is not None
    text = prompt if kind == "text" else None
    if generate is not None:
        longer = maker.make(prompt, None, ReadingOptions(generate, options.generation_prompt, options.truncate)).source
        assert longer is not None
        whole = _spelled(maker, text, len(read), longer)
    elif text is not None and isinstance(answer, str):
        read, whole = _joined(maker, text, read, answer)
    else:
        whole = maker.reader.ids([*read.ids.tolist(), *_ids(maker, answer)])
    check_length(whole, maker.loaded, "prompt with its answer")
    return _split(whole, len(read))


def _split(whole: Tokens, start: int) -> AnsweredPrompt:
    if start == len(whole):
        raise InvalidInput("The answer has no tokens; expected at least one word.")
    inputs = cut(whole, np.arange(len(whole) - 1))
    positions = tuple(range(start - 1, len(whole) - 1))
    return AnsweredPrompt(token_example(inputs), cut(whole, np.arange(start, len(whole))), positions, start)


def _spelled(maker: ExampleMaker, text: str | None, start: int, generated: Tokens) -> Tokens:
    """Generated tokens with offsets in the prompt's own text, if reading prompt and answer again gives the same tokens."""
    if text is None or maker.loaded.tokenizer is None:
        return generated
    again = str(maker.loaded.tokenizer.decode(generated.ids[start:].tolist()))
    tokens = maker.reader.tokens(text + again)
    return tokens if tokens.ids.tolist() == generated.ids.tolist() else generated


def _joined(maker: ExampleMaker, text: str, prompt: Tokens, answer: str) -> tuple[Tokens, Tokens]:
    """The prompt, and the prompt with its answer, tokenized together.

    Raises
    ------
    InvalidInput
        If a token holds the end of the prompt and the beginning of the answer.
    """
    outside = prompt.special & (prompt.offsets[:, 0] == prompt.offsets[:, 1])
    while len(prompt) and outside[len(prompt) - 1]:  # a mark that the tokenizer puts at the end of a text
        prompt = cut(prompt, np.arange(len(prompt) - 1))
    whole = maker.reader.tokens(text + answer)
    ends = whole.special & (whole.offsets[:, 0] == whole.offsets[:, 1])
    while ends[len(whole) - 1]:
        whole = cut(whole, np.arange(len(whole) - 1))
    start = len(prompt)
    if whole.ids[:start].tolist() != prompt.ids.tolist():
        k = next(k for k in range(start) if k >= len(whole) or whole.ids[k] != prompt.ids[k])
        label = str(whole.labels[min(k, len(whole) - 1)])
        space = "" if answer[:1].isspace() else f" Begin the answer with a space ({' ' + answer[:20]!r}),"
        raise InvalidInput(
            f"The tokenizer joins the answer to the prompt: the token {label!r} holds the end of the prompt "
            f"({text[-12:]!r}) and the beginning of the answer.{space} {'or end' if space else 'End'} the prompt "
            "without a space, or pass the answer as token ids."
        )
    return prompt, whole


def _ids(maker: ExampleMaker, answer: Any) -> Sequence[int]:
    """Token ids of an answer that follows a prompt without a text of its own."""
    if not isinstance(answer, str):
        ids: list[int] = [int(number) for number in integers(answer)]
        if not ids:
            raise InvalidInput("The answer has no tokens; expected at least one.")
        return ids
    if maker.loaded.tokenizer is None:
        raise InvalidInput("The answer is a text, but the model has no tokenizer. Pass token ids.")
    tokens: list[int] = maker.loaded.tokenizer(answer, add_special_tokens=False, verbose=False)["input_ids"]
    return tokens


def _ordinary_id(maker: ExampleMaker) -> int:
    """The id of any token that isn't special, to stand for a text that isn't written yet."""
    config = maker.loaded.model.config
    named = (getattr(config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "decoder_start"))
    special = {*getattr(maker.loaded.tokenizer, "all_special_ids", ()), *(x for x in named if isinstance(x, int))}
    return next(number for number in range(len(special) + 1) if number not in special)


def _of_decoder(
    maker: ExampleMaker, prompt: Any, answer: Any, generate: int | None, options: ReadingOptions
) -> AnsweredPrompt:
    """A source text with its translation, which a decoder reads."""
    if generate is not None:
        answer = translated(maker.make(prompt, [_ordinary_id(maker)], options), generate, maker.loaded)
    example = maker.make(prompt, answer, options)
    assert example.target is not None
    whole = maker.reader.tokens(answer, as_target=True)
    count = len(example.target)
    if generate is not None and example.target.ids.tolist()[1:] != answer[:-1]:
        raise InvalidInput(
            f"{type(maker.loaded.model).__name__} starts its translations otherwise than it reads them. Pass answer=."
        )
    wanted = cut(whole, np.arange(len(whole) - count, len(whole)))
    begun = next((k for k in range(count) if not wanted.special[k]), 0)  # marks of a language are not chosen
    return AnsweredPrompt(example, cut(wanted, np.arange(begun, count)), tuple(range(begun, count)), None)
