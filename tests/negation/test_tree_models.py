"""Tree models: batches equal single trees, joins equal their formulas in float64, the structured model is the algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.negation import Meaning, apply
from normlens.negation.sentiment_trees import (
    BagOfVectors,
    Forest,
    LabeledTree,
    MatrixVectorNetwork,
    RecursiveNetwork,
    StructuredModel,
    TensorNetwork,
    TreeModel,
    TreeTraining,
    accuracies,
    parse_tree,
    predicted_labels,
    train_trees,
    word_numbers_of,
)

TREES = [
    parse_tree("(1 (2 (2 it) (2 (2 is) (1 n't))) (3 (2 very) (3 (3 good) (2 film))))"),
    parse_tree("(4 wow)"),
    parse_tree("(1 (2 not) (3 good))"),
    parse_tree("(2 (1 (2 (2 (2 a) (1 bad)) (2 film)) (2 ,)) (2 is))"),
]
NUMBERS = word_numbers_of(TREES, 100)
FOREST = Forest.of(TREES, NUMBERS)
WORDS = len(NUMBERS)
MODELS = {
    "structured": lambda: StructuredModel(WORDS, 3, 2),
    "matrix-vector": lambda: MatrixVectorNetwork(WORDS, 3, 2),
    "tensor": lambda: TensorNetwork(WORDS, 3),
    "recursive": lambda: RecursiveNetwork(WORDS, 3),
    "bag": lambda: BagOfVectors(WORDS, 3),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> TreeModel:
    """Each model with large random parameters, in float64."""
    return randomized(MODELS[request.param]())


def randomized(model: TreeModel) -> TreeModel:
    generator = torch.Generator().manual_seed(0)
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def node_states(model: TreeModel, tree: LabeledTree) -> list[Tensor]:
    """The state of each node, one join at a time."""
    states: list[Tensor] = []
    for word, (left, right) in zip(tree.words, tree.children, strict=True):
        if left < 0:
            states.append(model.leaves(torch.tensor([NUMBERS.numbers[word]])))
        else:
            states.append(model.join(states[left], states[right]))
    return states


def test_a_batch_equals_its_trees_one_node_at_a_time(model: TreeModel) -> None:
    batch = FOREST.batch([3, 0, 1, 2])
    states = model.states(batch)
    assert len(states) == sum(len(tree.words) for tree in TREES)
    alone = {number: node_states(model, tree) for number, tree in enumerate(TREES)}
    for row, tree, node, label in zip(states, batch.tree, batch.node, batch.labels, strict=True):
        torch.testing.assert_close(row, alone[tree][node][0], rtol=1e-12, atol=1e-12)
        assert label == TREES[tree].labels[node]


def test_only_what_waits_for_its_parent_stays_in_the_pool() -> None:
    chain = parse_tree("(2 (2 a) (2 (2 b) (2 (2 c) (2 d))))")
    levels = Forest.of([chain], word_numbers_of([chain], 9)).batch([0]).levels
    assert [level.leaves for level in levels] == [2, 1, 1]
    assert [len(level.survivors) for level in levels] == [0, 0, 0]
    assert [(len(level.left), level.right.tolist()) for level in levels[1:]] == [(1, [1]), (1, [1])]


def test_the_structured_model_is_the_algebra_where_the_choice_is_hard() -> None:
    model = randomized(StructuredModel(WORDS, 3, 2))
    assert isinstance(model, StructuredModel)
    for leftness in (1e9, -1e9):
        torch.nn.init.constant_(model.leftness, leftness)
        states = node_states(model, TREES[0])
        meanings = [model.meanings(state) for state in states]
        for node, (left, right) in enumerate(TREES[0].children):
            if left >= 0:
                functor, argument = (left, right) if leftness > 0 else (right, left)
                expected = apply(meanings[functor], meanings[argument], translate=True)
                assert same(meanings[node], expected)
                assert states[node][0, -1] == states[argument][0, -1]  # φ is the argument's
                assert torch.equal(model.vectors(states[node]), meanings[node].value)


def same(one: Meaning, other: Meaning) -> bool:
    return torch.allclose(one.vector, other.vector) and torch.allclose(one.function, other.function)


def test_swapping_the_children_swaps_the_choice() -> None:
    model = randomized(StructuredModel(WORDS, 3, 2))
    assert isinstance(model, StructuredModel)
    torch.nn.init.zeros_(model.leftness)
    left, right = model.leaves(torch.tensor([1, 2])).split(1)
    torch.testing.assert_close(model.left_is_functor(left, right), 1 - model.left_is_functor(right, left))
    torch.testing.assert_close(model.join(left, right), model.join(right, left))


def test_a_negation_can_be_written_into_the_structured_model() -> None:
    """With B = −μ I, a value b and a large φ, "not" is the theory's negation with a bias."""
    model = randomized(StructuredModel(WORDS, 3, 2))
    assert isinstance(model, StructuredModel)
    word, mu, bias = NUMBERS.numbers["not"], 0.4, -0.3
    with torch.no_grad():
        for table, row in (
            (model.domains, 0.0),
            (model.domain_gains, 0.0),
            (model.domain_to_value, 0.0),
            (model.values, bias),
        ):
            table[word] = row
        model.value_maps[word] = (-(1 + mu) * torch.eye(2)).flatten()
        model.functorness[word] = 1e9
    _, good, phrase = node_states(model, TREES[2])
    before, after = model.meanings(good), model.meanings(phrase)
    torch.testing.assert_close(after.domain, before.domain)
    torch.testing.assert_close(after.value, -mu * before.value + bias)


def test_joins_are_the_published_equations() -> None:
    network = randomized(MatrixVectorNetwork(WORDS, 3, 2))
    assert isinstance(network, MatrixVectorNetwork)
    left, right = network.leaves(torch.tensor([1, 2])).split(1)
    (a, first), (b, second) = ((x[0, :3], x[0, 3:].view(3, 3)) for x in (left, right))
    expected = torch.tanh(network.weight @ torch.cat([second @ a, first @ b]) + network.bias)
    joined = network.join(left, right)[0]
    torch.testing.assert_close(joined[:3], expected)
    torch.testing.assert_close(joined[3:].view(3, 3), network.matrix_weight @ torch.cat([first, second]))
    u, v = network.factors[1].view(2, 2, 3)
    torch.testing.assert_close(first, torch.diag(1 + network.diagonal[1]) + u.T @ v)

    tensor = randomized(TensorNetwork(WORDS, 3))
    assert isinstance(tensor, TensorNetwork)
    left, right = tensor.leaves(torch.tensor([1, 2])).split(1)
    pair = torch.cat([left, right], dim=1)[0]
    forms = torch.einsum("i,ikj,j->k", pair, tensor.tensor.view(6, 3, 6) / 3, pair)
    torch.testing.assert_close(tensor.join(left, right)[0], torch.tanh(forms + tensor.weight @ pair + tensor.bias))


def test_a_tensor_network_without_spread_starts_as_the_plain_network() -> None:
    torch.manual_seed(0)
    plain = RecursiveNetwork(WORDS, 3)
    torch.manual_seed(0)
    tensor = TensorNetwork(WORDS, 3, spread=0.0)
    for mine, other in zip(node_states(tensor, TREES[0]), node_states(plain, TREES[0]), strict=True):
        assert torch.equal(mine, other)


def test_a_bag_is_the_mean_of_its_words() -> None:
    model = randomized(BagOfVectors(WORDS, 3))
    assert isinstance(model, BagOfVectors)
    expected = model.table[[NUMBERS.numbers[word] for word in TREES[0].span(len(TREES[0].words) - 1)]].mean(0)
    torch.testing.assert_close(model.vectors(node_states(model, TREES[0])[-1])[0], expected)


def test_gradients_reach_every_parameter(model: TreeModel) -> None:
    torch.nn.functional.cross_entropy(model(FOREST.batch(range(4))), FOREST.batch(range(4)).labels).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_word_vectors_fill_the_first_dimensions(model: TreeModel) -> None:
    vectors = torch.randn(WORDS, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model.start_from(vectors)
    table = model.domains if isinstance(model, StructuredModel) else model.table
    assert isinstance(table, Tensor)
    torch.testing.assert_close(table[:, :2].detach(), vectors * (0.1 / vectors.std()))


def test_training_learns_the_trees_by_heart_and_keeps_the_best_epoch() -> None:
    torch.manual_seed(0)
    model = MODELS["structured"]()
    options = TreeTraining(epochs=40, batch_size=2, learning_rate=0.1, weight_decay=0.0)
    history = train_trees(model, FOREST, FOREST, options, seed=0)
    assert history[-1].training_loss < 0.1 < history[0].training_loss
    reached = accuracies(predicted_labels(model, FOREST), FOREST)
    assert reached[0] == max(epoch.accuracy for epoch in history) > 0.9
    again = MODELS["structured"]()
    torch.manual_seed(0)
    again = MODELS["structured"]()
    assert train_trees(again, FOREST, FOREST, options, seed=0) == history


def test_predictions_stand_at_their_nodes(model: TreeModel) -> None:
    made = predicted_labels(model, FOREST, size=3)
    for number, tree in enumerate(TREES):
        logits = model.readout(model.vectors(torch.cat(node_states(model, tree))))
        np.testing.assert_allclose(made[number], logits.softmax(-1).detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": -1.0}, {"weight_decay": float("nan")}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=rf"{next(iter(wrong))} is .*expected"):
        TreeTraining(**wrong)  # type: ignore[arg-type]
