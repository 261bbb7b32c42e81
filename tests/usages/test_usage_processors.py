"""Pictures and sounds as people have them, through the processor that goes with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from numpy.typing import NDArray
from PIL import Image
from scipy.io import wavfile
from transformers import (
    AutoProcessor,
    CLIPImageProcessor,
    CLIPProcessor,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

import normlens
from normlens.errors import InvalidInput, NormLensError

RATE = 16_000
WAVE: NDArray[np.float32] = np.sin(np.arange(2000) / 9).astype(np.float32)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8))


@pytest.fixture(scope="module")
def hearing() -> normlens.Lens:
    return normlens.load((tiny.build("wav2vec2"), Wav2Vec2FeatureExtractor()))


@pytest.fixture(scope="module")
def seeing(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    image_processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return normlens.load((tiny.build("clip"), CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer)))


def assert_same(one: normlens.Analysis, other: normlens.Analysis) -> None:
    assert one.groups == other.groups
    for group in one.groups:
        np.testing.assert_allclose(one[group].norm, other[group].norm, rtol=1e-5)
        np.testing.assert_array_equal(one[group].data.source_token, other[group].data.source_token)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8, np.float32, np.float64])
def test_a_wave_file_is_read_as_its_samples(dtype: type, hearing: normlens.Lens, tmp_path: Path) -> None:
    whole = {np.int16: 2**15, np.int32: 2**31, np.uint8: 2**7}.get(dtype, 1)
    samples = np.round(WAVE * 100) / 128 if whole > 1 else WAVE
    stored = samples * whole + (128 if dtype is np.uint8 else 0)
    wavfile.write(tmp_path / "a.wav", RATE, stored.astype(dtype))
    expected = hearing.analyze(Wav2Vec2FeatureExtractor()(samples, sampling_rate=RATE, return_tensors="pt"))
    for sound in (str(tmp_path / "a.wav"), tmp_path / "a.wav", {"array": samples, "sampling_rate": RATE}):
        assert_same(hearing.analyze({"audio": sound}), expected)
    assert_same(hearing.analyze({"audio": torch.as_tensor(samples), "sampling_rate": RATE}), expected)


def test_frames_carry_their_time(hearing: normlens.Lens) -> None:
    """Wav2vec 2.0 takes a step every 320 samples; this Whisper every two frames of 500 samples."""
    analysis = hearing.analyze({"audio": WAVE, "sampling_rate": RATE})
    assert list(analysis["encoder"].data.source_token.values) == [f"{k * 320 / RATE:.2f}s" for k in range(6)]
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=1, hop_length=500)
    whisper = normlens.load((tiny.build("whisper"), extractor))
    analysis = whisper.analyze({"audio": WAVE, "sampling_rate": RATE}, target_text=[11, 12, 13])
    expected = [f"{k * 1000 / RATE:.4f}s" for k in range(16)]
    assert list(analysis["encoder"].data.source_token.values) == expected
    assert list(analysis["cross"].data.source_token.values) == expected
    assert list(analysis["cross"].data.target_id.values)[1:] == [11, 12]


def test_a_picture_and_a_text_are_what_the_processor_makes_of_them(seeing: normlens.Lens, tmp_path: Path) -> None:
    expected = seeing.analyze(seeing.processor(text="the cat sat", images=PICTURE, return_tensors="pt"))
    PICTURE.save(tmp_path / "a.png")
    for image in (PICTURE, np.asarray(PICTURE), str(tmp_path / "a.png"), tmp_path / "a.png"):
        assert_same(seeing.analyze({"text": "the cat sat", "image": image}), expected)
    both = list(seeing.analyze([{"text": "the cat sat", "image": PICTURE}] * 2, progress=False))
    for one in both:
        assert_same(one, expected)
    assert [str(x) for x in expected["decoder"].data.source_token.values] == ["[CLS]", "the", "cat", "sat", "[SEP]"]
    assert str(expected["encoder"].data.source_token.values[-1]) == "3,3"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"audio": WAVE, "sampling_rate": 8000}, "8000 samples per second; .* expects 16000"),
        ({"audio": WAVE}, "sampling_rate is None"),
        ({"audio": WAVE, "sampling_rate": True}, "sampling_rate is True"),
        (
            {"audio": WAVE.reshape(2, -1), "sampling_rate": RATE},
            r"shape \(2, 1000\); expected a waveform of one channel",
        ),
        ({"audio": np.arange(9), "sampling_rate": RATE}, "array of int64"),
        ({"audio": WAVE * np.nan, "sampling_rate": RATE}, "not finite"),
        ({"audio": [], "sampling_rate": RATE}, r"shape \(0,\)"),
        ({"audio": "no.wav"}, "no.wav can't be read as a WAV file"),
        ({"audio": __file__}, "can't be read as a WAV file"),
        ({"image": PICTURE}, "was loaded without its image processor"),
        (
            {"text": "the cat", "audio": WAVE, "sampling_rate": RATE},
            r"The input has text and audio, but .*\(model, proc",
        ),
        ({"audio": WAVE[:9], "sampling_rate": RATE}, "Wav2Vec2Model"),
    ],
)
def test_a_sound_that_cannot_be_heard_is_refused(inputs: Any, message: str, hearing: normlens.Lens) -> None:
    with pytest.raises(NormLensError, match=message):
        hearing.analyze(inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"image": "no.png"}, "no.png can't be read as an image"),
        ({"image": __file__}, "can't be read as an image"),
        ({"image": PICTURE}, "without input_ids"),
        ({"image": 3, "text": "the cat"}, "rejects text, images"),
        ({"image": PICTURE, "images": [PICTURE], "text": "a"}, "expected one of them"),
        (
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "the cat"}]}],
            "rejects the messages",
        ),
    ],
)
def test_a_picture_that_cannot_be_seen_is_refused(inputs: Any, message: str, seeing: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match=message):
        seeing.analyze(inputs)


def test_a_sound_too_short_is_told_as_such_after_one_that_was_heard(hearing: normlens.Lens) -> None:
    hearing.analyze({"audio": WAVE, "sampling_rate": RATE})
    with pytest.raises(
        InvalidInput, match=r"9 samples are less than one frame, which takes at least [0-9]+\. Pass a longer sound"
    ):
        hearing.analyze({"audio": WAVE[:9], "sampling_rate": RATE})


def test_features_in_lists_are_read_as_the_models_numbers(hearing: normlens.Lens) -> None:
    arrays = hearing.analyze({"input_values": torch.from_numpy(WAVE)[None]})["encoder"].norm
    lists = hearing.analyze({"input_values": WAVE.tolist()})["encoder"].norm
    np.testing.assert_array_equal(lists.values, arrays.values)


def test_a_second_channel_is_refused(hearing: normlens.Lens, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", RATE, np.stack([WAVE, WAVE], axis=1))
    with pytest.raises(InvalidInput, match="2 channels"):
        hearing.analyze({"audio": tmp_path / "a.wav"})


def test_a_folder_brings_its_processor(seeing: normlens.Lens, hearing: normlens.Lens, tmp_path: Path) -> None:
    for name, lens in (("clip", seeing), ("wav2vec2", hearing)):
        lens.model.save_pretrained(tmp_path / name)
        lens.processor.save_pretrained(tmp_path / name)
    loaded = normlens.load(tmp_path / "clip")
    inputs = {"text": "the cat sat", "image": PICTURE}
    assert_same(loaded.analyze(inputs), seeing.analyze(inputs))
    assert isinstance(loaded.processor, type(AutoProcessor.from_pretrained(tmp_path / "clip")))
    assert loaded.tokenizer is not None
    sound = {"audio": WAVE, "sampling_rate": RATE}
    assert_same(normlens.load(tmp_path / "wav2vec2").analyze(sound), hearing.analyze(sound))


def test_a_start_that_the_tokenizer_puts_itself_is_not_doubled(tokenizer: PreTrainedTokenizerFast) -> None:
    """Whisper's tokenizer begins each text with the decoder's start token; BART's begins with another."""
    model = tiny.build("bart")
    model.config.decoder_start_token_id = tokenizer.cls_token_id
    doubled = normlens.load((model, tokenizer)).analyze("the cat", target_text="a dog")["decoder"].data.target_id
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]", cls_token="[CLS]"
    )
    tokenizer.prefix_tokens = [tokenizer.cls_token_id]
    once = normlens.load((model, tokenizer)).analyze("the cat", target_text="a dog")["decoder"].data.target_id
    assert list(doubled.values) == [tokenizer.cls_token_id, *once.values]
    assert list(once.values).count(tokenizer.cls_token_id) == 1
