"""Children of other families than our own parents': special ids of a new vocabulary, and how a translation begins."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    TrainerCallback,
)

import normlens
from normlens import transfer
from normlens.errors import InvalidInput
from normlens.transfer.token_ids import special_ids
from normlens.translation import TrainingText, resuming, trainer
from normlens.translation.vocabulary import SpecialIds

Counting = Callable[[str, str], TrainingText]
VOCABULARY = 60
SIZES: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 32, "vocab_size": VOCABULARY,
    "pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 0, "decoder_start_token_id": 2,
}  # fmt: skip
LAST = {"pad_token_id": VOCABULARY - 1, "eos_token_id": 0, "decoder_start_token_id": VOCABULARY - 1}


def forced(model: PreTrainedModel) -> PreTrainedModel:
    """With the first token of BART's translations."""
    model.generation_config.forced_bos_token_id = 0  # type: ignore[union-attr]
    return model


BUILD: dict[str, Callable[[], PreTrainedModel]] = {
    "bart": lambda: forced(BartForConditionalGeneration(BartConfig(**SIZES))),
    "mbart": lambda: MBartForConditionalGeneration(MBartConfig(**SIZES)),
    "m2m_100": lambda: M2M100ForConditionalGeneration(M2M100Config(**SIZES)),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(
            d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, vocab_size=VOCABULARY, decoder_start_token_id=0
        )
    ),
    "marian-padding-last": lambda: MarianMTModel(MarianConfig(**{**SIZES, **LAST})),
}
SHORT: dict[str, Any] = {"epochs": 1, "positions": 200, "pieces": 50, "warmup": 10}
WORDS = ["un", "deux", "trois", "quatre", "cinq", "six", "grand", "one", "two", "three", "four", "five", "big", "."]
LABELS = {"bart": "<s> $A </s>", "mbart": "$A </s> __en__", "m2m_100": "__en__ $A </s>"}


def tokenizer(model: PreTrainedModel, template: str) -> PreTrainedTokenizerFast:
    """Words as tokens, with the model's special ids."""
    config = model.config
    special = {"<pad>": config.pad_token_id, "</s>": config.eos_token_id}
    left = iter(number for number in range(VOCABULARY) if number not in special.values())
    words = ["<s>", "<unk>", "__en__", *WORDS]
    vocabulary = {**special, **{word: next(left) for word in words}}
    fast = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    fast.pre_tokenizer = WhitespaceSplit()
    fast.post_processor = TemplateProcessing(
        single=template, special_tokens=[(name, vocabulary[name]) for name in ("<s>", "</s>", "__en__")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, unk_token="<unk>", pad_token="<pad>", eos_token="</s>", bos_token="<s>",
        additional_special_tokens=["__en__"],
    )  # fmt: skip


@pytest.fixture(params=BUILD)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lens(family: str) -> normlens.Lens:
    torch.manual_seed(0)
    model = BUILD[family]().eval()
    return normlens.load((model, tokenizer(model, LABELS.get(family, "$A </s>"))))


class _Stop(TrainerCallback):
    """Ends a training, as a kill would."""

    def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        if state.global_step == 5:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("setting", "pair"), [("src+xattn", ("de", "en")), ("tgt+xattn", ("fr", "de"))])
def test_a_child_of_any_family_resumes_and_translates(
    lens: normlens.Lens,
    counting_between: Counting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    pair: tuple[str, str],
) -> None:
    text, original = counting_between(*pair), resuming.trainer_of
    straight = transfer.train(lens, text, tmp_path / "straight", setting, **SHORT)

    def stopping(*arguments: Any) -> Any:
        stopped = original(*arguments)
        stopped.add_callback(_Stop())
        return stopped

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "SECONDS_BETWEEN_CHECKPOINTS", 0)
        patch.setattr(resuming, "trainer_of", stopping)
        with pytest.raises(KeyboardInterrupt):
            transfer.train(lens, text, tmp_path / "killed", setting, **SHORT)
    resumed = transfer.train(lens, text, tmp_path / "killed", setting, **SHORT)
    one, other = (load_file(delta.folder / "delta.safetensors") for delta in (straight, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    translator = transfer.child_translator(lens, straight.folder)
    (translation,), truncated = translator.translate(["un deux ."])
    assert truncated == 0 and "</s>" not in translation and "<pad>" not in translation
    assert transfer.parent_translator(lens, straight.folder).translate(["un ."])[0]


def test_a_translation_begins_as_the_targets_of_the_training(
    lens: normlens.Lens, family: str, counting_between: Counting, tmp_path: Path
) -> None:
    delta = transfer.train(lens, counting_between("de", "en"), tmp_path, "src+xattn", **SHORT)
    translator = transfer.child_translator(lens, delta.folder)
    code = lens.tokenizer.convert_tokens_to_ids("__en__")  # type: ignore[union-attr]
    expected = {"mbart": code, "t5": 0, "marian-padding-last": VOCABULARY - 1}.get(family, 2)
    assert translator.generation["decoder_start_token_id"] == expected


def test_special_ids_are_those_of_the_model_where_a_small_vocabulary_has_them(lens: normlens.Lens, family: str) -> None:
    expected = {
        "t5": SpecialIds(end=1, unknown=2, padding=0),
        "marian-padding-last": SpecialIds(),
        "bart": SpecialIds(end=2, unknown=3, padding=1, begin=0),
    }.get(family, SpecialIds(end=2, unknown=0, padding=1))
    assert special_ids(lens.model) == expected


def test_special_ids_that_a_small_table_lacks_are_replaced() -> None:
    model = BUILD["bart"]().eval()
    model.config.pad_token_id = 50
    model.get_encoder().get_input_embeddings().padding_idx = 50
    child = transfer.start_child(normlens.load((model, None)), "src", vocabulary=50)
    assert special_ids(model) == SpecialIds()
    assert child.model.config.pad_token_id == child.model.get_encoder().get_input_embeddings().padding_idx == 2
    model.config.pad_token_id = model.config.eos_token_id  # one id for both: padding would be taken for an end
    assert special_ids(model) == SpecialIds()


def test_a_child_of_marian_keeps_how_its_parent_generates(parent_folder: Path) -> None:
    parent = normlens.load(str(parent_folder))
    before, after = (
        model.generation_config for model in (parent.model, transfer.start_child(parent, "src", vocabulary=50).model)
    )
    assert before is not None and after is not None
    assert (after.num_beams, after.suppress_tokens) == (before.num_beams, before.suppress_tokens) == (4, [1, 2])


def test_a_long_source_is_cut_before_its_end(parent_folder: Path, counting_between: Counting, tmp_path: Path) -> None:
    parent = normlens.load(str(parent_folder))
    delta = transfer.train(parent, counting_between("de", "en"), tmp_path, "src", **SHORT)
    vocabulary = transfer.child_translator(parent, delta.folder).vocabulary
    (whole,), (cut,) = (vocabulary.source_ids(["eins " * 600], cut=cut) for cut in (False, True))
    assert len(whole) > 600 and len(cut) == vocabulary.longest == 512
    assert cut == [*whole[:511], whole[-1]]


@pytest.fixture
def padding_last(parent_folder: Path, tmp_path: Path) -> normlens.Lens:
    """The parent with its padding at the end of the vocabulary, where OPUS-MT's models have it."""
    before = MarianMTModel.from_pretrained(parent_folder)
    rows = before.config.vocab_size
    changed = {
        "vocab_size": rows + 1,
        "decoder_vocab_size": rows + 1,
        "pad_token_id": rows,
        "decoder_start_token_id": rows,
    }
    model = MarianMTModel(MarianConfig.from_dict({**before.config.to_dict(), **changed}))
    with torch.no_grad():
        for name, x in model.state_dict().items():
            old = before.state_dict()[name]
            axis = next((axis for axis, size in enumerate(x.shape) if size == rows + 1), None)
            x.copy_(old if axis is None else torch.cat([old, old.narrow(axis, 2, 1)], axis))
    generation = before.generation_config
    generation.pad_token_id = generation.decoder_start_token_id = rows
    generation.suppress_tokens = None
    generation.bad_words_ids = [[rows], [1], [2]]
    model.generation_config = generation
    folder = tmp_path / "padding-last"
    MarianTokenizer.from_pretrained(parent_folder).save_pretrained(folder)
    model.save_pretrained(folder)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    vocabulary["<unused>"], vocabulary["<pad>"] = vocabulary["<pad>"], rows
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("added_tokens_decoder", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return normlens.load(str(folder))


@pytest.mark.parametrize(("setting", "pair"), [("src+body", ("de", "en")), ("tgt+body", ("fr", "de"))])
def test_a_child_of_a_model_whose_padding_is_last_is_merged(
    padding_last: normlens.Lens, counting_between: Counting, tmp_path: Path, setting: str, pair: tuple[str, str]
) -> None:
    assert transfer.parent_translator(padding_last).translate(["un deux trois ."])[0] == ["one two three ."]
    options = {"epochs": 30, "positions": 200, "pieces": 55, "warmup": 10}
    delta = transfer.train(padding_last, counting_between(*pair), tmp_path / "run", setting, **options)
    source, target = {"de": ("eins fünf drei .", "one five three ."), "fr": ("un cinq trois .", "eins fünf drei .")}[
        pair[0]
    ]
    sentences, references = [source, f"{source[:-2]} ."], [target] * 2
    own = transfer.child_translator(padding_last, delta.folder).evaluate(sentences, references, tokenized=True)
    assert own.scores.chrf > 60
    folder = transfer.merge(padding_last, delta.folder, tmp_path / "merged")
    assert normlens.translation.evaluate(str(folder), sentences, references, tokenized=True) == own


def test_a_child_that_no_class_of_transformers_holds_is_not_merged(counting_between: Counting, tmp_path: Path) -> None:
    model = BUILD["bart"]().eval()
    lens = normlens.load((model, tokenizer(model, LABELS["bart"])))
    delta = transfer.train(lens, counting_between("de", "en"), tmp_path / "run", "src", **SHORT)
    with pytest.raises(InvalidInput, match="no BartForConditionalGeneration with a vocabulary for each side"):
        transfer.merge(lens, delta.folder, tmp_path / "merged")
    whole = transfer.train(lens, counting_between("fr", "en"), tmp_path / "whole", "embed+xattn", **SHORT)
    merged = normlens.load(str(transfer.merge(lens, whole.folder, tmp_path / "merged")))
    child = transfer.load_child(lens, whole.folder)
    ids = torch.tensor([[5, 6, 2]])
    with torch.no_grad():
        logits = [one(input_ids=ids, decoder_input_ids=ids).logits for one in (merged.model, child)]
    assert torch.equal(*logits)


@pytest.fixture
def many_tongues(parent_folder: Path, tmp_path: Path) -> normlens.Lens:
    """A random M2M-100 with its tokenizer, on the pieces of the parent."""
    pieces = json.loads((parent_folder / "vocab.json").read_text())
    names = ["<s>", "<pad>", "</s>", "<unk>", *(name for name in pieces if name not in ("<pad>", "</s>", "<unk>"))]
    (tmp_path / "m2m.json").write_text(json.dumps({name: k for k, name in enumerate(names)}))
    tokenizer = M2M100Tokenizer(str(tmp_path / "m2m.json"), str(parent_folder / "source.spm"))
    torch.manual_seed(0)
    sizes = {**SIZES, "vocab_size": max(tokenizer.lang_token_to_id.values()) + 8}
    return normlens.load((M2M100ForConditionalGeneration(M2M100Config(**sizes)).eval(), tokenizer))


@pytest.mark.parametrize(("setting", "pair"), [("embed+xattn", ("fr", "en")), ("src+xattn", ("de", "en"))])
def test_a_multilingual_parent_gets_the_languages_of_the_text(
    many_tongues: normlens.Lens, counting_between: Counting, tmp_path: Path, setting: str, pair: tuple[str, str]
) -> None:
    delta = transfer.train(many_tongues, counting_between(*pair), tmp_path / "run", setting, **SHORT)
    many_tongues.tokenizer.src_lang, many_tongues.tokenizer.tgt_lang = "nl", "sv"  # type: ignore[union-attr]
    translator = transfer.child_translator(many_tongues, delta.folder)
    code = many_tongues.tokenizer.get_lang_id  # type: ignore[union-attr]
    assert translator.generation == {"decoder_start_token_id": 2, "forced_bos_token_id": code("en")}
    first = translator.vocabulary.source_ids(["un ."])[0][0]
    assert (first == code("fr")) == (setting == "embed+xattn")
    if setting == "embed+xattn":
        merged = transfer.merge(many_tongues, delta.folder, tmp_path / "merged")
        assert json.loads((merged / "generation_config.json").read_text())["forced_bos_token_id"] == code("en")
    with pytest.raises(InvalidInput, match="doesn't have the language 'klingon'"):
        transfer.train(many_tongues, replace(counting_between(*pair), target="klingon"), tmp_path / "other", setting)
