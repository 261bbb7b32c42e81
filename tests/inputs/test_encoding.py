"""Texts, ids and chats as labeled tokens."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast, ViTConfig, ViTModel

import normlens
from normlens.errors import InvalidInput
from normlens.inputs.chats import encode_chat
from normlens.inputs.grid_labels import label_patches
from normlens.inputs.tokenization import encode_ids, encode_pair, encode_text
from normlens.loading.catalog import BUNDLED
from normlens.loading.load import LoadedModel

TEXT = "the unhappiness, here."


def test_every_position_of_a_text_is_labeled(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = encode_text(tokenizer, TEXT)
    assert tokens.labels.tolist() == ["[CLS]", "the", "un", "happi", "ness", ",", "here", ".", "[SEP]"]
    assert tokens.words.tolist() == [-1, 0, 1, 1, 1, 2, 3, 4, -1]
    assert tokens.special.tolist() == [True, *[False] * 7, True]
    assert tokens.categories.tolist() == [
        "special", *["other"] * 4, "punctuation", "other", "punctuation", "special",
    ]  # fmt: skip
    assert [TEXT[a:b] for a, b in tokens.offsets[1:-1]] == ["the", "un", "happi", "ness", ",", "here", "."]
    assert tokens.ids.tolist() == tokenizer(TEXT)["input_ids"]


def test_an_unknown_word_is_text_and_no_special_token(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = encode_text(tokenizer, "the zebra")
    assert tokens.ids[2] == tokenizer.unk_token_id
    assert (tokens.labels[2], tokens.special[2], tokens.categories[2]) == ("zebra [UNK]", False, "other")


def test_a_special_token_spelled_out_in_the_text_is_special(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = encode_text(tokenizer, "the cat [SEP] the dog")
    assert tokens.special.tolist() == [True, False, False, True, False, False, True]
    assert tokens.words.tolist() == [-1, 0, 1, -1, 2, 3, -1]


def test_ids_are_labeled_with_a_tokenizer_and_without(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer(TEXT)["input_ids"]
    with_tokenizer, without = encode_ids(tokenizer, ids, 99), encode_ids(None, ids, 99)
    assert with_tokenizer.categories.tolist() == encode_text(tokenizer, TEXT).categories.tolist()
    assert without.labels.tolist() == [str(i) for i in ids]
    assert without.words.tolist() == list(range(len(ids)))
    assert not without.special.any()


def same_reading(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    """Assert that the ids of a text are read as the text is."""
    from_text, from_ids = encode_text(tokenizer, text), encode_ids(tokenizer, tokenizer(text)["input_ids"], 10**6)
    assert from_ids.labels.tolist() == from_text.labels.tolist()
    assert from_ids.words.tolist() == from_text.words.tolist()
    assert from_ids.categories.tolist() == from_text.categories.tolist()
    assert from_ids.special.tolist() == from_text.special.tolist()


@pytest.fixture
def joining(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The shared tokenizer, with a decoder that joins sub-words."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.decoder = decoders.WordPiece(cleanup=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


def test_ids_are_read_as_their_text_is(joining: PreTrainedTokenizerFast) -> None:
    for text in (TEXT, "the dogs, a cat.", "the cat [SEP] the dog"):
        same_reading(joining, text)
    unknown = encode_ids(joining, joining("the zebra")["input_ids"], 99)
    assert (unknown.labels[2], unknown.special[2], unknown.words.tolist()) == ("[UNK]", False, [-1, 0, 1, -1])


def test_ids_that_no_text_gives_are_read_by_what_each_one_adds(joining: PreTrainedTokenizerFast) -> None:
    ids = joining.convert_tokens_to_ids(["##ness", "the", "##s", "un", "cat", ".", "##s"])
    tokens = encode_ids(joining, ids, 99)
    assert joining(tokens.text, add_special_tokens=False)["input_ids"] != ids
    assert tokens.labels.tolist()[1:] == ["the", "s", "un", "cat", ".", "s"]
    assert tokens.words.tolist() == [0, 1, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def byte_level(smollm2: LoadedModel) -> PreTrainedTokenizerFast:
    """SmolLM2's tokenizer: every text is cut into bytes first."""
    return copy.deepcopy(smollm2.tokenizer)


@pytest.mark.real_model
@pytest.mark.parametrize(
    "text", ["Grüße 😀👩‍🔬 東京へ, naïve—Über! 𝔘", "a  b\n\n\tc 😀😀", "<|im_start|>user\nÄrger<|im_end|>"]
)
def test_pieces_of_one_character_are_read_as_that_character(text: str, byte_level: PreTrainedTokenizerFast) -> None:
    same_reading(byte_level, text)
    tokens = encode_ids(byte_level, byte_level(text)["input_ids"], 10**6)
    assert tokens.text == text
    assert "\ufffd" not in "".join(tokens.labels)


@pytest.mark.real_model
def test_half_a_character_shows_the_tokenizers_own_spelling(byte_level: PreTrainedTokenizerFast) -> None:
    ids = byte_level("Grüße 😀")["input_ids"]
    cut = encode_ids(byte_level, ids[:-1], 10**6)
    assert cut.labels.tolist() == ["Gr", "ü", "ß", "e", *byte_level.convert_ids_to_tokens(ids[-2:-1])]
    assert cut.words.tolist() == [0, 0, 0, 0, 1]
    assert cut.categories.tolist() == ["other"] * 5
    around = encode_ids(byte_level, [ids[-1], *ids, ids[-2]], 10**6)
    assert around.labels[1:-1].tolist() == ["Gr", "ü", "ß", "e", "😀", "😀"]
    assert around.words.tolist() == [0, 1, 1, 1, 1, 2, 2, 3]


@pytest.mark.real_model
def test_the_end_of_a_text_is_no_unknown_word(byte_level: PreTrainedTokenizerFast) -> None:
    end = byte_level.convert_tokens_to_ids("<|endoftext|>")
    assert end == byte_level.unk_token_id
    assert encode_ids(byte_level, [end, *byte_level("Yes")["input_ids"]], 10**6).special.tolist() == [True, False]


@pytest.mark.real_model
def test_an_uncased_tokenizer_gives_the_same_words() -> None:
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED["minilm-l6"].require())
    text = "The Größe 😀 of 東京, don't: unbelievably, it's 3.14"
    from_text, from_ids = encode_text(tokenizer, text), encode_ids(tokenizer, tokenizer(text)["input_ids"], 10**6)
    assert from_ids.words.tolist() == from_text.words.tolist()
    assert from_ids.special.tolist() == from_text.special.tolist()
    same = [
        a.lower().replace("ö", "o") == b for a, b in zip(from_text.labels[1:-1], from_ids.labels[1:-1], strict=True)
    ]
    assert same.count(False) == 1  # the emoji is no word of this tokenizer, and [UNK] among the ids


def test_a_tokenizer_that_falls_back_to_bytes() -> None:
    pieces = [("<unk>", 0.0), ("▁the", -1.0), ("▁cat", -1.0), ("▁", -2.0), ("s", -2.0)]
    model = Unigram([*pieces, *((f"<0x{byte:02X}>", -9.0) for byte in range(256))], unk_id=0, byte_fallback=True)
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    same_reading(tokenizer, "the 😀 cats the")
    ids = tokenizer.convert_tokens_to_ids(["▁cat", "▁", "s", "<0xC3>", "<0xBC>", "▁the", "<0xC3>", "▁cat"])
    tokens = encode_ids(tokenizer, ids, 10**6)
    assert tokens.labels.tolist() == ["cat", "␣", "s", "ü", "ü", "the", "<0xC3>", "cat"]
    assert tokens.words.tolist() == [0, 1, 1, 1, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "list of token ids is empty"),
        ([99], "from 99 to 99; .* has 99 entries, 0 to 98"),
        ([-1], "vocabulary has 99"),
    ],
)
def test_ids_outside_the_vocabulary_are_refused(ids: list[int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode_ids(None, ids, 99)


@pytest.mark.parametrize(("text", "message"), [("", "empty"), ("  \n", "empty"), ("[CLS][SEP]", "nothing else")])
def test_texts_without_a_word_are_refused(text: str, message: str, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode_text(tokenizer, text)


def test_a_chat_goes_through_the_template(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat here"}]
    with pytest.raises(InvalidInput, match="no chat template"):
        encode_chat(tokenizer, messages, 99)
    own = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, cls_token="[CLS]", sep_token="[SEP]")
    own.chat_template = "{% for m in messages %}[CLS] {{ m['content'] }} [SEP] {% endfor %}"
    tokens = encode_chat(own, messages, 99)
    assert tokens.labels[[1, 2, 5, 6]].tolist() == ["the", "cat", "sat", "here"]
    assert tokens.special.tolist() == [True, False, False, True] * 2
    own.chat_template = "{{ raise_exception('no') }}"
    with pytest.raises(InvalidInput, match="rejects the messages"):
        encode_chat(own, messages, 99)


@pytest.mark.parametrize(
    ("positions", "first", "last"),
    [(17, ["[CLS]", "0,0"], "3,3"), (16, ["0,0", "0,1"], "3,3"), (18, ["[CLS]", "[extra 1]"], "3,3")],
)
def test_patches_are_labeled_by_row_and_column(positions: int, first: list[str], last: str) -> None:
    tokens = label_patches(positions)
    assert tokens.labels[:2].tolist() == first
    assert tokens.labels[-1] == last
    assert tokens.special.sum() == positions - 16
    assert tokens.words[~tokens.special].tolist() == list(range(16))


def test_positions_that_form_no_square_are_numbered() -> None:
    assert label_patches(7).labels.tolist() == [str(k) for k in range(7)]


def test_the_labels_are_the_coordinates_of_an_analysis(
    reader: normlens.Lens, tokenizer: PreTrainedTokenizerFast
) -> None:
    data, tokens = reader.analyze(TEXT)["encoder"].data, encode_text(tokenizer, TEXT)
    for side in ("source", "target"):
        assert data[f"{side}_token"].values.tolist() == tokens.labels.tolist()
        assert data[f"{side}_word"].values.tolist() == tokens.words.tolist()
        assert data[f"{side}_category"].values.tolist() == tokens.categories.tolist()
        assert data[f"{side}_id"].values.tolist() == tokens.ids.tolist()
        spans = np.stack([data[f"{side}_start"].values, data[f"{side}_end"].values], 1)
        assert spans.tolist() == tokens.offsets.tolist()
    assert data["layer_path"].values.tolist() == [f"encoder.layer.{k}.attention.self" for k in range(3)]


def test_two_texts_are_read_together(tokenizer: PreTrainedTokenizerFast) -> None:
    paired = copy.deepcopy(tokenizer)
    paired.model_input_names = [*paired.model_input_names, "token_type_ids"]
    paired.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", paired.cls_token_id), ("[SEP]", paired.sep_token_id)],
    )
    tokens, types = encode_pair(paired, {"text": "the cat", "text_pair": "a dog ran."})
    assert tokens.labels.tolist() == ["[CLS]", "the", "cat", "[SEP]", "a", "dog", "ran", ".", "[SEP]"]
    assert [tokens.text[slice(*at)] for at in tokens.offsets] == ["", "the", "cat", "", "a", "dog", "ran", ".", ""]
    assert tokens.words.tolist() == [-1, 0, 1, -1, 2, 3, 4, 5, -1]
    assert types is not None and types.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]


@pytest.mark.real_model
def test_a_model_is_told_which_text_a_token_is_of() -> None:
    lens = normlens.load("minilm-l6")
    pair = {"text": "Who ran?", "text_pair": "The dog ran."}
    analysis, (same,) = lens.analyze(pair), lens.analyze([pair], progress=False)
    encoded = lens.tokenizer(*pair.values(), return_tensors="pt")
    lens.model.set_attn_implementation("eager")
    with torch.no_grad():
        weights = lens.model(**encoded, output_attentions=True).attentions[0][0]
    np.testing.assert_allclose(analysis["encoder"].weight[0], weights, atol=1e-5)
    np.testing.assert_allclose(same["encoder"].weight[0], weights, atol=1e-5)


@pytest.mark.parametrize("pair", [{"text": "the cat", "text_pair": " "}, {"text": 7, "text_pair": "a"}])
def test_an_empty_text_of_two_is_refused(tokenizer: PreTrainedTokenizerFast, pair: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="expected a text with at least one word"):
        encode_pair(tokenizer, pair)


def test_patches_of_an_image_that_is_no_square() -> None:
    image = torch.rand(3, 8, 32, generator=torch.Generator().manual_seed(0))
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=(8, 32),
        patch_size=4,
    )
    labels = (
        normlens.load((ViTModel(config).eval(), None)).analyze(image)["encoder"].data["source_token"].values.tolist()
    )
    assert labels == ["[CLS]", *(f"{row},{column}" for row in range(2) for column in range(8))]
    assert label_patches(17, (3, 6)).labels.tolist() == [str(k) for k in range(17)]  # fewer than there are patches


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Die große Straße", ["Die", "große", "Straße", "</s>"]),
        ("Er weiß … nichts.", ["Er", "weiß", "…", "nichts", ".", "</s>"]),
    ],
)
def test_a_tokenizer_without_offsets_finds_its_pieces(text: str, words: list[str]) -> None:
    merged = normlens.load("de-en").analyze(text, target_text="x y").words()["encoder"].data
    assert merged["source_token"].values.tolist() == words


def test_an_unknown_token_without_offsets_stands_for_what_lies_between() -> None:
    tokens = encode_text(normlens.load("de-en").tokenizer, "Er ☃ weiß")
    unknown = tokens.labels.tolist().index("☃ <unk>")
    assert not tokens.special[unknown]
    assert tokens.offsets[unknown].tolist() == [3, 4]
