"""Every form of a model's name, and every error in it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from small_checkpoints import SMALL, bert, tokenizer_of
from tiny_gguf import tensors, write
from transformers import (
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

import normlens
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.loading.catalog import BUNDLED
from normlens.loading.gguf_files import read_once
from normlens.loading.load import LoadedModel, load_model

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


@pytest.mark.parametrize("name", ["Q5_0", "Q5_1"])
def test_gguf_block_types_that_transformers_lacks(name: str, tmp_path: Path) -> None:
    """llama.cpp stores rows that aren't a multiple of 256 as Q5_0, also in files that are called Q4_K_M."""
    import gguf
    from transformers.integrations.gguf import dequant

    kind, weights = gguf.GGMLQuantizationType[name], tensors()
    packed = gguf.quants.quantize(weights["blk.0.ffn_down.weight"], kind)
    values = gguf.quants.dequantize(packed, kind)
    lens = normlens.load(write(tmp_path / "tiny.gguf", {**weights, "blk.0.ffn_down.weight": packed}, packed=kind))
    weight = lens.model.model.layers[0].mlp.down_proj.weight
    assert torch.equal(weight, torch.from_numpy(values)) and float(weight.detach().abs().max()) > 0.1
    blocks = torch.from_numpy(packed).flatten()  # as transformers' newer loader asks, for a few architectures
    with read_once(str(tmp_path / "tiny.gguf")):
        assert torch.equal(dequant.dequantize(blocks, int(kind)), torch.from_numpy(values).flatten())
    assert int(kind) not in dequant.GGML_BLOCK
    with pytest.raises(ValueError, match="not supported yet"):
        dequant.dequantize(blocks, int(kind))


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
