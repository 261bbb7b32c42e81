"""Chat messages as tokens, rendered by the tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.inputs.tokenization import encode_ids
from normlens.inputs.tokens import Tokens


def encode_chat(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    vocabulary: int,
    *,
    generation_prompt: bool = False,
) -> Tokens:
    """Tokenize chat messages with the tokenizer's chat template.

    Parameters
    ----------
    tokenizer
        A tokenizer with a chat template.
    messages
        Dicts with ``role`` and ``content``: a text, or content blocks ``[{"type": "text", "text": …}]``, which are joined.
    vocabulary
        Size of the model's vocabulary.
    generation_prompt
        Whether the model is about to answer: the template opens its answer, or leaves the last message open if that is the
        assistant's.

    Raises
    ------
    InvalidInput
        If the tokenizer has no template, or the template rejects the messages.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InvalidInput(
            f"{type(tokenizer).__name__} has no chat template, so it can't read chat messages. Pass the text itself."
        )
    _require_messages(messages)
    texts = [_texts(message["content"]) for message in messages if message.get("content") is not None]
    has_blocks = any(not isinstance(message.get("content"), (str, type(None))) for message in messages)
    forms = [[_joined(message) for message in messages], *([[dict(m) for m in messages]] if has_blocks else [])]
    rendered = [_rendered(tokenizer, form, generation_prompt) for form in forms]
    text = max(
        rendered, key=lambda x: -1 if isinstance(x, Exception) else sum(t.strip() in x for ts in texts for t in ts)
    )
    if isinstance(text, Exception):
        raise InvalidInput(
            f"The chat template rejects the messages: {text}. Expected dicts with role and content."
        ) from text
    if has_blocks and not any(t.strip() in text for ts in texts for t in ts):
        raise InvalidInput(
            "The chat template omits the messages' content blocks; expected content as a text. Join the blocks to one text."
        )
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return encode_ids(tokenizer, ids, vocabulary)


def _require_messages(messages: Sequence[Any]) -> None:
    """Refuse messages that aren't dicts with a role.

    Raises
    ------
    InvalidInput
        Naming the type of the first one.
    """
    for message in messages:
        if not isinstance(message, Mapping) or "role" not in message:
            keys = f" with {', '.join(map(str, message))}" if isinstance(message, Mapping) else ""
            raise InvalidInput(
                f"{type(message).__name__}{keys} is among the chat messages; expected dicts with role and content."
            )


def _texts(content: Any) -> list[str]:
    """The texts of a message's content.

    Raises
    ------
    InvalidInput
        If a content block isn't a text.
    """
    if isinstance(content, str):
        return [content]
    if not isinstance(content, Sequence):
        raise InvalidInput(
            f"A chat message's content is a {type(content).__name__}; expected a text, or a list of content blocks."
        )
    for block in content:
        is_text = (
            isinstance(block, Mapping) and block.get("type", "text") == "text" and isinstance(block.get("text"), str)
        )
        if not is_text:
            kind = block.get("type") if isinstance(block, Mapping) else type(block).__name__
            raise InvalidInput(
                f"A chat message has a content block of type {kind!r}; expected {{'type': 'text', 'text': …}}. For messages "
                "with images or sounds, load the model with its processor."
            )
    return [str(block["text"]) for block in content]


def _joined(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose content is one text."""
    content = message.get("content")
    return dict(message) if content is None else {**message, "content": "".join(_texts(content))}


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]], prompt: bool) -> str | Exception:
    answering = prompt and messages[-1]["role"] != "assistant"
    continuing = {"continue_final_message": True} if prompt and not answering else {}
    try:
        return str(
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answering, **continuing)
        )
    except Exception as error:
        return error
