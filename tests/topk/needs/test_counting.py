"""How many sources a target needs: small cases by hand, and each count against runs with that many sources."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from architectures import tiny
from torch import Tensor, nn

import normlens
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.topk.needs import COUNTS, count_sources, sources_for_share, sources_for_vector

MakeLens = Callable[..., normlens.Lens]

Draw = Callable[[int, int], list[int]]

WEIGHTS = torch.tensor([[0.5, 0.3, 0.2]])
SINK = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # the source with half of the weight brings nothing


@pytest.mark.parametrize(("share", "expected"), [(0.5, 1), (0.51, 2), (0.75, 2), (0.76, 3), (1.0, 3)])
def test_sources_for_a_share_by_hand(share: float, expected: int) -> None:
    assert sources_for_share(torch.tensor([[0.25, 0.5, 0.25]]), share).tolist() == [expected]


def test_an_empty_sink_is_needed_by_weight_and_not_by_norm() -> None:
    """The whole vector is (.3, .2), 0.36 long. By weight nothing of it is there before the second source."""
    lengths = WEIGHTS * SINK.norm(dim=-1)
    assert sources_for_vector(WEIGHTS, SINK, WEIGHTS, within=0.1).tolist() == [3]
    assert sources_for_vector(WEIGHTS, SINK, lengths, within=0.1).tolist() == [2]
    # Within 60 %: (.3, 0) lies .2 / .36 = 55 % off, which is near enough.
    assert sources_for_vector(WEIGHTS, SINK, WEIGHTS, within=0.6).tolist() == [2]
    assert sources_for_vector(WEIGHTS, SINK, lengths, within=0.6).tolist() == [1]


def test_renormalizing_without_the_sink_doubles_the_rest() -> None:
    """Divided by the .5 that is kept, (.3, .2) becomes (.6, .4): as far off as it is long."""
    lengths = WEIGHTS * SINK.norm(dim=-1)
    assert sources_for_vector(WEIGHTS, SINK, lengths, within=0.1, renormalize=True).tolist() == [3]
    assert sources_for_vector(WEIGHTS, SINK, lengths, within=1.01, renormalize=True).tolist() == [2]


def test_near_by_chance_is_not_near_for_good() -> None:
    """Two sources that cancel: the first alone gives the whole vector, but adding the second leads away again."""
    vectors = torch.tensor([[1.0], [1.0], [-1.0]])
    weights = torch.tensor([[0.4, 0.3, 0.3]])
    assert sources_for_vector(weights, vectors, weights, within=0.1).tolist() == [3]


def _by_runs(weights: Tensor, vectors: Tensor, ranking: Tensor, within: float, renormalize: bool) -> int:
    """The count of one row, from the definition: try every k."""
    whole = weights @ vectors
    enough = []
    for k in range(1, len(weights) + 1):
        kept = ranking.topk(k).indices
        scale = 1 / (1 - (weights.sum() - weights[kept].sum())) if renormalize else 1
        enough.append(bool((scale * weights[kept] @ vectors[kept] - whole).norm() <= within * whole.norm()))
    return next(k + 1 for k in range(len(enough)) if all(enough[k:]))


@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_shares_of_a_model_are_those_of_its_analysis(model_type: str, lens_of: MakeLens, tokens: Draw) -> None:
    lens, ids = lens_of(model_type), tokens(9, 0)
    counts_by_path = count_sources(lens, {"input_ids": torch.tensor([ids])}, targets=[4, 8])
    analysis = lens.analyze(ids)
    group = analysis[analysis.groups[0]]
    alpha = group.weight.transpose("layer", "head", "target", "source").values[:, :, [4, 8]]
    norms = alpha * group.vector_norm.transpose("layer", "head", "source").values[:, :, None]
    for layer, counts in enumerate(counts_by_path.values()):
        assert set(counts) == set(COUNTS)
        for name, table in (("weight share", alpha), ("norm share", norms)):
            assert torch.equal(counts[name][0], sources_for_share(torch.tensor(table[layer]), 0.9))


@pytest.mark.parametrize("renormalize", [False, True])
def test_vectors_of_a_model_are_values_through_their_projection(
    renormalize: bool, lens_of: MakeLens, tokens: Draw
) -> None:
    """The first layer of BERT, with f(x) = (x W_V + b_V) W_O computed from its parameters."""
    lens, ids = lens_of("bert"), torch.tensor([tokens(9, 1)])
    counts_by_path = count_sources(lens, {"input_ids": ids}, within=0.2)
    own = lens.model.encoder.layer[0].attention
    with torch.no_grad():
        value = own.self.value(lens.model.embeddings(ids))[0]
    analysis = lens.analyze(ids[0].tolist())
    alpha = analysis["encoder"].weight.transpose("layer", "head", "target", "source").values[0]
    heads, size = len(alpha), value.shape[-1] // len(alpha)
    counts = next(iter(counts_by_path.values()))
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        vectors = value[:, columns] @ own.output.dense.weight.T[columns]
        weights = torch.tensor(alpha[head])
        for name, ranking in (("weight", weights), ("norm", weights * vectors.norm(dim=-1))):
            expected = [_by_runs(w, vectors, r, 0.2, renormalize) for w, r in zip(weights, ranking, strict=True)]
            assert counts[name + " renormalized" * renormalize][0, head].tolist() == expected


@pytest.mark.parametrize("renormalize", [False, True])
def test_vector_counts_are_what_trying_every_k_gives(renormalize: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(6, 12, generator=generator, dtype=torch.float64).mul(2).softmax(-1)
    vectors = torch.randn(12, 5, generator=generator, dtype=torch.float64) + 0.5
    for ranking in (weights, weights * vectors.norm(dim=-1)):
        expected = [_by_runs(w, vectors, r, 0.2, renormalize) for w, r in zip(weights, ranking, strict=True)]
        counts = sources_for_vector(weights, vectors, ranking, within=0.2, renormalize=renormalize).tolist()
        assert counts == expected
        assert len(set(expected)) > 1


def test_a_distance_that_is_none_is_refused(lens_of: MakeLens) -> None:
    with pytest.raises(InvalidInput, match="within is 0"):
        count_sources(lens_of("bert"), {"input_ids": torch.tensor([[10, 11]])}, within=0)


def test_dropout_is_off_also_while_a_model_is_trained(tokens: Draw) -> None:
    model, ids = tiny.build("bert"), {"input_ids": torch.tensor([tokens(20, 0)])}
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    expected = count_sources(model, ids)
    model.train()
    counts = count_sources(model, ids)
    assert all(torch.equal(counts[path][name], expected[path][name]) for path in expected for name in COUNTS)
    assert all(module.training for module in model.modules())


def test_every_call_of_a_shared_module_is_counted(tokens: Draw) -> None:
    """ALBERT's layers share one module: each call has the counts of the weights that the model itself returns there."""
    model, ids = tiny.build("albert"), torch.tensor([tokens(20, 0)])
    counts_by_call = count_sources(model, {"input_ids": ids})
    (path,) = {name.split(",")[0] for name in counts_by_call}
    assert list(counts_by_call) == [path, *(f"{path}, call {n}" for n in range(2, model.config.num_hidden_layers + 1))]
    with torch.no_grad():
        weights = model(input_ids=ids, output_attentions=True).attentions
    for counts, alpha in zip(counts_by_call.values(), weights, strict=True):
        assert torch.equal(counts["weight share"], sources_for_share(alpha, 0.9))


def test_unmerged_adapters_are_refused(tokens: Draw) -> None:
    class Adapted(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + x @ torch.ones(self.in_features, self.out_features)

    model = tiny.build("llama")
    for layer in model.layers:
        layer.self_attn.o_proj.__class__ = Adapted
    with pytest.raises(UnsupportedArchitecture, match=r"unmerged adapters\?"):
        count_sources(model, {"input_ids": torch.tensor([tokens(9, 0)])})


def test_padding_is_refused(lens_of: MakeLens, tokens: Draw) -> None:
    ids, mask = torch.tensor([tokens(9, 0)]), torch.ones(1, 9, dtype=torch.long)
    counts = count_sources(lens_of("bert"), {"input_ids": ids, "attention_mask": mask})
    assert len(counts) == lens_of("bert").model.config.num_hidden_layers
    mask[0, 7:] = 0
    with pytest.raises(InvalidInput, match="attention_mask hides 2 of 9 tokens"):
        count_sources(lens_of("bert"), {"input_ids": ids, "attention_mask": mask})


@pytest.mark.parametrize("targets", [[], 3, [-1], [1.5], [True], ["2"]])
def test_targets_that_are_no_positions_are_named(targets: object, lens_of: MakeLens, tokens: Draw) -> None:
    with pytest.raises(InvalidInput, match="expected at least one non-negative integer"):
        count_sources(lens_of("bert"), {"input_ids": torch.tensor([tokens(9, 0)])}, targets=targets)
    with pytest.raises(InvalidInput, match="There is no target 9"):
        count_sources(lens_of("bert"), {"input_ids": torch.tensor([tokens(9, 0)])}, targets=[2, 9])
