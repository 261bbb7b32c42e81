"""A question about documents as a prompt, and the places of the documents in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.words.text_spans import Spans, text_spans

_KEYS = {"context", "question"}


@dataclass(frozen=True)
class Grouping:
    """How the sources of a prompt are grouped.

    Attributes
    ----------
    spans
        Spans as :func:`normlens.words.text_spans.text_spans` takes them; of documents, spans by name or pattern are
        looked for in each. None for whole documents.
    documents
        The documents in the prompt, in order; empty if it has none.
    """

    spans: Spans | None
    documents: tuple[str, ...] = ()

    def places(self, text: str) -> Int[np.ndarray, "span 2"]:
        """The spans in the text that the model reads, as character offsets.

        Raises
        ------
        InvalidInput
            If a document isn't in the text as it was passed, or spans can't be told apart.
        """
        if not self.documents or (self.spans is not None and not _is_searched(self.spans)):
            assert self.spans is not None
            return text_spans(text, self.spans)
        places, after = [], 0
        for document in self.documents:
            start = text.find(document, after)
            if start < 0:
                raise InvalidInput(
                    f"The document {document[:40]!r} isn't in the text that the model reads: its chat template or its "
                    "tokenizer changes the text. Pass the prompt as one text, with spans= as character offsets."
                )
            after = start + len(document)
            inside = np.array([[0, len(document)]]) if self.spans is None else text_spans(document, self.spans)
            places.append(inside + start)
        return np.concatenate(places)


def _is_searched(spans: Spans) -> bool:
    return isinstance(spans, str) or hasattr(spans, "finditer")


@dataclass(frozen=True)
class ContextPrompt:
    """A question about documents.

    Attributes
    ----------
    prompt
        Chat messages, or a text for models without a chat template.
    documents
        The documents, in order.
    """

    prompt: Any
    documents: tuple[str, ...]

    def answer(self, answer: Any) -> Any:
        """A brought answer as it follows the prompt: after a space, if the prompt is a text."""
        is_bare = isinstance(answer, str) and isinstance(self.prompt, str) and answer[:1].strip()
        return f" {answer}" if is_bare else answer


def context_prompt(inputs: Any, tokenizer: PreTrainedTokenizerBase | None) -> ContextPrompt | None:
    """The prompt of ``{"context": [documents], "question": …}``; None for other inputs.

    A tokenizer with a chat template gets one message of the user; other models get a text that ends in "Answer:".

    Raises
    ------
    InvalidInput
        If there is no document or question, or one of them isn't a text.
    """
    if not isinstance(inputs, Mapping) or set(inputs) != _KEYS:
        return None
    context, question = inputs["context"], inputs["question"]
    documents = [context] if isinstance(context, str) else list(context) if isinstance(context, Sequence) else []
    for name, text in [("question", question), *(("context", document) for document in documents or [""])]:
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(f"The {name} is {text!r:.60}; expected a text with at least one word.")
    texts = tuple(document.strip() for document in documents)
    asked = "Context:\n" + "\n\n".join(texts) + f"\n\nQuestion: {question.strip()}"
    if getattr(tokenizer, "chat_template", None):
        return ContextPrompt([{"role": "user", "content": asked}], texts)
    return ContextPrompt(f"{asked}\nAnswer:", texts)
