"""Scores equal slow formulas written from the papers, head by head and query by query; budgets keep what they say."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from architectures import tiny
from pairs_removed import read_blocks
from torch import Tensor

import normlens
from normlens.topk.eviction import TextReading
from normlens.topk.eviction import key_scores as scores
from normlens.topk.eviction.budgets import kept_pairs
from normlens.topk.eviction.greedy import GroupOutputs, elimination_costs
from normlens.topk.eviction.key_scores import SCORES, ScoreOptions
from normlens.topk.eviction.read_blocks import ReadBlock

KEEP = 0.5
LENGTH = 12


def blocks_of(model_type: str, length: int = LENGTH, last: int | None = None) -> list[ReadBlock]:
    model = tiny.build(model_type, dtype=torch.float64)
    ids = tiny.inputs(model_type, model, batch=1, length=length)["input_ids"]
    return list(read_blocks(TextReading(normlens.load((model, None)), {"input_ids": ids}, last=last)).values())


def slow(name: str, block: ReadBlock) -> Tensor:
    """The score of every key by loops over the heads of a group and the queries."""
    alpha = torch.cat([rows.weights for rows in block.rows()], dim=1)
    f_x, stream = block.value @ block.projection, block.block.residual.own[0, block.queries :].norm(dim=-1)
    scores = torch.zeros(block.kv_heads, block.sources, dtype=alpha.dtype)
    for group in range(block.kv_heads):
        heads = range(group * block.shared, (group + 1) * block.shared)
        for j in range(block.sources):
            received = [(h, i, alpha[h, i, j]) for h in heads for i in range(block.size)]
            if name == "weight":
                scores[group, j] = sum(a for _, _, a in received)
            elif name == "norm":
                scores[group, j] = sum(a * f_x[h, j].norm() for h, _, a in received)
            elif name == "displacement":
                scores[group, j] = sum(a * (f_x[h, j] - alpha[h, i] @ f_x[h]).norm() for h, i, a in received)
            elif name == "kvzip+":
                scores[group, j] = max(a * f_x[h, j].norm() / stream[i] for h, i, a in received)
            elif name == "vatp":
                scores[group, j] = sum(a for _, _, a in received) * block.value[heads[0], j].abs().sum()
            elif name == "criticalkv":
                mean = sum(a for _, _, a in received) / len(received)
                length = sum(f_x[h, j].abs().sum() for h in heads) / len(heads)
                scores[group, j] = (mean + 1e-4) * length
        if name == "vatp":
            scores[group, :20] = torch.inf
        if name == "criticalkv":  # half of the budget of 6 by α
            weight = torch.stack([alpha[h].sum(0) for h in heads]).sum(0)
            scores[group, weight.topk(int(KEEP * block.sources / 2)).indices] = torch.inf
    return scores


@pytest.mark.parametrize("name", ["weight", "norm", "displacement", "kvzip+", "vatp", "criticalkv"])
@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gemma2", "gpt_oss"])
def test_scores_equal_the_slow_formulas(name: str, model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in blocks_of(model_type, 24 if name == "vatp" else LENGTH):
        computed = SCORES[name].compute(block, ScoreOptions(KEEP))
        torch.testing.assert_close(computed, slow(name, block), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["weight", "norm", "displacement", "kvzip+"])
def test_scores_of_the_last_queries_alone(name: str) -> None:
    for block in blocks_of("llama", LENGTH, last=4):
        assert block.size == 4
        torch.testing.assert_close(SCORES[name].compute(block, ScoreOptions()), slow(name, block), rtol=1e-6, atol=1e-9)


def test_norms_and_displacements_behind_a_gate_and_a_norm() -> None:
    for model_type in ("qwen3_next", "bitnet"):
        for block in blocks_of(model_type, 6):
            for rows in block.rows():
                norms, displacements = block.weighted_norms(rows), block.displacements(rows)
                for h, i, j in ((0, 3, 1), (1, 5, 5), (0, 5, 0)):
                    gate = 1 if rows.gate is None else rows.gate[h, i]
                    scale = 1 if rows.scale is None else rows.scale[i]
                    vectors = (block.value[h] * gate) @ block.projection[h] * scale
                    output = rows.weights[h, i] @ vectors
                    assert norms[h, i, j] == pytest.approx(float(rows.weights[h, i, j] * vectors[j].norm()), rel=1e-6)
                    moved = rows.weights[h, i, j] * (vectors[j] - output).norm()
                    assert displacements[h, i, j] == pytest.approx(float(moved), rel=1e-6)


def test_snapkv_pools_over_neighbors_and_keeps_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "WINDOW", 4)
    for block in blocks_of("llama"):
        alpha = torch.cat([rows.weights for rows in block.rows()], dim=1)[:, -4:].sum(1)
        received = alpha.view(block.kv_heads, block.shared, -1).sum(1)[:, :8]
        padded = torch.nn.functional.pad(received, (2, 2))
        expected = torch.stack([padded[:, j : j + 5].sum(1) / 5 for j in range(8)], dim=1)
        computed = SCORES["snapkv"].compute(block, ScoreOptions())
        torch.testing.assert_close(computed[:, :8], expected, rtol=1e-6, atol=1e-9)
        assert bool(computed[:, 8:].isinf().all())


def test_streaming_keeps_the_first_four_and_the_most_recent() -> None:
    block = blocks_of("gpt2")[0]
    [kept] = kept_pairs([SCORES["streaming"].compute(block, ScoreOptions())], 0.5)
    assert kept[0].nonzero().flatten().tolist() == [0, 1, 2, 3, 10, 11]


def test_random_scores_are_the_same_again_and_others_with_another_seed() -> None:
    one, two = blocks_of("gpt2")[:2]
    draw = SCORES["random"].compute
    assert torch.equal(draw(one, ScoreOptions(seed=1)), draw(one, ScoreOptions(seed=1)))
    assert not torch.equal(draw(one, ScoreOptions(seed=1)), draw(one, ScoreOptions(seed=2)))
    assert not torch.equal(draw(one, ScoreOptions(seed=1)), draw(two, ScoreOptions(seed=1)))


def cost(block: ReadBlock, group: int, gone: list[int]) -> float:
    """Σ_i ‖o_i − o_S‖² over the queries and heads of a group, from explicit vectors."""
    total = 0.0
    stays = [j for j in range(block.sources) if j not in gone]
    for rows in block.rows():
        for h in range(group * block.shared, (group + 1) * block.shared):
            for i, alpha in enumerate(rows.weights[h]):
                gate = 1 if rows.gate is None else rows.gate[h, i]
                scale = 1 if rows.scale is None else rows.scale[i]
                vectors = (block.value[h] * gate) @ block.projection[h] * scale
                left = alpha[stays].sum() + (0 if rows.sink is None else rows.sink[h, i])
                kept = alpha[stays] @ vectors[stays] / left if float(left) > 1e-13 else torch.zeros_like(vectors[0])
                total += float((alpha @ vectors - kept).square().sum())
    return total


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gpt_oss", "qwen3_next", "bitnet"])
def test_the_joint_score_removes_the_cheapest_key_at_every_step(model_type: str) -> None:
    for block in blocks_of(model_type, 7)[:2]:
        costs = elimination_costs(block, 0)
        gone: list[int] = []
        for leaving in costs.argsort().tolist():
            totals = {j: cost(block, 0, [*gone, j]) for j in range(block.sources) if j not in gone}
            assert totals[leaving] == pytest.approx(min(totals.values()), rel=1e-6, abs=1e-12)
            gone.append(leaving)
        assert len(set(costs.tolist())) == block.sources, "no two keys leave together"


def test_a_joint_choice_of_one_key_to_drop_is_the_best_there_is() -> None:
    block = blocks_of("llama", 7)[0]
    first = int(elimination_costs(block, 0).argmin())
    assert cost(block, 0, [first]) == pytest.approx(
        min(cost(block, 0, list(gone)) for gone in combinations(range(7), 1))
    )


def test_maps_made_smaller_give_the_same_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    block = blocks_of("llama", 24)[0]
    smaller = elimination_costs(block, 1)
    monkeypatch.setattr(GroupOutputs, "_leave_out", lambda self: None)
    torch.testing.assert_close(elimination_costs(block, 1), smaller, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("budget", "total"), [("head", 6), ("layer", 6), ("model", 6)])
def test_budgets_keep_the_same_number_in_all(budget: str, total: int) -> None:
    generator = torch.Generator().manual_seed(0)
    layers = [torch.rand(2, 10, generator=generator) * (1 + 9 * layer) for layer in range(3)]
    kept = kept_pairs(layers, 0.3, budget)  # type: ignore[arg-type]
    assert sum(int(x.sum()) for x in kept) == 3 * total
    counts = [x.sum(1).tolist() for x in kept]
    if budget == "head":
        assert counts == [[3, 3]] * 3
    if budget == "layer":
        assert [sum(x) for x in counts] == [6, 6, 6]
    if budget == "model":
        assert sum(counts[2]) > sum(counts[0])
        assert min(min(x) for x in counts) >= 1, "a head keeps a fifth of its share, and at least one"


def test_of_equal_scores_the_later_position_stays() -> None:
    [kept] = kept_pairs([torch.zeros(1, 5)], 0.4)
    assert kept.tolist() == [[False, False, False, True, True]]


def test_a_head_whose_scores_are_small_keeps_a_fifth_of_an_even_share() -> None:
    scores = torch.stack([torch.arange(20.0) + 100, torch.arange(20.0)])
    for budget, others in (("layer", []), ("model", [torch.arange(20.0).expand(2, -1) + 50])):
        first, *_ = kept_pairs([scores, *others], 0.5, budget)  # type: ignore[arg-type]
        assert int(first[1].sum()) == 2 and first[1].nonzero().flatten().tolist() == [18, 19]
    assert int(kept_pairs([scores], 0.5, "layer")[0].sum()) == 20
