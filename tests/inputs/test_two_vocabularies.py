"""Encoder–decoders with a vocabulary for each side: ids are checked and spelled by that of their side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    FSMTConfig,
    FSMTForConditionalGeneration,
    FSMTTokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
)

import normlens
from normlens.errors import InvalidInput
from normlens.translation.vocabulary import SpecialIds, learn_pieces, sentence_pieces

SOURCE = ["eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"] * 3
TARGET = ["one two three"] * 3


def vocabulary(folder: Path, name: str, sentences: list[str], pieces: int, special: SpecialIds) -> tuple[str, str, int]:
    """Files of a sentencepiece model and of its ids, and their number."""
    learn_pieces(sentences, folder / f"{name}.spm", pieces, fold_case=False, special=special)
    model = sentence_pieces(folder / f"{name}.spm")
    entries = ", ".join(f'"{model.id_to_piece(k)}": {k}' for k in range(len(model)))
    (folder / f"{name}.json").write_text(f"{{{entries}}}", encoding="utf-8")
    return str(folder / f"{name}.spm"), str(folder / f"{name}.json"), len(model)


def lens_of(folder: Path, target_padding: int = 2) -> normlens.Lens:
    of_source = vocabulary(folder, "source", SOURCE, 60, SpecialIds())
    of_target = vocabulary(folder, "target", TARGET, 30, SpecialIds(padding=target_padding))
    tokenizer = MarianTokenizer(
        of_source[0], of_target[0], of_source[1], target_vocab_file=of_target[1], separate_vocabs=True,
        source_lang="de", target_lang="en",
    )  # fmt: skip
    config = MarianConfig(
        vocab_size=of_source[2], decoder_vocab_size=of_target[2], share_encoder_decoder_embeddings=False, d_model=16,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24,
        decoder_ffn_dim=24, pad_token_id=2, eos_token_id=0, decoder_start_token_id=2, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    return normlens.load((MarianMTModel(config).eval(), tokenizer))


def test_each_side_is_spelled_by_its_own_vocabulary(tmp_path: Path) -> None:
    lens = lens_of(tmp_path)
    sizes = [
        side.get_input_embeddings().num_embeddings for side in (lens.model.get_encoder(), lens.model.get_decoder())
    ]
    assert sizes[0] > sizes[1]
    result = lens.analyze("zwölf drei", target_text="three two")["cross"]
    for side, text in (("source", "zwölf drei"), ("target", "three two")):
        tokens = [str(one) for one in result.norm.coords[f"{side}_token"].values]
        assert "".join(tokens).replace("</s>", "").replace("[START]", "").replace("▁", "") == text.replace(" ", "")
    ids = result.norm.coords["source_id"].values
    assert max(ids) >= sizes[1]  # such an id is none of the target's


def test_ids_are_checked_by_the_vocabulary_of_their_side(tmp_path: Path) -> None:
    lens = lens_of(tmp_path)
    large = lens.model.config.vocab_size - 1
    assert lens.analyze([large, 5, 0], target_text=[5, 6, 0]).conservation_error < 1e-4
    with pytest.raises(InvalidInput, match=f"vocabulary has {lens.model.config.decoder_vocab_size} entries"):
        lens.analyze([5, 6, 0], target_text=[large, 5, 0])


def test_special_tokens_with_other_ids_on_the_other_side_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match="<pad> is 2 in the tokenizer's vocabulary of the source and 5 in that of the"
    ):
        lens_of(tmp_path, target_padding=5).analyze("zwölf", target_text="two")


def fsmt(folder: Path, padding: int = 1) -> normlens.Lens:
    """A model of FSMT's kind, from English to Russian; ``padding`` is the target's id of the padding token."""
    special = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    source = [*special, *(f"{one}</w>" for one in "abcdefghij")]
    target = [*special, *(f"{one}</w>" for one in "жзик")]
    target[1], target[padding] = target[padding], target[1]
    for name, entries in (("src", source), ("tgt", target)):
        (folder / f"{name}.json").write_text(json.dumps({one: number for number, one in enumerate(entries)}))
    (folder / "merges.txt").write_text("x y 1\n")
    tokenizer = FSMTTokenizer(
        ["en", "ru"], str(folder / "src.json"), str(folder / "tgt.json"), str(folder / "merges.txt")
    )
    config = FSMTConfig(
        langs=["en", "ru"], src_vocab_size=len(source), tgt_vocab_size=len(target), d_model=16, encoder_layers=1,
        decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24,
        max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    return normlens.load((FSMTForConditionalGeneration(config).eval(), tokenizer))


def test_fsmt_reads_and_spells_each_side_by_its_own_vocabulary(tmp_path: Path) -> None:
    lens = fsmt(tmp_path)
    result = lens.analyze("j a", target_text="к ж")["cross"]
    assert result.norm.coords["source_id"].values.tolist() == [13, 4, 2]  # the target has only 8 entries
    assert [str(one) for one in result.norm.coords["source_token"].values[:2]] == ["j", "a"]
    assert 7 in result.norm.coords["target_id"].values.tolist()
    assert "к" in [str(one) for one in result.norm.coords["target_token"].values]
    with pytest.raises(InvalidInput, match="vocabulary has 8 entries"):
        lens.analyze([4, 2], target_text=[13, 2])
    with pytest.raises(InvalidInput, match="vocabulary has 14 entries"):
        lens.analyze([14, 2], target_text=[5, 2])


def test_special_tokens_of_fsmt_with_other_ids_on_the_other_side_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="<pad> is 1 in the tokenizer's vocabulary of the source and 5 in that of"):
        fsmt(tmp_path, padding=5).analyze("a", target_text="ж")
