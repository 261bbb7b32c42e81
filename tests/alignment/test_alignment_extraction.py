"""What is read of a model is what the engine measures, merged into words; for every family and in every batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import tiny
from fewer_digits import FewerDigits
from numpy.typing import NDArray
from sentences import SOURCES, TARGETS
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.alignment import Extractor, Pair, Reading
from normlens.alignment.extractor import every_reading
from normlens.errors import InvalidInput

WORDS = "the cats sat here .", "unhappiness ran , a dog sat"
FAMILIES = ["marian", "bart", "mbart", "m2m_100", "t5", "pegasus", "blenderbot"]


def _by_hand(extractor: Extractor, pair: Pair, reading: Reading) -> NDArray[np.float64]:
    """The same map from ``lens.analyze``, word by word in loops, with the target longer by a token that is cut off."""
    decoder = pair.example.tensors["decoder_input_ids"]
    target = torch.cat([decoder[1:], decoder[-1:]]).tolist()
    cross = extractor.lens.analyze(pair.source_subwords.ids.tolist(), target)["cross"]
    if reading.measure == "weight":
        values = cross.weight[reading.layer].mean("head").values
    elif reading.head is not None:
        values = cross.weighted_norm[reading.layer, reading.head].values
    else:
        values = cross.data["norm" if reading.scope == "attention" else f"norm_{reading.scope}"][reading.layer].values
    soft = np.zeros((len(pair.target), len(pair.source) + 1))
    for word in range(len(pair.target)):
        pieces = np.flatnonzero(pair.target_subwords.words == word)
        for piece in pieces:
            row = values[piece + 1 if reading.setting == "awi" else piece]
            for column, value in enumerate(row):
                soft[word, pair.source_subwords.words[column]] += value / len(pieces)  # -1 is the last column
    return soft


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> Extractor:
    return Extractor(normlens.load((tiny.build(request.param), tokenizer)))


@pytest.mark.parametrize(
    "reading",
    [Reading(1), Reading(0, setting="awo"), Reading(1, "weight"), Reading(0, head=1), Reading(1, scope="residual")],
    ids=str,
)
def test_equals_the_engine_in_every_family(family: Extractor, reading: Reading) -> None:
    pair = family.pair(*WORDS)
    (soft,) = family.soft([pair], reading)

    np.testing.assert_allclose(soft.values, _by_hand(family, pair, reading), rtol=1e-4, atol=1e-7)


def test_two_readings_beside_each_other_are_the_mean_of_their_shares(marian: Extractor) -> None:
    pair = marian.pair(SOURCES[1], TARGETS[1])
    one, other = Reading(0, head=1), Reading(2, setting="awo")
    maps = [_by_hand(marian, pair, reading) for reading in (one, other)]
    expected = sum(values / values.sum(axis=1, keepdims=True) for values in maps) / 2

    (soft,) = marian.soft([pair], replace(one, beside=other))

    np.testing.assert_allclose(soft.values, expected, rtol=1e-4, atol=1e-7)
    with pytest.raises(InvalidInput, match="no layer 9"):
        next(marian.soft([pair], replace(one, beside=Reading(9))))
    with pytest.raises(InvalidInput, match="averaged with one other"):
        replace(one, beside=replace(one, beside=other))


def test_scope_layernorm_of_a_post_norm_model(marian: Extractor) -> None:
    reading = Reading(2, scope="layernorm")
    pair = marian.pair(SOURCES[1], TARGETS[1])

    np.testing.assert_allclose(
        next(marian.soft([pair], reading)).values, _by_hand(marian, pair, reading), rtol=1e-4, atol=1e-7
    )


def test_several_readings_in_one_run_are_the_same_as_one_by_one(marian: Extractor) -> None:
    readings = every_reading(marian, heads=True, scopes=("attention", "layernorm"))
    pairs = [marian.pair(one, other) for one, other in zip(SOURCES, TARGETS, strict=True)]

    together = list(marian.maps(pairs, readings))

    assert len(readings) == 3 * 2 * (1 + 2 + 2 * 2)
    for k in (0, 5, 17, -1):
        for soft, alone in zip(together, marian.soft(pairs, readings[k]), strict=True):
            np.testing.assert_allclose(soft[k].values, alone.values, rtol=1e-5, atol=1e-8)


def test_a_batch_gives_the_numbers_of_one_at_a_time_in_order(marian: Extractor) -> None:
    pairs = [marian.pair(one, other) for one, other in zip(SOURCES * 3, TARGETS * 3, strict=True)]
    single = Extractor(marian.lens, batch_size=1)

    for pair, one, other in zip(pairs, marian.soft(pairs, Reading(1)), single.soft(pairs, Reading(1)), strict=True):
        assert (one.source, one.target) == (pair.source, pair.target)
        np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-7)


def test_a_pair_is_read_with_all_digits(marian: Extractor, fewer_digits: FewerDigits) -> None:
    pair = marian.pair(*WORDS)
    (plain,) = marian.soft([pair], Reading(1))
    with fewer_digits():
        (soft,) = marian.soft([pair], Reading(1))
    np.testing.assert_array_equal(soft.values, plain.values)


def test_weights_of_a_row_add_up_to_one(marian: Extractor) -> None:
    (soft,) = marian.soft([marian.pair(SOURCES[3], TARGETS[3])], Reading(0, "weight", setting="awo"))

    np.testing.assert_allclose(soft.values.sum(axis=1), 1, rtol=1e-5)
    assert soft.data.sizes == {"target": 9, "source": 11}
    assert soft.data["source_word"].values[-1] == "</s>"


def test_the_model_stops_behind_the_layer_that_is_read(marian: Extractor) -> None:
    ran: list[int] = []
    layers = marian.lens.model.model.decoder.layers
    handles = [
        layer.register_forward_pre_hook(lambda module, args, number=number: ran.append(number))
        for number, layer in enumerate(layers)
    ]
    try:
        list(marian.soft([marian.pair("das haus", "the house")], Reading(1)))  # the hooks are new: looked at anew
        ran.clear()
        list(marian.soft([marian.pair("das haus", "the house")], Reading(1)))
    finally:
        for handle in handles:
            handle.remove()

    assert ran == [0, 1]


def test_the_last_word_has_a_row_where_it_is_the_input_without_an_end_token(tokenizer: PreTrainedTokenizerFast) -> None:
    from tokenizers.processors import TemplateProcessing

    plain = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        pad_token="[PAD]",
        unk_token="[UNK]",
    )
    plain.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    extractor = Extractor(normlens.load((tiny.build("marian"), plain)))
    pair = extractor.pair("the cat", "a dog ran")

    (soft,) = extractor.soft([pair], Reading(0))

    assert len(pair.example.tensors["decoder_input_ids"]) == 4
    np.testing.assert_allclose(soft.values, _by_hand(extractor, pair, Reading(0)), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("", "a", "source: the sentence is empty"),
        ("haus", " \t", "target: the sentence is empty"),
        ("haus " * 70, "house", "The source has 71 tokens; this model takes at most 60"),
        ("haus", "house " * 70, "The target has .* tokens; this model takes at most 60"),
    ],
)
def test_pairs_that_cannot_be_read_say_why(marian: Extractor, source: str, target: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        marian.pair(source, target)


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (Reading(3), "no layer 3 .* 0 to 2"),
        (Reading(-1), "no layer -1"),
        (Reading(0, head=2), "no head 2; it has heads 0 to 1"),
    ],
)
def test_what_a_model_lacks_is_named(marian: Extractor, reading: Reading, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        next(marian.soft([marian.pair("haus", "house")], reading))


def test_a_scope_that_the_family_lacks_is_named(tokenizer: PreTrainedTokenizerFast) -> None:
    extractor = Extractor(normlens.load((tiny.build("t5"), tokenizer)))

    with pytest.raises(InvalidInput, match=r"no scope 'layernorm'.*attention, residual"):
        extractor.check([Reading(0, scope="layernorm")])


@pytest.mark.parametrize("options", [{"measure": "norms"}, {"scope": "block"}, {"setting": "awx"}])
def test_unknown_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="must be one of"):
        Reading(0, **options)  # type: ignore[arg-type]


def test_one_head_ends_at_scope_attention() -> None:
    with pytest.raises(InvalidInput, match="norm of a single head"):
        Reading(0, scope="residual", head=0)
    assert replace(Reading(0, scope="residual"), measure="weight", head=0).reach == "attention"


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_models_without_a_decoder_and_an_encoder_are_refused(
    model_type: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(InvalidInput, match="is not an encoder–decoder"):
        Extractor(normlens.load((tiny.build(model_type), tokenizer)))


def test_a_model_without_a_tokenizer_is_refused() -> None:
    with pytest.raises(InvalidInput, match="without a tokenizer"):
        Extractor(normlens.load((tiny.build("marian"), None)))
