"""The function: the definition's numbers, gradients that finite differences confirm, rows that see little or nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from formula import dense_scores, topk_output
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.topk import KEPT, MEASURES, log_vector_norms, projection_factors, topk_attention

SELECTIONS = [*({"measure": measure} for measure in MEASURES), *({"keep": keep} for keep in KEPT[1:])]


def qkv(
    heads: int = 4, kv_heads: int = 2, targets: int = 7, sources: int = 7, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (heads, targets, 3), (kv_heads, sources, 3), (kv_heads, sources, 2)
    query, key, value = (torch.randn(2, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return query.to(dtype), key.to(dtype), value.to(dtype)


def a_mask() -> Tensor:
    """Some sources hidden; target 2 of the first text sees nothing, target 5 of the second only source 3."""
    mask = torch.rand(2, 1, 7, 7, generator=torch.Generator().manual_seed(1)) > 0.3
    mask[0, 0, 2] = False
    mask[1, 0, 5] = torch.arange(7) == 3
    return mask


def additive(mask: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -torch.inf)


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_it_is_the_softmax_over_the_k_best(k: int, chunk_size: int, renormalize: bool) -> None:
    query, key, value = qkv()
    scores = dense_scores(query, key, added=additive(a_mask()))
    expected, _ = topk_output(scores, value, k, renormalize=renormalize)
    ours = topk_attention(query, key, value, a_mask(), k=k, chunk_size=chunk_size, renormalize=renormalize)
    assert torch.allclose(ours, expected, atol=1e-12)


@pytest.mark.parametrize("renormalize", [True, False])
def test_the_k_largest_norms_are_those_of_the_score_plus_the_logarithm(renormalize: bool) -> None:
    query, key, value = qkv()
    norms = torch.rand(2, 4, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.01
    scores = dense_scores(query, key)
    by_definition = scores.softmax(-1) * norms[:, :, None]
    expected, _ = topk_output(scores, value, 3, by_definition, renormalize)
    ours = topk_attention(
        query, key, value, k=3, measure="norm", log_norms=norms.log(), renormalize=renormalize, chunk_size=2
    )
    assert torch.allclose(ours, expected, atol=1e-12)


def test_norms_through_triangular_factors_are_those_of_the_vectors() -> None:
    _, _, value = qkv()
    projection = torch.randn(4 * 2, 11, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    vectors = torch.einsum("bhsd,hde->bhse", value.repeat_interleave(2, 1), projection.view(4, 2, 11))
    ours = log_vector_norms(value, projection_factors(projection, 4))
    assert torch.allclose(ours, vectors.norm(dim=-1).log(), atol=1e-12)
    assert torch.isfinite(log_vector_norms(torch.zeros_like(value), projection_factors(projection, 4))).all()


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"softcap": 1.5}, {"causal": True, "window": 3}])
def test_with_every_source_it_is_dense_attention(selection: dict[str, str], options: dict[str, Any]) -> None:
    query, key, value = qkv()
    distance = torch.arange(7)[:, None] - torch.arange(7)
    seen = distance >= 0 if options.get("causal") else torch.ones(7, 7, dtype=torch.bool)
    seen = seen & (distance < options.get("window", 7))
    scores = dense_scores(query, key, options.get("softcap"), additive(seen))
    expected = scores.softmax(-1) @ value.repeat_interleave(2, dim=1)
    for k in (None, 7, 100):
        ours = topk_attention(
            query, key, value, k=k, log_norms=torch.zeros(2, 4, 7), factors=torch.ones(4, 2, 2), chunk_size=3, **options,
            **selection,
        )  # fmt: skip
        assert torch.allclose(ours, expected, atol=1e-12)


@pytest.mark.parametrize("targets", [1, 3])
def test_targets_are_the_last_positions_of_a_cache(targets: int) -> None:
    query, key, value = qkv()
    whole = topk_attention(query, key, value, k=2, causal=True)
    last = topk_attention(query[:, :, -targets:], key, value, k=2, causal=True)
    assert torch.allclose(last, whole[:, :, -targets:], atol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("k", [None, 2, 5])
def test_gradients_are_right(k: int | None, causal: bool, renormalize: bool, dropout: float) -> None:
    query, key, value = (x.requires_grad_() for x in qkv())
    assert torch.autograd.gradcheck(
        lambda *inputs: _reproducible(*inputs, k=k, causal=causal, renormalize=renormalize, dropout=dropout),
        (query, key, value),
        fast_mode=True,
    )


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("k", [None, 2, 5])
def test_gradients_are_right_with_masks_biases_sinks_softcap_and_dropout(k: int | None, renormalize: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    bias = torch.randn(1, 4, 7, 7, generator=generator, dtype=torch.float64)
    sinks = torch.randn(4, generator=generator, dtype=torch.float64)
    norms = torch.randn(2, 4, 7, generator=generator, dtype=torch.float64)

    def run(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, sinks: Tensor) -> Tensor:
        options = {"softcap": 1.5, "bias": bias, "sinks": sinks, "measure": "norm", "log_norms": norms, "dropout": 0.3}
        return _reproducible(query, key, value, a_mask(), k=k, renormalize=renormalize, **options)

    assert torch.autograd.gradcheck(run, tuple(x.requires_grad_() for x in (*qkv(), bias, sinks)), fast_mode=True)


def _reproducible(*inputs: Tensor, **options: Any) -> Tensor:
    torch.manual_seed(5)
    return topk_attention(*inputs, chunk_size=3, **options)


def test_gradients_are_those_of_the_definition() -> None:
    query, key, value = (x.requires_grad_() for x in qkv())
    upstream = torch.randn(2, 4, 7, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    expected, _ = topk_output(dense_scores(query, key), value, 3)
    theirs = torch.autograd.grad(expected, (query, key, value), upstream)
    ours = torch.autograd.grad(topk_attention(query, key, value, k=3, chunk_size=2), (query, key, value), upstream)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("chunk_size", [2, 7])
def test_dropout_keeps_the_mean_and_depends_on_torch_s_seed(chunk_size: int) -> None:
    query, key, value = qkv()
    torch.manual_seed(0)
    draws = [topk_attention(query, key, value, k=3, dropout=0.5, chunk_size=chunk_size) for _ in range(400)]
    mean, spread = torch.stack(draws).mean(0), torch.stack(draws).std(0)
    expected = topk_attention(query, key, value, k=3)
    assert float(((mean - expected).abs() / spread.clamp_min(1e-9) * 400**0.5).max()) < 5  # standard errors
    torch.manual_seed(0)
    assert torch.equal(topk_attention(query, key, value, k=3, dropout=0.5, chunk_size=chunk_size), draws[0])
    assert not torch.equal(draws[0], draws[1])


def test_a_row_that_sees_nothing_is_zero_and_has_no_gradient() -> None:
    for k in (None, 2):
        query, key, value = (x.requires_grad_() for x in qkv())
        output = topk_attention(query, key, value, a_mask(), k=k, chunk_size=3)
        assert torch.equal(output[0, :, 2], torch.zeros(4, 2, dtype=torch.float64))
        gradients = torch.autograd.grad(output[0, :, 2].sum(), (query, key, value))
        assert all(torch.equal(x, torch.zeros_like(x)) for x in gradients)


def test_a_row_that_sees_one_source_takes_that_one() -> None:
    query, key, value = qkv()
    for selection in SELECTIONS:
        measured = {"log_norms": torch.zeros(2, 4, 7), "factors": torch.ones(4, 2, 2, dtype=torch.float64)}
        output = topk_attention(query, key, value, a_mask(), k=4, **measured, **selection)
        assert torch.allclose(output[1, :, 5], value[1].repeat_interleave(2, 0)[:, 3], atol=1e-12)


def test_additive_masks_as_transformers_writes_them_forbid() -> None:
    query, key, value = qkv(dtype=torch.float32)
    lowest = torch.finfo(torch.float32).min
    expected = topk_attention(query, key, value, a_mask(), k=2)
    for low in (lowest, -torch.inf, 0.6 * lowest):
        mask = torch.zeros(2, 1, 7, 7).masked_fill(~a_mask(), low)
        assert torch.equal(topk_attention(query, key, value, mask, k=2), expected)


def test_recent_keeps_the_nearest() -> None:
    query, key, _ = qkv()
    places = torch.eye(7, dtype=torch.float64).expand(2, 2, 7, 7).contiguous()
    kept = topk_attention(query, key, places, k=2, keep="recent", causal=True, chunk_size=3)[0, 0] > 0
    assert kept[4].nonzero().flatten().tolist() == [3, 4]
    kept = topk_attention(query, key, places, k=2, keep="recent", chunk_size=3)[0, 0] > 0
    assert [row.nonzero().flatten().tolist() for row in kept] == [
        [0, 1],
        [0, 1],
        [1, 2],
        [2, 3],
        [3, 4],
        [4, 5],
        [5, 6],
    ]
    kept = topk_attention(query[:, :, :1], key, places, k=3, keep="recent")[0, 0] > 0
    assert kept[0].nonzero().flatten().tolist() == [4, 5, 6]


def test_random_keeps_k_of_those_that_may_be_seen_evenly() -> None:
    query, key, _ = qkv()
    places = torch.eye(7, dtype=torch.float64).expand(2, 2, 7, 7).contiguous()
    torch.manual_seed(0)
    kept = torch.stack([topk_attention(query, key, places, k=3, keep="random") > 0 for _ in range(500)])
    assert (kept.sum(-1) == 3).all()
    assert float((kept.double().mean(0) - 3 / 7).abs().max()) < 5 * (3 / 7 * 4 / 7 / 500) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_accumulates_in_single(dtype: torch.dtype) -> None:
    query, key, value = (x.requires_grad_() for x in qkv(sources=400, dtype=dtype))
    exact = topk_attention(query.double(), key.double(), value.double(), k=50)
    ours = topk_attention(query, key, value, k=50)
    assert ours.dtype == dtype
    assert float((ours - exact).detach().abs().max()) <= torch.finfo(dtype).eps * float(exact.detach().abs().max())
    gradients = torch.autograd.grad(ours.sum(), (query, key, value))
    expected = torch.autograd.grad(exact.sum(), (query, key, value))
    for one, other in zip(gradients, expected, strict=True):
        assert one.dtype == dtype and float((one - other).abs().max()) <= torch.finfo(dtype).eps * float(
            other.abs().max()
        )


def test_gathering_few_rows_and_spreading_many_agree() -> None:
    query, key, value = qkv(sources=40)
    few = topk_attention(query, key, value, k=3)  # 3 rows of 2 numbers: gathered
    wide = torch.cat([value, torch.zeros(2, 2, 40, 30, dtype=torch.float64)], -1)  # 3 rows of 32 numbers: spread
    assert torch.allclose(topk_attention(query, key, wide, k=3)[..., :2], few, atol=1e-12)


def test_what_is_kept_for_the_backward_pass_grows_with_k_not_with_the_sources() -> None:
    def kept_numbers(sources: int, k: int) -> int:
        query, key, value = (x.requires_grad_() for x in qkv(sources=sources))
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            sizes: list[int] = []
            topk_attention(query, key, value, k=k, chunk_size=3)
        return sum(sizes) - query.numel() - key.numel() - value.numel()

    assert kept_numbers(50, 4) == kept_numbers(90, 4) == 2 * 4 * 7 * (2 * 4 + 1)  # scores, indices, one sum per row


@pytest.mark.parametrize("k", [0, -3, 2.0, "4", True, torch.tensor(3)])
def test_k_is_a_whole_number_from_1(k: Any) -> None:
    with pytest.raises(InvalidInput, match="must be a positive integer"):
        topk_attention(*qkv(), k=k)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": torch.ones(2, 7, dtype=torch.bool)}, r"\(batch, head, target, source\) = \(2, 4, 7, 7\)"),
        ({"mask": torch.ones(3, 1, 7, 7, dtype=torch.bool)}, "broadcasts"),
        ({"mask": torch.ones(7, 7, dtype=torch.long)}, "dtype torch.int64"),
        ({"bias": torch.ones(7, 7, dtype=torch.bool)}, "goes into mask="),
        ({"measure": "norm"}, r"needs log_norms of shape \(2, 4, 7\)"),
        ({"measure": "size"}, "measure must be one of weight, norm, displacement, joint, got 'size'"),
        ({"keep": "first"}, "keep must be one of largest, random, recent, got 'first'"),
        ({"keep": "recent", "measure": "norm"}, "measure='norm' has no effect"),
        ({"chunk_size": 0}, "chunk_size must be"),
        ({"window": 0}, "window must be"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"softcap": 0.0}, "softcap must be"),
        ({"sinks": torch.ones(3)}, "one per head"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        topk_attention(*qkv(), k=2, **options)


def test_bad_shapes_are_named() -> None:
    query, key, value = qkv()
    for wrong in (
        (query[0], key, value),
        (query[:, :3], key, value),
        (query, key, value[:, :, :3]),
        (query[:1], key, value),
    ):
        with pytest.raises(InvalidInput, match="expected"):
            topk_attention(*wrong, k=2)
    with pytest.raises(InvalidInput, match="no sources"):
        topk_attention(query, key[:, :, :0], value[:, :, :0], k=2)
