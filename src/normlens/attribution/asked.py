"""What a caller asks of an attribution, as :meth:`normlens.Lens.attribute` takes it, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from normlens.attribution.attributor import Attributor
from normlens.attribution.grouped_sources import grouped
from normlens.attribution.registry import Method
from normlens.attribution.request import checked_request
from normlens.attribution.targets.resolve import default_target
from normlens.attribution.whole_answers.answering import AnswerQuestion, answer_request, attribute_answer, check_answer
from normlens.attribution.whole_answers.context_prompt import Grouping, context_prompt
from normlens.inputs.example_maker import ReadingOptions
from normlens.inputs.example_stream import Skip, refuse_skip
from normlens.words.text_spans import Spans, check_spans


@dataclass(frozen=True)
class Asked:
    """A target in one or several inputs, or an answer to one prompt.

    Attributes
    ----------
    inputs, scope, target, position, target_text, spans
        As :meth:`normlens.Lens.attribute` takes them.
    method
        The method.
    options
        Its options, ``chunk_size`` and ``product``.
    answer
        The answer, if one is explained.
    """

    inputs: Any
    method: Method
    scope: str | None
    target: Any
    position: Any
    target_text: Any
    options: Mapping[str, Any]
    answer: AnswerQuestion
    spans: Spans | None

    def explained(
        self, attributor: Attributor, reading: ReadingOptions, batch_size: int, skip: Skip | None, progress: bool
    ) -> Any:
        """One attribution of one input; of an iterable of inputs an iterator, in order."""
        check_spans(self.spans)
        context = context_prompt(self.inputs, attributor.tokenizer)
        inputs = self.inputs if context is None else context.prompt
        documents = () if context is None else context.documents
        grouping = None if self.spans is None and context is None else Grouping(self.spans, documents)
        if self.answer.is_asked:
            question = self.answer if context is None else self.answer.following(context)
            check_answer(attributor.model, question)
            refuse_skip(skip)
            excluded = {"target": self.target, "position": self.position, "target_text": self.target_text}
            request = replace(answer_request(self.method, self.scope, excluded, self.options), grouping=grouping)
            return grouped(attribute_answer(attributor, inputs, question, request, reading, batch_size), grouping)
        self.answer.require_default()
        named = default_target(attributor.model, self.method, self.options) if self.target is None else self.target
        request = checked_request(self.method, self.scope, named, self.position, self.options)
        request = replace(request, grouping=grouping)
        result = attributor.attribute(inputs, self.target_text, request, reading, batch_size, skip, progress)
        return grouped(result, grouping)
