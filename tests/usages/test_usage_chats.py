"""Chats as people bring them: messages, lists of content, rendered templates pasted as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput
from normlens.inputs.tokenization import encode_text

ASKED = [{"role": "user", "content": "the cat"}]
ANSWERED = [*ASKED, {"role": "assistant", "content": "sat here"}]
TEMPLATE = (
    "[CLS]{% for m in messages %}a {{ m['content'] }} [SEP]{% endfor %}{% if add_generation_prompt %}dog{% endif %}"
)
IN_PARTS = (
    "[CLS]{% for m in messages %}a {% for c in m['content'] %}{{ c['text'] }}{% endfor %} [SEP]{% endfor %}"
    "{% if add_generation_prompt %}dog{% endif %}"
)


@pytest.fixture
def chatting(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The shared words, a BOS before each text, and a chat template."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    own = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", bos_token="[CLS]", eos_token="[SEP]", pad_token="[PAD]"
    )
    own.chat_template = TEMPLATE
    return own


@pytest.fixture
def lens(chatting: PreTrainedTokenizerFast) -> normlens.Lens:
    torch.manual_seed(0)
    return normlens.load((LlamaForCausalLM(tiny.configuration("llama")).eval(), chatting))


def read(lens: normlens.Lens, conversation: Any, **options: Any) -> list[str]:
    return [str(x) for x in lens.analyze(conversation, **options)["decoder"].source_token.values]


def test_an_attribution_explains_the_answer_that_is_to_come(lens: normlens.Lens) -> None:
    shares = lens.attribute(ASKED, target="cat")
    assert shares["source_token"].values.tolist() == ["[CLS]", "a", "the", "cat", "[SEP]", "dog"]
    ids = lens.tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        logits = lens.model(**ids).logits
    assert abs(shares.attrs["value"] - float(logits[0, -1, lens.tokenizer.convert_tokens_to_ids("cat")])) < 1e-5
    assert "position 5" in shares.attrs["target"]
    np.testing.assert_allclose(lens.attribute(ids, target="cat"), shares, atol=1e-6)
    (same,) = lens.attribute([ASKED], target="cat")
    np.testing.assert_allclose(same, shares, atol=1e-6)


def test_the_conversation_may_be_explained_as_it_stands(lens: normlens.Lens) -> None:
    shares = lens.attribute(ASKED, target="cat", generation_prompt=False)
    assert shares["source_token"].values.tolist() == ["[CLS]", "a", "the", "cat", "[SEP]"]


def test_an_answer_that_has_begun_is_continued(lens: normlens.Lens) -> None:
    shares = lens.attribute(ANSWERED, target="cat")
    assert shares["source_token"].values.tolist()[-3:] == ["a", "sat", "here"]
    closed = lens.attribute(ANSWERED, target="cat", generation_prompt=False)
    assert closed["source_token"].values.tolist()[-2:] == ["here", "[SEP]"]


def test_an_analysis_measures_the_conversation_and_continues_it_where_the_model_would(lens: normlens.Lens) -> None:
    assert read(lens, ASKED) == ["[CLS]", "a", "the", "cat", "[SEP]"]
    assert read(lens, ASKED, generation_prompt=True)[-1] == "dog"
    assert read(lens, ASKED, generate=2)[:6] == ["[CLS]", "a", "the", "cat", "[SEP]", "dog"]
    assert read(lens, ASKED, generate=2, generation_prompt=False)[4] == "[SEP]"


@pytest.mark.parametrize("template", [TEMPLATE, IN_PARTS], ids=["texts", "parts"])
def test_content_may_come_in_parts(template: str, lens: normlens.Lens) -> None:
    lens.tokenizer.chat_template = template
    items = [{"type": "text", "text": "the "}, {"type": "text", "text": "cat"}]
    assert read(lens, [{"role": "user", "content": items}]) == ["[CLS]", "a", "the", "cat", "[SEP]"]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (
            [{"role": "user", "content": [{"type": "image", "url": "x.png"}]}],
            "was loaded without a processor that reads them",
        ),
        ([{"role": "user", "content": 7}], "content is a int"),
        ([{"content": "the cat"}], "dict with content is among the chat messages"),
        ([*ASKED, "the cat"], "str is among the chat messages"),
        ({"role": "user", "content": "the cat"}, "chat messages as a list"),
    ],
)
def test_what_is_no_chat_is_refused(messages: Any, message: str, lens: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match=message):
        lens.attribute(messages, target="cat")


def test_a_tokenizer_without_a_template_says_so(lens: normlens.Lens) -> None:
    lens.tokenizer.chat_template = None
    for ask in (lambda: lens.analyze(ASKED), lambda: lens.attribute(ASKED, target="cat")):
        with pytest.raises(InvalidInput, match="has no chat template"):
            ask()


def test_a_rendered_chat_gets_no_second_beginning(lens: normlens.Lens, chatting: PreTrainedTokenizerFast) -> None:
    rendered = chatting.apply_chat_template(ASKED, tokenize=False)
    assert chatting(rendered)["input_ids"][:2] == [2, 2]
    assert read(lens, rendered) == read(lens, ASKED) == ["[CLS]", "a", "the", "cat", "[SEP]"]
    assert read(lens, "the cat") == ["[CLS]", "the", "cat"]


def test_marks_at_both_ends_stand_there_once(tokenizer: PreTrainedTokenizerFast) -> None:
    expected = tokenizer("the cat")["input_ids"]
    for text in ("[CLS] the cat [SEP]", "[CLS]the cat", "the cat [SEP]", "the cat"):
        tokens = encode_text(tokenizer, text)
        assert tokens.ids.tolist() == expected
        assert [text[slice(*at)].strip() for at in tokens.offsets[1:-1]] == ["the", "cat"]
    assert encode_text(tokenizer, "[SEP] the cat").ids.tolist() == [2, 3, *expected[1:]]
