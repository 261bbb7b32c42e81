"""``--image`` and ``--audio``: pictures and sounds from files, checked before a model is loaded."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny, weights
from invocation import Run
from numpy.typing import NDArray
from PIL import Image
from scipy.io import wavfile
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    CLIPImageProcessor,
    CLIPProcessor,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

import normlens

RATE = 16_000
WAVE: NDArray[np.float32] = np.sin(np.arange(2000) / 9).astype(np.float32)
PIXELS = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
IMAGE_TOKEN = 50


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The folder in which commands run, with a picture, another one, and a sound."""
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    Image.fromarray(PIXELS[::-1]).save(tmp_path / "b.png")
    wavfile.write(tmp_path / "a.wav", RATE, WAVE)
    return tmp_path


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of pictures."""
    folder = tmp_path_factory.mktemp("vit")
    config = ViTConfig(
        image_size=8, patch_size=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1},
    )  # fmt: skip
    model = ViTForImageClassification(config)
    weights.randomize(model, 0)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a picture beside a text."""
    folder = tmp_path_factory.mktemp("clip")
    tiny.build("clip").save_pretrained(folder)
    seen = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    CLIPProcessor(image_processor=seen, tokenizer=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of waveforms."""
    folder = tmp_path_factory.mktemp("wav2vec2")
    tiny.build("wav2vec2").save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def whisper(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder–decoder from sound to text."""
    folder = tmp_path_factory.mktemp("whisper")
    tiny.build("whisper").save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16, chunk_length=1, hop_length=500).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision–language model: 16 image tokens of a picture among the tokens of a text."""
    folder = tmp_path_factory.mktemp("llava")
    config = tiny.configuration("llava")
    config.image_token_id = config.image_token_index = IMAGE_TOKEN
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration._from_config(config, attn_implementation="eager")
    weights.randomize(model, 0)
    words = {word: number for number, word in enumerate(["[UNK]", "[PAD]", "what", "is", "this"])}
    words |= {f"word{number}": number for number in range(5, IMAGE_TOKEN)} | {"<image>": IMAGE_TOKEN}
    core = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]", extra_special_tokens={"image_token": "<image>"}
    )
    side = config.vision_config.image_size
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}), tokenizer,
        patch_size=config.vision_config.patch_size, vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    model.save_pretrained(folder)
    return folder


def printed(run: Run, *arguments: object) -> Any:
    """What a command prints as JSON."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(run: Run, *arguments: object, loads: bool = False) -> str:
    """The message with which a command refuses its input, before a model's weights are read unless it ``loads``."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    assert ("Analyzing" not in result.stderr and "Running" not in result.stderr) or loads
    return " ".join(result.stderr.split())


def test_the_numbers_are_those_of_the_library(
    vit: Path, clip: Path, wav2vec2: Path, whisper: Path, run: Run, files: Path
) -> None:
    picture, sound = Image.fromarray(PIXELS), {"audio": WAVE, "sampling_rate": RATE}
    asked: list[tuple[Path, tuple[object, ...], Callable[[normlens.Lens], normlens.Analysis]]] = [
        (vit, ("--image", "a.png"), lambda lens: lens.analyze(picture)),
        (
            clip,
            ("the cat sat", "--image", "a.png"),
            lambda lens: lens.analyze({"text": "the cat sat", "image": picture}),
        ),
        (wav2vec2, ("--audio", "a.wav"), lambda lens: lens.analyze(sound)),
        (whisper, ("--audio", "a.wav", "--target-text", "the cat"), lambda lens: lens.analyze(sound, "the cat")),
    ]
    for folder, arguments, analyze in asked:
        expected = json.loads(analyze(normlens.load(folder)).to_json())
        assert printed(run, "analyze", folder, *arguments) == expected


def test_shares_of_patches_add_up_to_the_logit_of_a_class(vit: Path, run: Run, files: Path) -> None:
    lens = normlens.load(vit)
    shares = lens.attribute(Image.fromarray(PIXELS), target="dog")
    answer = printed(run, "attribute", vit, "--image", "a.png", "-t", "dog", "-m", "decompx")
    assert answer["value"] == pytest.approx(float(shares.attrs["value"]), rel=1e-6)
    assert [word["word"] for word in answer["words"]] == ["0,0", "0,1", "1,0", "1,1"]
    assert [word["share"] for word in answer["words"]] == pytest.approx(shares.values.tolist(), rel=1e-5)
    total = sum(word["share"] for word in answer["words"]) + answer["bias_share"]
    assert total == pytest.approx(answer["value"], abs=1e-5)


def test_a_picture_stands_among_the_words_where_its_mark_is(llava: Path, run: Run, files: Path) -> None:
    arguments = ("<image> what is this", "--image", "a.png")
    tokens = printed(run, "analyze", llava, *arguments)
    names = str(tokens)
    assert all(f"image {row},{column}" in names for row in range(4) for column in range(4))
    two = ("what <image> is <image>", "--image", "a.png", "--image", "b.png")
    assert "image 2: 3,3" in str(printed(run, "analyze", llava, *two))
    shares = printed(run, "attribute", llava, *arguments, "-m", "decompx", "-t", "id:3")
    assert sum(word["share"] for word in shares["words"]) + shares["bias_share"] == pytest.approx(
        shares["value"], abs=1e-4
    )
    compared = run("compare", llava, *arguments, "-m", "decompx,logit", "-t", "id:3")
    assert compared.exit_code == 0, compared.stderr
    assert "image" in refused(run, "analyze", llava, "what is this", "--image", "a.png", loads=True)
    assert "image" in refused(run, "analyze", llava, "<image> <image> what", "--image", "a.png", loads=True)


def test_a_text_from_a_file_or_standard_input_stands_beside_a_picture(clip: Path, run: Run, files: Path) -> None:
    expected = printed(run, "analyze", clip, "the cat sat", "--image", "a.png")
    (files / "text.txt").write_text("the cat sat")
    assert printed(run, "analyze", clip, "-f", "text.txt", "--image", "a.png") == expected
    piped = run("analyze", clip, "-", "--image", "a.png", "--json", stdin="the cat sat")
    assert json.loads(piped.stdout) == expected
    rest = "\t_" * 8
    (files / "text.conllu").write_text(f"1\tthe{rest}\n2\tcat{rest}\n\n")
    assert "with --image or --audio, pass its sentence as TEXT" in refused(
        run, "analyze", clip, "-f", "text.conllu", "--image", "a.png"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bert", "the cat", "--image", "a.png"), "BertModel reads no images; it reads text. Pass text"),
        (("bert", "--image", "a.png"), "reads no images"),
        (("bert", "--audio", "a.wav"), "BertModel reads no sounds; it reads text"),
        (("vit", "the cat", "--image", "a.png"), "ViTForImageClassification reads no text; it reads images"),
        (("vit", "the cat"), "reads no text; it reads images"),
        (("wav2vec2", "--image", "a.png"), "Wav2Vec2Model reads no images; it reads sounds"),
        (("whisper", "--audio", "a.wav"), "expected --target-text"),
    ],
)
def test_what_a_model_does_not_read_is_refused_before_its_weights(
    arguments: tuple[str, ...], message: str, run: Run, files: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(arguments[0])
    with (folder / "model.safetensors").open("rb") as weights_file:
        header = weights_file.read()
    for command in ("analyze", "attribute", "compare"):
        try:
            (folder / "model.safetensors").write_bytes(header[:-1])  # reading it would fail
            assert message in refused(run, command, folder, *arguments[1:])
        finally:
            (folder / "model.safetensors").write_bytes(header)


def bad_files(folder: Path) -> dict[str, tuple[str, str]]:
    """Files that are no pictures or sounds, by option: their names and what is said of them."""
    (folder / "text.txt").write_text("the cat")
    (folder / "empty").write_bytes(b"")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:300])
    (folder / "drawn.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    (folder / "cut.wav").write_bytes((folder / "a.wav").read_bytes()[:30])
    wavfile.write(folder / "two.wav", RATE, np.stack([WAVE, WAVE], axis=1))
    wavfile.write(folder / "nan.wav", RATE, WAVE * np.nan)
    wavfile.write(folder / "slow.wav", 8000, WAVE)
    wavfile.write(folder / "none.wav", RATE, WAVE[:0])
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    with (folder / "large.wav").open("wb") as file:
        file.write(struct.pack("<4sI4s", b"RIFF", 2**32 - 1, b"WAVE"))
        file.truncate(10**10)  # a hole
    picture, sound = "can't be read as an image", "can't be read as a WAV file"
    return {
        **{f"image {name}": (name, picture) for name in ("no.png", "text.txt", "empty", "cut.png", "drawn.png", "a.wav")},
        **{f"audio {name}": (name, sound) for name in ("no.wav", "text.txt", "empty", "cut.wav", "a.png")},
        "image pipe": ("pipe", "is a pipe; expected a file"), "image folder": ("folder", "it is a folder"),
        "audio pipe": ("pipe", "is a pipe; expected a file"), "audio folder": ("folder", "it is a folder"),
        "audio two.wav": ("two.wav", "has 2 channels; expected one"), "audio none.wav": ("none.wav", "holds no samples"),
        "audio large.wav": ("large.wav", "has 10,000,000,000 bytes; expected at most 1 GiB"),
        "image /dev/zero": ("/dev/zero", "it is a device"),
    }  # fmt: skip


def test_a_file_that_holds_no_picture_or_sound_is_refused_before_a_model_is_loaded(run: Run, files: Path) -> None:
    for name, (file, message) in bad_files(files).items():
        option = f"--{name.partition(' ')[0]}"
        said = refused(run, "analyze", "no-model", option, file)
        assert message in said and file in said and "Loading" not in said, name


def test_a_sound_of_another_rate_or_without_finite_samples_is_refused(wav2vec2: Path, run: Run, files: Path) -> None:
    bad_files(files)
    assert "has 8000 samples per second" in refused(run, "analyze", wav2vec2, "--audio", "slow.wav", loads=True)
    assert "not finite" in refused(run, "analyze", wav2vec2, "--audio", "nan.wav", loads=True)


def test_every_cut_of_a_sound_is_read_or_refused(run: Run, files: Path) -> None:
    whole = (files / "a.wav").read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(whole[: generator.integers(1, 120)])
        for place in generator.integers(0, len(broken), 2):
            broken[place] = generator.integers(0, 256)
        (files / "broken.wav").write_bytes(broken)
        said = refused(run, "analyze", "no-model", "--audio", "broken.wav")
        assert "broken.wav" in said or "no-model" in said


def test_outputs_do_not_replace_what_is_read(run: Run, files: Path) -> None:
    before = (files / "a.png").read_bytes()
    said = refused(run, "analyze", "no-model", "--image", "a.png", "-o", "./a.png", "--overwrite")
    assert "is a.png, which this command reads" in said
    assert (files / "a.png").read_bytes() == before


def test_a_position_behind_the_last_patch_is_refused(vit: Path, run: Run, files: Path) -> None:
    said = refused(run, "attribute", vit, "--image", "a.png", "-m", "rollout", "--row", "9", loads=True)
    assert "9" in said and "Traceback" not in said


def test_pictures_of_patches_are_written(vit: Path, run: Run, files: Path) -> None:
    for name in ("out.html", "out.svg", "out.csv"):
        result = run("attribute", vit, "--image", "a.png", "-o", name)
        assert result.exit_code == 0, result.stderr
        assert "1,1" in (files / name).read_text()
    for name in ("out.nc", "page.html", "map.svg"):
        assert run("analyze", vit, "--image", "a.png", "-o", name).exit_code == 0
    assert run("analyze", vit, "--image", "a.png", "--words").exit_code == 0


def test_no_program_is_started_for_a_picture(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_files(files)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    assert "can't be read as an image" in refused(run, "analyze", "no-model", "--image", "drawn.png")
