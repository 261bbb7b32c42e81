"""Attributes whole answers: one attribution for each of their tokens, or one for all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from normlens.attribution.arrays import Attribution
from normlens.attribution.attributor import Attributor
from normlens.attribution.registry import Method, Request
from normlens.attribution.request import checked_request
from normlens.attribution.targets.answer_tokens import Score
from normlens.attribution.targets.prediction_heads import head_of
from normlens.attribution.whole_answers.answer_arrays import stacked, with_roles
from normlens.attribution.whole_answers.answered_prompt import answered
from normlens.attribution.whole_answers.context_prompt import ContextPrompt
from normlens.errors import InvalidInput
from normlens.inputs.example_maker import ReadingOptions


@dataclass(frozen=True)
class AnswerQuestion:
    """Which answer is explained, and how.

    Attributes
    ----------
    answer
        A text or token ids; None for a generated one.
    generate
        Number of tokens to generate.
    score
        "logprob" or "logit": what is explained of each token.
    whole
        Whether the answer is one target, the sum of its tokens' scores.
    """

    answer: Any = None
    generate: int | None = None
    score: Score = "logprob"
    whole: bool = False

    @property
    def is_asked(self) -> bool:
        """Whether an answer is explained, not a single target."""
        return self.answer is not None or self.generate is not None

    def following(self, prompt: ContextPrompt) -> AnswerQuestion:
        """The question, with a brought answer as it follows a prompt about documents."""
        return replace(self, answer=prompt.answer(self.answer))

    def require_default(self) -> None:
        """Refuse options of answers where none is explained.

        Raises
        ------
        InvalidInput
            Naming the option.
        """
        if self.score != "logprob" or self.whole:
            name = "whole" if self.whole else "score"
            raise InvalidInput(f"{name}= belongs to whole answers. Pass answer= or generate= too, or omit {name}.")


def attribute_answer(
    attributor: Attributor,
    prompt: Any,
    question: AnswerQuestion,
    request: Request,
    reading: ReadingOptions,
    batch_size: int,
) -> Attribution:
    """Attribute an answer to the tokens of its prompt, and to those of the answer before each one.

    Parameters
    ----------
    attributor
        A model ready for attributions.
    prompt
        One prompt.
    question
        The answer.
    request
        The method with its options.
    reading
        How the prompt is read.
    batch_size
        Number of tokens whose attributions run together, for methods that run the model once for each.

    Returns
    -------
    Attribution
        ``(target, source)``; ``(source,)`` if the answer is one target.
    """
    asked = answered(attributor.maker, prompt, question.answer, question.generate, reading)
    target, request = asked.target(question.score), replace(request, start=asked.start)
    if question.whole:
        [whole] = attributor.of_targets(asked.example, [target], request, 1)
        odds = str(whole.attrs["target"]).startswith("log-odds")
        name = target.named(f"the answer {asked.text!r}")
        named = whole.assign_attrs(
            target=name.replace("log-probability", "log-odds", 1) if odds else name, score=question.score
        )
        return with_roles(named, asked)
    rows = attributor.of_targets(asked.example, target.each(), request, batch_size)
    scores = attributor.step_scores(asked.example, target)
    return stacked(rows, asked, scores, question.score)


def answer_request(
    method: Method, scope: str | None, excluded: Mapping[str, Any], options: Mapping[str, Any]
) -> Request:
    """A request for an answer, checked.

    Parameters
    ----------
    method, scope, options
        As :meth:`normlens.Lens.attribute` takes them.
    excluded
        What can't be passed with an answer, by name.

    Raises
    ------
    InvalidInput
        If something of it was passed, or the method explains no target.
    """
    for name, value in excluded.items():
        if value is not None:
            raise InvalidInput(
                f"{name}= was passed with an answer, whose tokens are the targets. Omit it, or omit answer= and generate=."
            )
    return replace(checked_request(method, scope, "answer", None, options), target=None)


def check_answer(model: Any, question: AnswerQuestion) -> None:
    """Refuse models that predict no tokens, and unknown scores.

    Raises
    ------
    InvalidInput
        Saying what is needed.
    """
    if question.score not in get_args(Score):
        raise InvalidInput(f"score={question.score!r}; expected one of {', '.join(get_args(Score))}.")
    if head_of(model) != "next":
        raise InvalidInput(
            f"{type(model).__name__} writes no answers: it has no head that predicts the next token. Load a model with one, "
            "or omit answer= and generate=."
        )
