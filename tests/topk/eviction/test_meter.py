"""The meter: its errors equal those of a model whose pairs are removed by hand, whatever the architecture."""

from __future__ import annotations

import pytest
import torch
from architectures import tiny
from pairs_removed import Removal, read_blocks
from torch import Tensor

import normlens
from normlens.errors import InvalidInput
from normlens.topk.eviction import TextReading, evict, measure_eviction
from normlens.topk.eviction.meter import output_errors
from normlens.topk.eviction.read_blocks import ReadBlock

MODELS = [
    "llama", "gpt2", "gpt_oss", "gemma2", "bart", "t5", "bitnet", "qwen3_next", "bloom", "falcon", "gptj", "deepseek_v3",
    "mistral",
]  # fmt: skip
WITHOUT_CACHE = ("InvalidInput", "UnsupportedArchitecture", "NoAttentionCaptured", "ConservationError")


def reading_of(model_type: str, dtype: torch.dtype = torch.float64, last: int | None = None) -> TextReading:
    model = tiny.build(model_type, dtype=dtype)
    inputs = {name: x for name, x in tiny.inputs(model_type, model, batch=1).items() if isinstance(x, Tensor)}
    return TextReading(normlens.load((model, None)), inputs, last=last)


def keep_one_for_each(block: ReadBlock, kept: Tensor) -> None:
    """Keep the largest source of each query that sees none of the others: an indexer may hide the first one."""
    for head, row in enumerate(torch.cat([rows.weights for rows in block.rows()], dim=1)):
        group = kept[head // block.shared]
        group[row.argmax(-1)[(row * group).sum(-1) == 0]] = True


def require_equal_to_removal(reading: TextReading, *, selecting: bool = False) -> None:
    generator, removal = torch.Generator().manual_seed(1), Removal(reading)
    for block in read_blocks(reading).values():
        kept = torch.rand(block.kv_heads, block.sources, generator=generator) < 0.6
        kept[:, 0] = True
        if selecting:
            keep_one_for_each(block, kept)
        [errors] = output_errors(block, [kept], reading.module)
        expected = removal.errors(block, kept)
        if expected is None:  # a window hides all pairs that were removed
            assert float(errors.layer.max()) < 1e-12
            continue
        whole = expected.seeing.all(0)
        assert expected.seeing.any()
        torch.testing.assert_close(errors.head[expected.seeing], expected.head[expected.seeing], rtol=0, atol=1e-6)
        torch.testing.assert_close(errors.layer[whole], expected.layer[whole], rtol=0, atol=1e-6)


@pytest.mark.parametrize("model_type", MODELS)
def test_errors_equal_those_with_the_pairs_removed(model_type: str) -> None:
    require_equal_to_removal(reading_of(model_type))


SELECTING = ("glm_moe_dsa",)
"""Types in which each query sees the sources that an indexer has chosen."""


@pytest.mark.parametrize("model_type", tiny.model_types())
def test_errors_on_every_decoder_of_the_matrix(model_type: str) -> None:
    try:
        require_equal_to_removal(reading_of(model_type), selecting=model_type in SELECTING)
    except normlens.NormLensError as refusal:  # ModelError: the model itself doesn't run in float64
        assert type(refusal).__name__ in {*WITHOUT_CACHE, "OutputMismatch", "ModelError"}


@pytest.mark.parametrize("model_type", ["llama", "gpt_oss", "bitnet", "qwen3_next"])
def test_evicting_nothing_changes_nothing(model_type: str) -> None:
    reading = reading_of(model_type, torch.float32)
    for block in read_blocks(reading).values():
        kept = torch.ones(block.kv_heads, block.sources, dtype=torch.bool)
        [errors] = output_errors(block, [kept], reading.module)
        assert torch.count_nonzero(errors.head) == torch.count_nonzero(errors.layer) == 0


def test_with_the_first_source_alone_every_head_gives_its_vector() -> None:
    reading = reading_of("llama")
    for block in read_blocks(reading).values():
        kept = torch.zeros(block.kv_heads, block.sources, dtype=torch.bool)
        kept[:, 0] = True
        [errors] = output_errors(block, [kept], reading.module)
        weights = torch.cat([rows.weights for rows in block.rows()], dim=1)
        f_x = block.value @ block.projection
        outputs = weights @ f_x
        expected = (f_x[:, :1] - outputs).norm(dim=-1) / outputs.norm(dim=-1)
        torch.testing.assert_close(errors.head, expected, rtol=0, atol=1e-6)  # its softmax is float32


def test_all_but_a_learned_sink_is_the_output_zero() -> None:
    reading = reading_of("gpt_oss")
    for block in read_blocks(reading).values():
        kept = torch.zeros(block.kv_heads, block.sources, dtype=torch.bool)
        [errors] = output_errors(block, [kept], reading.module)
        expected = Removal(reading).errors(block, kept)
        assert expected is not None
        assert bool((errors.head == 1).all())
        torch.testing.assert_close(errors.layer, expected.layer, rtol=0, atol=1e-6)


def test_by_hand() -> None:
    """Two sources with f = (1, 0) and (0, 1) and weights ¾ and ¼: without the first, o = (¾, ¼) becomes (0, 1)."""
    from normlens.topk.eviction.meter import relative

    weights, f_x = torch.tensor([0.75, 0.25]), torch.eye(2)
    output = weights @ f_x
    left = f_x[1]
    assert float(relative((left - output).norm(), output.norm())) == pytest.approx(0.75 * 2**0.5 / (10**0.5 / 4))


def test_the_end_of_a_text_read_through_a_cache_gives_the_same_errors(tokens: object) -> None:
    """A sliding window (4) shorter than the text, and one piece more than fits at a time."""
    for model_type in ("llama", "mistral", "gemma2", "gpt_oss"):
        ids = tiny.inputs(model_type, tiny.build(model_type), batch=1, length=12)["input_ids"]
        lens = normlens.load((tiny.build(model_type, dtype=torch.float64), None))
        last, whole = (TextReading(lens, {"input_ids": ids}, last=n) for n in (5, None))
        blocks, expected = read_blocks(last), read_blocks(whole)
        for name, block in blocks.items():
            assert block.block.call.output.shape[1] == 5, "the beginning was read again"
            weights = torch.cat([rows.weights for rows in block.rows()], dim=1)
            same = torch.cat([rows.weights for rows in expected[name].rows()], dim=1)[:, -5:]
            torch.testing.assert_close(weights, same, rtol=0, atol=1e-6)


def test_masks_of_the_caller_are_measured_like_our_own() -> None:
    model = tiny.build("llama", dtype=torch.float64)
    lens = normlens.load((model, None))
    ids = tiny.inputs("llama", model, batch=1)["input_ids"]
    ours = evict(lens, {"input_ids": ids}, keep=0.5, score="norm")
    theirs = measure_eviction(lens, {"input_ids": ids}, ours["decoder"].kept)
    assert theirs["decoder"].layer_error.equals(ours["decoder"].layer_error)
    by_query_head = ours["decoder"].kept.values.repeat(2, axis=1)
    assert measure_eviction(lens, {"input_ids": ids}, by_query_head)["decoder"].head_error.equals(
        ours["decoder"].head_error
    )
    by_query_head[1, 3] = ~by_query_head[1, 3]
    with pytest.raises(InvalidInput, match="heads 2 to 3, which share keys"):
        measure_eviction(lens, {"input_ids": ids}, by_query_head)


def test_masks_that_do_not_fit_the_model_are_refused() -> None:
    model = tiny.build("llama", dtype=torch.float64)
    lens = normlens.load((model, None))
    inputs = {"input_ids": tiny.inputs("llama", model, batch=1)["input_ids"]}
    kept = evict(lens, inputs, keep=0.5, score="norm")["decoder"].kept.values
    for masks, said in (
        ({"encoder": kept}, "kept has masks of encoder; expected masks of decoder"),
        ({"decoder": kept, "cross": kept}, "kept has masks of decoder, cross; expected masks of decoder"),
        ({}, "kept has masks of no group; expected masks of decoder"),
        (kept[:1], f"kept has 1 layers in group decoder; expected {len(kept)}"),
        (3, f"kept has 3 layers in group decoder; expected {len(kept)}"),
        (kept.astype(float), "The mask of layer 0 has dtype torch.float64; expected Boolean"),
        (kept[:, :1], r"The mask of layer 0 has shape \(1, "),
        (kept[:, :, 1:], r"The mask of layer 0 has shape "),
    ):
        with pytest.raises(InvalidInput, match=said):
            measure_eviction(lens, inputs, masks)
    assert measure_eviction(lens, inputs, {"decoder": kept})["decoder"].layer_error.notnull().any()
