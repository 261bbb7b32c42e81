"""Evaluate scores: erase the units that they call important, and measure the change of the model's prediction."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from rich.progress import Progress

from normlens.attribution.targets.ids import plain_id
from normlens.errors import InvalidInput
from normlens.faithfulness.erasure.baselines import FIXED, LEAVE_ONE_OUT, RANDOM, check_baselines
from normlens.faithfulness.erasure.classifying import Classifier, LensClassifier
from normlens.faithfulness.erasure.design import Design
from normlens.faithfulness.erasure.erasing import Replacement, order_of
from normlens.faithfulness.erasure.results import dataset_of
from normlens.faithfulness.erasure.trials import Trial, Verdict, judge, mean_verdict
from normlens.faithfulness.erasure.units import units_named
from normlens.lens import Lens
from normlens.loading.progress_bars import bars_console
from normlens.statistics import rank_correlation

_TEXTS_AT_ONCE = 16  # texts whose variants are sorted by length into common batches

Scores = Mapping[str, Sequence[ArrayLike]]
Rows = dict[tuple[str, str], tuple[Verdict, float]]


def evaluate(
    model: Lens | Classifier,
    texts: Sequence[str],
    scores: Scores,
    *,
    labels: Sequence[int] | None = None,
    design: Design | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> xr.Dataset:
    """Measure how faithful scores are to a classifier, beside baselines.

    With p the probability of the class that the model predicts for the whole text:

    * AOPC: mean over steps of p(text) − p(text without its top units) (Samek et al. 2017); higher is better;
    * accuracy: share of the steps at which the prediction is still the label; lower is better;
    * comprehensiveness: as AOPC over the bins 1, 5, 10, 20 and 50 %; higher is better (DeYoung et al. 2020);
    * sufficiency: p(text) − p(only its top units), over these bins; lower is better;
    * correlation with leave-one-out: Spearman between a text's scores and the drop of p without each unit alone.

    Special tokens are never erased. Erased texts are outside the distribution of the model: compare the numbers only with
    those of the baselines.

    Parameters
    ----------
    model
        A lens on a sequence classifier, or anything that is a :class:`Classifier`.
    texts
        The texts that were explained.
    scores
        Method to one array per text: a score for each token (special ones included) or each unit, such as the result of
        ``lens.attribute`` for one text.
    labels
        Number of the correct class of each text. Default: the class that the model predicts for the whole text, so that
        accuracy is the share of unchanged predictions.
    design
        What is erased, how, and which baselines. Default: ``Design()``.
    batch_size
        Largest number of variants in a batch, which sets the memory. Used with a lens.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    xarray.Dataset
        ``drop`` and ``right``, ``(attribution, erasure, step, text)``; ``aopc``, ``accuracy``, ``comprehensiveness``,
        ``sufficiency`` and ``leave_one_out``, ``(attribution, erasure, text)``; :func:`summary` gives their means with
        intervals.

    Raises
    ------
    InvalidInput
        If the numbers of texts, labels and scores differ, a score is missing or not finite, or an option doesn't exist.
    UnsupportedArchitecture
        If the model of the lens isn't a sequence classifier.

    References
    ----------
    DeYoung et al. 2020, "ERASER", https://aclanthology.org/2020.acl-main.408/; Samek et al. 2017, "Evaluating the
    visualization of what a deep neural network has learned".
    """
    design = design or Design()
    _check_sizes(texts, scores, labels)
    labels = None if labels is None else [plain_id(label, "label") for label in labels]
    check_baselines(design.baselines, list(scores))
    if unknown := sorted(set(design.by_magnitude) - set(scores)):
        raise InvalidInput(f"by_magnitude names {unknown[0]!r}; expected some of {', '.join(scores) or 'the methods'}.")
    classifier = LensClassifier(model, batch_size=batch_size) if isinstance(model, Lens) else model
    replacement = classifier.replacement(design.replacement)
    rows: list[Rows] = []
    wholes: list[Float[np.ndarray, " class"]] = []
    with Progress(console=bars_console(), disable=not progress, transient=True) as bar:
        task = bar.add_task("erasing", total=len(texts))
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            numbers = range(len(texts))[start : start + _TEXTS_AT_ONCE]
            trials = [_trial(classifier, texts[k], design, replacement) for k in numbers]
            arrays = [{name: values[k] for name, values in scores.items()} for k in numbers]
            expected = None if labels is None else [labels[k] for k in numbers]
            for whole, row in _judged(classifier, trials, arrays, expected, design, start):
                _check_label(labels, len(rows), len(whole))
                wholes.append(whole)
                rows.append(row)
            bar.advance(task, len(numbers))
    return dataset_of(rows, np.array(wholes), labels, [*scores, *design.baselines], design, replacement)


def leave_one_out(
    model: Lens | Classifier,
    text: str,
    *,
    by: str = "word",
    erasure: str = "mask",
    replacement: str | None = None,
    batch_size: int = 64,
) -> Float[np.ndarray, " unit"]:
    """Return the drop of the probability of the predicted class without each word, or token, alone.

    Parameters
    ----------
    model, batch_size
        As in :func:`evaluate`.
    text
        One text.
    by, erasure, replacement
        As in :class:`Design`.

    Raises
    ------
    InvalidInput
        If an option doesn't exist, or the text can't be read.
    """
    design = Design(by=by, erasures=(erasure,), replacement=replacement)
    classifier = LensClassifier(model, batch_size=batch_size) if isinstance(model, Lens) else model
    trial = _trial(classifier, text, design, classifier.replacement(replacement))
    return _drops(classifier.probabilities([trial.ids, *trial.singles(erasure)]))


def _trial(classifier: Classifier, text: str, design: Design, replacement: Replacement) -> Trial:
    tokens = classifier.encode(text)
    return Trial(np.asarray(tokens.ids), units_named(design.by)(tokens), replacement.id)


def _judged(
    classifier: Classifier,
    trials: Sequence[Trial],
    arrays: Sequence[Mapping[str, ArrayLike]],
    labels: Sequence[int] | None,
    design: Design,
    number: int,
) -> Iterator[tuple[Float[np.ndarray, " class"], Rows]]:
    """Judge several texts together: first the whole texts and single units, then every order of their units."""
    singles = _answers(classifier, [[t.ids, *(x for how in design.erasures for x in t.singles(how))] for t in trials])
    orders = [
        _orders(trial, scores, answers, design, number + index)
        for index, (trial, scores, answers) in enumerate(zip(trials, arrays, singles, strict=True))
    ]
    variants = [
        [x for (_, how), (_, many) in by_name.items() for order in many for x in trial.variants(order, how, design)]
        for trial, by_name in zip(trials, orders, strict=True)
    ]
    for index, (answers, by_name) in enumerate(zip(_answers(classifier, variants), orders, strict=True)):
        whole = singles[index][0]
        label = int(whole.argmax()) if labels is None else labels[index]
        by_order = iter(np.split(answers, sum(len(many) for _, many in by_name.values())))
        row = {}
        for key, (correlation, many) in by_name.items():
            verdicts = [judge(rows, whole, label, design) for rows in itertools.islice(by_order, len(many))]
            row[key] = mean_verdict(verdicts), correlation
        yield whole, row


def _orders(
    trial: Trial,
    scores: Mapping[str, ArrayLike],
    singles: Float[np.ndarray, "variant class"],
    design: Design,
    number: int,
) -> dict[tuple[str, str], tuple[float, list[Int[np.ndarray, " unit"]]]]:
    """Orders of a text's units by method and erasure, and how each method's scores correlate with leave-one-out."""
    generator = np.random.default_rng([design.seed, number])
    units = len(trial.units)
    values = {name: [trial.units.scores(array)] for name, array in scores.items()}
    values = {name: [abs(array[0])] if name in design.by_magnitude else array for name, array in values.items()}
    values |= {name: [FIXED[name](trial.units)] for name in design.baselines if name in FIXED}
    if RANDOM in design.baselines:
        values[RANDOM] = [generator.random(units) for _ in range(design.draws)]
    orders = {}
    for index, how in enumerate(design.erasures):
        drops = _drops(np.concatenate([singles[:1], singles[1 + index * units : 1 + (index + 1) * units]]))
        alone = {LEAVE_ONE_OUT: [drops]} if LEAVE_ONE_OUT in design.baselines else {}
        for name, many in (values | alone).items():
            correlation = float(np.mean([rank_correlation(array, drops) for array in many]))
            orders[name, how] = correlation, [order_of(array, generator) for array in many]
    return orders


def _drops(probabilities: Float[np.ndarray, "variant class"]) -> Float[np.ndarray, " unit"]:
    """The drop of the probability of the class that the first row predicts, in the other rows."""
    predicted = int(probabilities[0].argmax())
    return np.asarray(probabilities[0, predicted] - probabilities[1:, predicted])


def _answers(
    classifier: Classifier, texts: Sequence[Sequence[Int[np.ndarray, " token"]]]
) -> list[Float[np.ndarray, "variant class"]]:
    """Probabilities of several lists of variants, read together."""
    answers = classifier.probabilities([variant for variants in texts for variant in variants])
    return np.split(answers, np.cumsum([len(variants) for variants in texts])[:-1])


def _check_label(labels: Sequence[int] | None, text: int, classes: int) -> None:
    label = 0 if labels is None else labels[text]
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < classes:
        raise InvalidInput(
            f"The label of text {text} is {label!r}; expected the number of a class, from 0 to {classes - 1}."
        )


def _check_sizes(texts: Sequence[str], scores: Scores, labels: Sequence[int] | None) -> None:
    if isinstance(texts, str) or not len(texts):
        raise InvalidInput(f"texts is {texts!r:.60}; expected a list with at least one text.")
    sizes = {name: len(values) for name, values in scores.items()} | ({} if labels is None else {"labels": len(labels)})
    for name, size in sizes.items():
        if size != len(texts):
            raise InvalidInput(f"{name!r} has {size} entries for {len(texts)} texts; expected one per text, in order.")
