"""Which word each token is of, whatever the tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE, Unigram
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer, M2M100Tokenizer, MarianTokenizer, PreTrainedTokenizerFast

from normlens.alignment.subwords import NO_WORD, SubwordTokenizer
from normlens.bitext.raw_text import split_words
from normlens.errors import InvalidInput
from normlens.loading.languages import set_languages

SENTENCE = "wir glauben nicht , daß"


def test_words_stand_between_spaces_and_nothing_else() -> None:
    assert split_words("\tein  no-break\xa0space ,\u2028und \n") == ["ein", "no-break\xa0space", ",\u2028und"]


def test_marian_s_pieces_spell_each_word(marian_tokenizer: MarianTokenizer) -> None:
    words = SENTENCE.split()
    cut = SubwordTokenizer(marian_tokenizer).tokenize(words)

    spelled = marian_tokenizer.convert_ids_to_tokens(cut.ids.tolist())
    for number, word in enumerate(words):
        assert "".join(spelled[k] for k in np.flatnonzero(cut.words == number)) == f"▁{word}"
    assert spelled[-1] == "</s>"
    assert cut.words[-1] == NO_WORD
    assert cut.ids.tolist() == marian_tokenizer(SENTENCE)["input_ids"]


def test_characters_outside_the_vocabulary_stay_with_their_word(marian_tokenizer: MarianTokenizer) -> None:
    cut = SubwordTokenizer(marian_tokenizer, as_target=True).tokenize(["haus", "日本", "haus"])

    unknown = cut.words[cut.ids == marian_tokenizer.unk_token_id]
    assert len(unknown) >= 1
    assert set(unknown.tolist()) == {1}
    assert cut.ids[cut.words == 0].tolist() == cut.ids[cut.words == 2].tolist()


def test_a_character_that_is_normalized_to_a_space_makes_no_new_word(marian_tokenizer: MarianTokenizer) -> None:
    # U+00B4 becomes a space and a combining accent: two beginnings of words in one word.
    cut = SubwordTokenizer(marian_tokenizer).tokenize(["das", "´", "haus"])

    assert cut.words.max() == 2
    assert cut.ids[cut.words == 2].tolist() == SubwordTokenizer(marian_tokenizer).tokenize(["haus"]).ids[:-1].tolist()


def test_lowercasing_is_for_the_model_alone(marian_tokenizer: MarianTokenizer) -> None:
    lowered = SubwordTokenizer(marian_tokenizer, lowercase=True).tokenize(["Das", "HAUS"])

    assert lowered.ids.tolist() == SubwordTokenizer(marian_tokenizer).tokenize(["das", "haus"]).ids.tolist()


def test_a_prefix_belongs_to_no_word(marian_tokenizer: MarianTokenizer) -> None:
    cut, bare = (
        SubwordTokenizer(marian_tokenizer, prefix=prefix).tokenize(["das", "haus"]) for prefix in ("guten morgen", "")
    )

    assert cut.ids.tolist() == marian_tokenizer("guten morgen das haus")["input_ids"]
    assert cut.words[-len(bare.words) :].tolist() == bare.words.tolist()
    assert set(cut.words[: -len(bare.words)].tolist()) == {NO_WORD}


def _fast(model: Tokenizer, suffix: str = "</s>") -> PreTrainedTokenizerFast:
    model.post_processor = TemplateProcessing(single=f"$A {suffix}", special_tokens=[(suffix, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=model, eos_token=suffix, pad_token="<pad>", unk_token="<unk>")


def test_metaspace_offsets_as_in_t5() -> None:
    pieces = [
        ("</s>", 0.0),
        ("<pad>", 0.0),
        ("<unk>", 0.0),
        ("▁", -4.0),
        ("▁ein", -2.0),
        ("ig", -2.0),
        ("e", -3.0),
        (",", -3.0),
    ]
    model = Tokenizer(Unigram(pieces, unk_id=2))
    model.pre_tokenizer = Metaspace()

    cut = SubwordTokenizer(_fast(model)).tokenize(["ein", ",", "einige", "zz"])

    # ▁ein | ▁ , | ▁ein ig e | ▁ <unk> | </s>
    assert cut.words.tolist() == [0, 1, 1, 2, 2, 2, 3, 3, -1]


def test_byte_level_offsets_as_in_bart() -> None:
    vocabulary = {name: k for k, name in enumerate(["</s>", "<pad>", "<unk>", "a", "b", "Ġ", "Ġa", "Ġab"])}
    model = Tokenizer(BPE(vocabulary, [("Ġ", "a"), ("Ġa", "b")], unk_token="<unk>"))
    model.pre_tokenizer, model.decoder = ByteLevel(add_prefix_space=False), ByteDecoder()

    cut = SubwordTokenizer(_fast(model)).tokenize(["ab", "ab", "b", "ba"])

    # a b | Ġab | Ġ b | Ġ b a | </s>
    assert cut.words.tolist() == [0, 0, 1, 2, 2, 3, 3, 3, -1]


def test_a_word_of_which_the_tokenizer_keeps_nothing_has_no_token() -> None:
    vocabulary = {name: k for k, name in enumerate(["</s>", "<pad>", "a", "Ġa"])}
    model = Tokenizer(BPE(vocabulary, [], unk_token=None))
    model.pre_tokenizer = ByteLevel(add_prefix_space=False)

    cut = SubwordTokenizer(_fast(model)).tokenize(["a", "zz", "a"])

    assert cut.number == 3
    assert set(cut.words.tolist()) == {0, 2, -1}
    with pytest.raises(InvalidInput, match="drops all of its words"):
        SubwordTokenizer(_fast(model)).tokenize(["zz"])


def test_bytes_with_the_space_between_them_as_in_byt5() -> None:
    cut = SubwordTokenizer(ByT5Tokenizer()).tokenize(["ab", "é"])

    # a b | space é é | </s>
    assert cut.words.tolist() == [0, 0, 1, 1, 1, -1]


@pytest.fixture(scope="module")
def many_languages(sentencepiece_folder: Path) -> M2M100Tokenizer:
    vocabulary = json.loads((sentencepiece_folder / "vocab.json").read_text(encoding="utf-8"))
    names = ["<s>", "<pad>", "</s>", "<unk>", *(n for n in vocabulary if n not in ("<pad>", "</s>", "<unk>"))]
    path = sentencepiece_folder / "m2m.json"
    path.write_text(json.dumps({name: k for k, name in enumerate(names)}), encoding="utf-8")
    return M2M100Tokenizer(str(path), str(sentencepiece_folder / "source.model"))


def test_languages_are_read_as_such_and_are_no_words(many_languages: M2M100Tokenizer) -> None:
    set_languages(many_languages, "de", "fr")
    source, target = SubwordTokenizer(many_languages), SubwordTokenizer(many_languages, as_target=True)

    for tokenizer, language in ((source, "de"), (target, "fr")):
        cut = tokenizer.tokenize(SENTENCE.split())
        assert cut.ids[0] == many_languages.get_lang_id(language)
        assert cut.words[[0, -1]].tolist() == [NO_WORD, NO_WORD]
        assert cut.words.max() == 4


def test_languages_that_a_tokenizer_does_not_know_are_refused(
    many_languages: M2M100Tokenizer, marian_tokenizer: MarianTokenizer, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(InvalidInput, match="doesn't have the language 'klingon'"):
        set_languages(many_languages, "klingon", None)
    with pytest.raises(InvalidInput, match="doesn't have the language 'klingon'"):
        set_languages(many_languages, "de", "klingon")
    with pytest.raises(InvalidInput, match="has no languages"):
        set_languages(tokenizer, None, "de")


def test_an_empty_sentence_is_refused(marian_tokenizer: MarianTokenizer) -> None:
    with pytest.raises(InvalidInput, match="the sentence is empty"):
        SubwordTokenizer(marian_tokenizer).tokenize([])
