"""Trains one cell and explains its test texts: what a worker of a run does."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from normlens.faithfulness.four_tests.adversary import adversarial_loss
from normlens.faithfulness.four_tests.cells import Cell, base_cell, others_depend_on
from normlens.faithfulness.four_tests.diagnostic import (
    guide_from,
    label_guide,
    permuted_guide,
    random_guide,
    token_evidence,
    uniform_guide,
)
from normlens.faithfulness.four_tests.divergences import kendall
from normlens.faithfulness.four_tests.encoded_texts import Batch, EncodedTexts
from normlens.faithfulness.four_tests.experiment import Experiment
from normlens.faithfulness.four_tests.families import Family, RecurrentFamily, Scores
from normlens.faithfulness.four_tests.labeled_texts import (
    SPLITS,
    LabeledData,
    read_data,
    without_lengths_out_of_range,
)
from normlens.faithfulness.four_tests.models import Prediction, TokenClassifier, classification_loss
from normlens.faithfulness.four_tests.outcomes import Outcome
from normlens.faithfulness.four_tests.permutations import (
    adversarial_attention,
    gradient_importance,
    permutation_changes,
    without_each_token,
)
from normlens.faithfulness.four_tests.training import Objective, Read, TrainingOptions, evaluated, predicted, train

_TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class Workplace:
    """Everything that the cells of a run share.

    Attributes
    ----------
    experiment
        The run.
    data
        The texts.
    family
        Makes and reads models.
    splits
        The texts as ids.
    device
        Where models run.
    """

    experiment: Experiment
    data: LabeledData
    family: Family
    splits: dict[str, EncodedTexts]
    device: str

    @property
    def fingerprint(self) -> str:
        """A hash of all texts, labels, and of word vectors and checkpoints from files."""
        digest = hashlib.sha256()
        for content in self.family.contents():
            digest.update(content)
        for split in SPLITS:
            labeled = self.data.splits[split]
            for text, label in zip(labeled.texts, labeled.labels, strict=True):
                digest.update(f"{split}\0{label}\0{text}\0".encode())
        return digest.hexdigest()[:20]


def workplace(experiment: Experiment, device: str = "cpu") -> Workplace:
    """Read texts and model, and check that they fit.

    Raises
    ------
    InvalidInput
        If a file, a text, the model or an explanation can't be used.
    UnsupportedArchitecture
        If the model can't take the tests.
    """
    data = read_data(experiment.data)
    family: Family
    if experiment.classifier.kind == "transformer":
        from normlens.faithfulness.four_tests.transformer_family import TransformerFamily

        ordered = bool(experiment.data.classes)
        family = TransformerFamily(experiment.classifier, data, device, ordered=ordered)
    else:
        family = RecurrentFamily(experiment.classifier, data, device)
    family.check(experiment.tests.explanations)
    lengths = {split: family.encoder.encode(labeled).lengths() for split, labeled in data.splits.items()}
    data = without_lengths_out_of_range(data, lengths, experiment.data)
    splits = {split: family.encoder.encode(labeled) for split, labeled in data.splits.items()}
    return Workplace(experiment, data, family, splits, device)


def train_cell(place: Workplace, cell: Cell, needed: Mapping[Cell, Outcome]) -> Outcome:
    """Train a cell and explain the texts by it.

    Parameters
    ----------
    place
        What all cells share.
    cell
        The one to train.
    needed
        The outcomes of the cells that it depends on.
    """
    start = time.monotonic()
    model, read, objective, options = _task(place, cell, needed)
    splits = _shuffled(place, cell.seed) if cell.role == "shuffled" else place.splits
    if cell == base_cell() and place.experiment.classifier.trained:
        history = [evaluated(model, splits["dev"], read, objective, place.device)]
    else:
        history = train(
            model, splits, read, objective, options, cell.seed, by_loss=cell.role == "adversary", device=place.device
        )
    probabilities, attention = {}, {}
    for split in SPLITS if others_depend_on(cell) else ("dev", "test"):
        probabilities[split], attention[split] = predicted(model, place.splits[split], read, split, device=place.device)
    scores = _scores(place, cell, model, attention) if cell.role in ("learned", "adversary") else {}
    instances = _instances(place, model, read, attention["test"]) if cell == base_cell() else {}
    return Outcome(history, probabilities, scores, instances, time.monotonic() - start)


def _task(
    place: Workplace, cell: Cell, needed: Mapping[Cell, Outcome]
) -> tuple[nn.Module, Read, Objective, TrainingOptions]:
    """The model of a cell, how it reads a batch, its loss, and its training options."""
    experiment, family = place.experiment, place.family

    def by_label(prediction: Prediction, batch: Batch, split: str) -> Tensor:
        return classification_loss(prediction, batch.labels)

    if cell.role == "diagnostic":
        guides = _guides(place, cell, needed)
        torch.manual_seed(cell.seed)
        vectors = family.vectors(cell.seed)
        model: nn.Module = TokenClassifier(
            vectors, len(place.data.classes), ids=family.occurring(place.splits.values())
        )

        def guided(model: nn.Module, batch: Batch, split: str) -> Prediction:
            guide = None if guides is None else batch.table(guides[split])
            prediction: Prediction = model(batch.ids, batch.lengths, batch.readable, guide)
            return prediction

        return model.to(place.device), guided, by_label, experiment.diagnostic
    uniform = cell.role == "uniform"
    tested = family.tested() if cell == base_cell() else None
    model = family.new(cell.seed, uniform=uniform) if tested is None else tested

    def own(model: nn.Module, batch: Batch, split: str) -> Prediction:
        return family.read(model, batch, uniform=uniform)

    if cell.role == "adversary":
        return model, own, _adversarial(place, cell, needed[base_cell()]), experiment.adversary
    return model, own, by_label, experiment.training


def _adversarial(place: Workplace, cell: Cell, base: Outcome) -> Objective:
    strength, divergence = cell.strength or 0.0, place.experiment.tests.divergence

    def loss(prediction: Prediction, batch: Batch, split: str) -> Tensor:
        classes = torch.from_numpy(base.probabilities[split][batch.rows]).float().to(place.device)
        other = Prediction(classes.clamp_min(1e-30).log(), batch.table(base.scores["weight"][split]))
        return adversarial_loss(prediction, other, batch.readable, strength, divergence=divergence)

    return loss


def _shuffled(place: Workplace, seed: int) -> dict[str, EncodedTexts]:
    """The texts with the labels of others of their split."""
    generator = np.random.default_rng(seed)
    return {
        split: replace(encoded, labels=generator.permutation(encoded.labels)) for split, encoded in place.splits.items()
    }


def _guides(place: Workplace, cell: Cell, needed: Mapping[Cell, Outcome]) -> dict[str, Scores] | None:
    """The weights that guide a diagnostic, by split; None where it learns its own."""
    guide = cell.guide
    assert guide is not None
    if guide == "learned":
        return None
    masks = {split: encoded.readable for split, encoded in place.splits.items()}
    if guide == "uniform":
        return {split: uniform_guide(masks[split]) for split in SPLITS}
    if guide == "label":
        training = place.splits["train"]
        evidence = token_evidence(training.ids, training.labels, len(place.data.classes), place.family.encoder.size)
        return {s: label_guide(x.ids, x.labels, x.readable, evidence) for s, x in place.splits.items()}
    _, explanation, *control = guide.split("/")
    [source] = cell.needs
    guides = {s: guide_from(rows, masks[s]) for s, rows in needed[source].scores[explanation].items()}
    if control:
        draw: Callable[..., Scores] = permuted_guide if control == ["permuted"] else random_guide
        guides = {s: draw(guides[s], masks[s], 1000 * cell.seed + k) for k, s in enumerate(SPLITS)}
    return guides


def _scores(
    place: Workplace, cell: Cell, model: nn.Module, attention: Mapping[str, Scores]
) -> dict[str, dict[str, Scores]]:
    """α of all texts that other cells may depend on; of the other explanations, those that are read."""
    names = [name for name in place.experiment.tests.explanations if name != "weight"]
    splits = SPLITS if others_depend_on(cell) else ("test",)
    scores: dict[str, dict[str, Scores]] = {"weight": {split: attention[split] for split in splits}}
    guiding = cell == base_cell() or place.experiment.classifier.kind == "recurrent"  # as guides_of has it
    for split in splits if guiding else ("test",):
        for name, rows in place.family.explain(model, place.splits[split], names).items():
            scores.setdefault(name, {})[split] = rows
    return scores


def _instances(
    place: Workplace, model: nn.Module, read: Read, attention: Scores
) -> dict[str, Float[np.ndarray, " text"]]:
    """Jain & Wallace's measures of the base model, text by text."""
    tests, test = place.experiment.tests, place.splits["test"]
    limit = len(test) if tests.instances is None else min(tests.instances, len(test))
    some = EncodedTexts(test.ids[:limit], test.readable[:limit], test.tokens[:limit], test.labels[:limit], test.padding)
    names = ["permutation_tvd", "adversarial_jsd", "adversarial_tvd", "kendall_gradient", "kendall_leave_one_out"]
    numbers = {name: np.full(len(test), np.nan) for name in names}
    embedding = place.family.embedding(model)
    for batch in some.batches(_TEXTS_AT_ONCE, device=place.device):
        alpha = batch.table(attention)
        with place.family.answering(model, batch) as answer:
            if tests.permutations:
                changes = permutation_changes(answer, alpha, batch.readable, permutations=tests.permutations)
                numbers["permutation_tvd"][batch.rows] = np.median(changes, axis=0)
            if tests.distributions:
                pair = adversarial_attention(answer, alpha, batch.readable, distributions=tests.distributions)
                numbers["adversarial_jsd"][batch.rows], numbers["adversarial_tvd"][batch.rows] = pair
        gradient = gradient_importance(model, embedding, batch, lambda b: read(model, b, "test"))
        numbers["kendall_gradient"][batch.rows] = kendall(alpha.cpu().numpy(), gradient, batch.readable.cpu().numpy())
    for row in range(limit):
        numbers["kendall_leave_one_out"][row] = _leave_one_out(place, model, read, attention, row)
    return numbers


def _leave_one_out(place: Workplace, model: nn.Module, read: Read, attention: Scores, row: int) -> float:
    """Kendall's τ of α with the change of the prediction without each token."""
    test = place.splits["test"]
    whole = EncodedTexts([test.ids[row]], [test.readable[row]], [], test.labels[row : row + 1], test.padding)
    before, _ = predicted(model, whole, read, "test", device=place.device)
    without, _ = predicted(model, without_each_token(test, row), read, "test", device=place.device)
    change = np.abs(without - before).sum(axis=1) / 2
    return float(kendall(attention[row][test.readable[row]], change))
