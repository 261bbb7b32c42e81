"""Every form of a model's name, and every error in it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_gguf import tensors, write
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

import normlens
from normlens.errors import InvalidInput, ModelNotFound, UnsupportedArchitecture
from normlens.loading.catalog import BUNDLED
from normlens.loading.load import LoadedModel, load_model

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def tokenizer_of(words: int) -> PreTrainedTokenizerFast:
    vocabulary = {"[UNK]": 0} | {f"word{number}": number for number in range(1, words)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def bert(model_class: type = BertForMaskedLM) -> BertForMaskedLM:
    torch.manual_seed(0)
    return model_class(BertConfig(vocab_size=50, max_position_embeddings=32, **SMALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bert().save_pretrained(tmp_path / "bert")
    tokenizer_of(50).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


# A folder


def test_folder_gives_back_the_saved_weights(folder: Path) -> None:
    loaded = load_model(str(folder))
    assert isinstance(loaded.model, BertForMaskedLM)
    assert not loaded.model.training
    assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), bert().parameters(), strict=True))
    assert loaded.tokenizer is not None
    assert loaded.tokenizer("word7 word49").input_ids == [7, 49]
    assert (loaded.name, loaded.revision, loaded.processor) == (str(folder), None, None)


def test_classifier_keeps_its_classes(tmp_path: Path) -> None:
    bert(BertForSequenceClassification).save_pretrained(tmp_path)
    assert isinstance(load_model(tmp_path).model, BertForSequenceClassification)


def test_task_overrides_the_class_that_the_checkpoint_names(folder: Path) -> None:
    assert type(load_model(folder, task="base").model) is BertModel


def test_encoder_decoder(tmp_path: Path) -> None:
    config = T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    assert isinstance(load_model(tmp_path).model, T5ForConditionalGeneration)


def test_vision_model_comes_with_its_image_processor(tmp_path: Path) -> None:
    ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **SMALL)).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.tokenizer is None
    assert loaded.processor is not None
    assert loaded.processor(torch.zeros(3, 40, 50), return_tensors="pt")["pixel_values"].shape == (1, 3, 32, 32)


def test_folder_without_tokenizer_gets_none_rather_than_an_empty_one(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert load_model(folder).tokenizer is None


@pytest.mark.parametrize("dtype", [None, torch.float16, "float64"])
def test_dtype_is_the_checkpoints_own_unless_said(tmp_path: Path, dtype: torch.dtype | str | None) -> None:
    bert().to(torch.bfloat16).save_pretrained(tmp_path)
    expected = {None: torch.bfloat16, torch.float16: torch.float16, "float64": torch.float64}[dtype]
    assert load_model(tmp_path, dtype=dtype).model.dtype == expected


# A pair


def test_pair_is_used_as_it_is() -> None:
    model, tokenizer = bert().train(), tokenizer_of(50)
    loaded = load_model((model, tokenizer))
    assert loaded.model is model
    assert loaded.tokenizer is tokenizer
    assert not model.training
    assert loaded.name == "BertForMaskedLM"


def test_pair_may_lack_the_tokenizer_and_be_cast() -> None:
    loaded = load_model((bert(), None), dtype="float64", device="cpu")
    assert loaded.tokenizer is None
    assert loaded.model.dtype == torch.float64


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        (bert(), "BertForMaskedLM"),
        ((bert(),), "tuple"),
        (3, "int"),
        ((torch.nn.Linear(2, 2), None), "Linear"),
        ((None, None), "NoneType"),
        ((bert(), "bert"), "str"),
    ],
)
def test_something_else_is_refused_by_name(source: object, seen: str) -> None:
    with pytest.raises(InvalidInput, match=seen):
        load_model(source)  # type: ignore[arg-type]


def test_compiled_model_is_refused() -> None:
    in_place = bert()
    in_place.compile()
    with_compiled_encoder = bert()
    with_compiled_encoder.bert.encoder = torch.compile(with_compiled_encoder.bert.encoder)
    for model in (torch.compile(bert()), in_place, with_compiled_encoder):
        with pytest.raises(UnsupportedArchitecture, match=r"torch\.compile"):
            load_model((model, None))


# What is refused at the door


def test_pickle_only_folder_is_refused_unopened(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(ModelNotFound, match=r"pytorch_model\.bin.*pickle.*save_pretrained"):
        load_model(folder)
    with pytest.raises(ModelNotFound, match="not a GGUF file"):
        load_model(folder / "pytorch_model.bin")
    (folder / "unrelated.safetensors").touch()
    with pytest.raises(InvalidInput, match=r"no file named model\.safetensors"):
        load_model(folder)


def test_unreachable_hub_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFound, match=r"nobody/nothing \(revision v2\).*cache.*no network.*hf download"):
        load_model("nobody/nothing", revision="v2")


def test_code_from_the_repository_is_run_only_when_the_caller_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "novelty.NoveltyConfig", "AutoModelForMaskedLM": "novelty.Novelty"}
    config |= {"model_type": "novelty", "architectures": ["Novelty"], "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "novelty.py").write_text(
        "from transformers import BertConfig, BertForMaskedLM\n\n"
        "class NoveltyConfig(BertConfig):\n    model_type = 'novelty'\n\n"
        "class Novelty(BertForMaskedLM):\n    config_class = NoveltyConfig\n"
    )
    with pytest.raises(ModelNotFound, match="trust_remote_code=True"):
        load_model(folder)
    assert not (tmp_path / "modules").exists()
    assert type(load_model(folder, trust_remote_code=True).model).__name__ == "Novelty"


def test_truncated_weights(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(InvalidInput, match="download is complete"):
        load_model(folder)


def test_unknown_model_type(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "novelty"}))
    with pytest.raises(InvalidInput, match="novelty"):
        load_model(folder)


def test_checkpoint_that_lacks_a_layer(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(InvalidInput, match=r"lacks 16 of its weights, the first is bert\.encoder\.layer\.2\."):
        load_model(folder)


def rewrite(folder: Path, change: dict[str, Tensor | None], **settings: object) -> None:
    """Change weights (None takes one out) and settings of a saved model."""
    weights = load_file(folder / "model.safetensors") | change
    save_file({name: x for name, x in weights.items() if x is not None}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


@pytest.mark.parametrize("task", [None, "base"])
def test_checkpoint_with_more_layers_than_its_config_says(folder: Path, task: str | None) -> None:
    rewrite(folder, {}, num_hidden_layers=1)
    with pytest.raises(InvalidInput, match=r"holds bert\.encoder\.layer\.1\.\S+, but .* its config has fewer layers"):
        load_model(folder, task=task)


def test_checkpoint_with_biases_that_its_config_leaves_out(tmp_path: Path) -> None:
    config = LlamaConfig(vocab_size=50, num_key_value_heads=2, attention_bias=True, **SMALL)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    rewrite(tmp_path, {}, attention_bias=False)
    with pytest.raises(
        InvalidInput, match=r"layers\.0\.self_attn\.k_proj\.bias, but a model of its config has no such weight"
    ):
        load_model(tmp_path)


def test_checkpoint_of_another_shape(folder: Path) -> None:
    rewrite(folder, {}, intermediate_size=33)
    with pytest.raises(InvalidInput, match=r"bias with shape \(32,\), but its config requires shape \(33,\)"):
        load_model(folder)


def test_what_is_left_over_outside_the_layers_is_no_fault(folder: Path) -> None:
    other = {"cls.seq_relationship.weight": torch.zeros(2, 16), "vision.encoder.layer.7.weight": torch.zeros(1)}
    rewrite(folder, other | {"bert.embeddings.position_ids": torch.arange(32)[None]})
    load_model(folder)


def test_layers_that_predict_further_tokens_are_no_layers_of_the_model(tmp_path: Path) -> None:
    LlamaForCausalLM(LlamaConfig(vocab_size=50, num_key_value_heads=2, **SMALL)).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    next_layer = {n.replace("s.1.", "s.2."): x.clone() for n, x in weights.items() if "layers.1." in n}
    rewrite(tmp_path, next_layer, num_nextn_predict_layers=1)
    load_model(tmp_path)
    rewrite(tmp_path, {}, num_nextn_predict_layers=0)
    with pytest.raises(InvalidInput, match="fewer layers"):
        load_model(tmp_path)


def test_a_head_that_is_tied_to_the_embeddings_is_not_missing(tmp_path: Path) -> None:
    config = LlamaConfig(vocab_size=50, num_key_value_heads=2, tie_word_embeddings=True, **SMALL)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    lens = normlens.load(tmp_path)
    assert float(lens.attribute([5, 6, 7], target=3).attrs["value"]) != 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(value: float) -> None:
    model = bert()
    model.bert.encoder.layer[1].attention.self.value.weight.data[0, :2] = value
    with pytest.raises(InvalidInput, match=r"layer\.1\.attention\.self\.value\.weight hold 2 values"):
        load_model((model, None))


def test_model_without_attention() -> None:
    model = MambaModel(MambaConfig(vocab_size=50, hidden_size=16, state_size=4, num_hidden_layers=2))
    with pytest.raises(UnsupportedArchitecture, match=r"MambaModel.*no attention"):
        load_model((model, None))


def test_tokenizer_that_does_not_fit(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"ids up to 50, .*embeds only 50"):
        load_model((bert(), tokenizer_of(51)))
    tokenizer_of(60).save_pretrained(folder)
    with pytest.raises(InvalidInput, match="ids up to 59"):
        load_model(folder)


def test_separator_beyond_the_embedding_does_not_fit_but_a_mask_may() -> None:
    tokenizer = tokenizer_of(50)
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    assert load_model((bert(), tokenizer)).tokenizer is tokenizer
    tokenizer.add_special_tokens({"sep_token": "[SEP]"})
    with pytest.raises(InvalidInput, match="ids up to 51"):
        load_model((bert(), tokenizer))


@pytest.mark.parametrize(
    ("option", "seen"), [({"task": "poetry"}, "poetry"), ({"dtype": "int8"}, "int8"), ({"device": "abacus"}, "abacus")]
)
def test_unknown_option(folder: Path, option: dict[str, str], seen: str) -> None:
    with pytest.raises(InvalidInput, match=seen):
        load_model(folder, **option)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["abacus", "meta", "cuda:99"])
def test_a_device_that_holds_nothing_is_refused_in_sentences(folder: Path, device: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^Device {device} can't be used: .*[^.!]\. Use 'cpu'\.$"):
        load_model(folder, device=device)


# The bundled models


def test_gguf_readers_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.gguf").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(InvalidInput, match=r"gguf and accelerate.*normlens\[gguf\]"):
        load_model(tmp_path / "tiny.gguf")


def test_a_gguf_file_is_parsed_once_however_it_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gguf

    class Counted(gguf.GGUFReader):  # type: ignore[misc]
        opened = 0

        def __init__(self, path: str) -> None:
            Counted.opened += 1
            super().__init__(path)

    weights = tensors()
    write(tmp_path / "tiny.gguf", weights)
    (tmp_path / "link.gguf").symlink_to("tiny.gguf")
    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    monkeypatch.chdir(tmp_path)
    names = gguf.get_tensor_name_map
    for number, path in enumerate(
        ("tiny.gguf", "./tiny.gguf", f"../{tmp_path.name}/tiny.gguf", tmp_path / "link.gguf"), 1
    ):
        loaded = load_model(path)
        assert Counted.opened == number
        assert (gguf.GGUFReader, gguf.get_tensor_name_map) == (Counted, names)
        projection = loaded.model.model.layers[1].mlp.up_proj.weight
        assert torch.equal(projection, torch.tensor(weights["blk.1.ffn_up.weight"]))
        assert loaded.tokenizer is not None and loaded.tokenizer.decode(loaded.tokenizer("ab")["input_ids"]) == "ab"


def test_a_model_from_a_gguf_file_is_saved_and_comes_back_with_the_same_numbers(tmp_path: Path) -> None:
    lens = normlens.load(write(tmp_path / "tiny.gguf", tensors()))
    lens.model.save_pretrained(tmp_path / "saved")
    again = normlens.load(tmp_path / "saved")
    assert "quantization_config" not in json.loads((tmp_path / "saved" / "config.json").read_text())
    for name, x in lens.model.state_dict().items():
        assert torch.equal(x, again.model.state_dict()[name])
    ids = [3, 4, 5]
    assert again.analyze(ids)["decoder"].norm.values.tolist() == lens.analyze(ids)["decoder"].norm.values.tolist()
    assert again.attribute(ids, target=7).values.tolist() == lens.attribute(ids, target=7).values.tolist()


def test_broken_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF is how it starts, and then it goes wrong")
    with pytest.raises(InvalidInput, match=r"tiny\.gguf could not be loaded"):
        load_model(tmp_path / "tiny.gguf")


@pytest.mark.real_model
def test_minilm() -> None:
    loaded = load_model("minilm-l6")
    assert (loaded.name, loaded.revision) == ("minilm-l6", None)
    assert (loaded.model.config.num_hidden_layers, loaded.model.config.num_attention_heads) == (6, 12)
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.tokenize("The capital of France") == ["the", "capital", "of", "france"]


@pytest.mark.real_model
def test_smollm_predicts_sensibly_so_its_weights_are_in_order(smollm2: LoadedModel) -> None:
    loaded = smollm2
    config, tokenizer = loaded.model.config, loaded.tokenizer
    assert (config.num_attention_heads, config.num_key_value_heads, loaded.model.dtype) == (9, 3, torch.float32)
    assert tokenizer is not None
    prompt = "The capital of France is Paris, and the capital of Germany is"
    encoded = tokenizer(prompt, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    assert [prompt[start:end] for start, end in offsets[:4]] == ["The", " capital", " of", " France"]
    with torch.no_grad():
        output = loaded.model(**encoded, labels=encoded["input_ids"])
    assert tokenizer.decode(output.logits[0, -1].argmax()) == " Berlin"
    assert output.loss < 4
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "<|im_start|>user\nHi<|im_end|>" in chat


@pytest.mark.real_model
def test_bundled_model_may_be_copied_and_loaded_by_path(tmp_path: Path) -> None:
    folder = shutil.copytree(BUNDLED["minilm-l6"].require(), tmp_path / "copy")
    assert load_model(str(folder)).name == str(folder)
