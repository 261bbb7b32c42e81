"""The results of a run: F1, divergences and their intervals, from the table of its instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from normlens.faithfulness.four_tests.instances import draws, f1_by_text, interval, mean_over

RESAMPLES = 1000

Estimate = dict[str, float]
"""``value``, and ``low`` and ``high``, the ends of its 95 % interval."""


@dataclass(frozen=True)
class Instances:
    """The table of a run's instances, with the draws of texts and seeds that all intervals share.

    Attributes
    ----------
    table
        What :func:`instance_table` returns.
    classes
        Number of classes.
    resamples
        Draws of the bootstrap.
    """

    table: pd.DataFrame
    classes: int
    resamples: int = RESAMPLES

    def of(self, role: str, *, guide: str = "", strength: float | None = None) -> pd.DataFrame:
        """The rows of one kind of cell, all seeds."""
        table = self.table[(self.table["role"] == role) & (self.table["guide"] == guide)]
        return table if strength is None else table[table["strength"] == strength]

    def base(self) -> pd.DataFrame:
        """The rows of the base model."""
        rows = self.of("learned")
        return rows[rows["seed"] == 0]

    def others(self) -> pd.DataFrame:
        """The rows of the models that differ from the base model in their seed alone."""
        rows = self.of("learned")
        return rows[rows["seed"] > 0]

    def columns(self, rows: pd.DataFrame, name: str) -> Float[np.ndarray, "seed text"]:
        """A column as one row for each seed; the texts are in order."""
        wide = rows.pivot(index="seed", columns="text", values=name)
        return np.asarray(wide.to_numpy(dtype=np.float64))

    def mean(self, rows: pd.DataFrame, *names: str, combine: Callable[..., Any] = lambda x: x) -> Estimate:
        """The mean of a column over texts and seeds, or what is made of the means of several columns.

        Texts and seeds are both drawn with replacement; a text without a number is left out.
        """
        tables = [self.columns(rows, name) for name in names]
        by_text, by_seed = draws(tables[0].shape[1], len(tables[0]), self.resamples)
        means = []
        for table in tables:
            present = np.isfinite(table)
            total = np.einsum("ds,st,dt->d", by_seed, np.where(present, table, 0.0), by_text, optimize=True)
            with np.errstate(invalid="ignore"):
                means.append(total / np.einsum("ds,st,dt->d", by_seed, present.astype(float), by_text, optimize=True))
        return estimate(combine(*means))

    def f1(self, rows: pd.DataFrame) -> Estimate:
        """F1, averaged over seeds."""
        return estimate(self._f1(rows))

    def f1_difference(self, rows: pd.DataFrame, others: pd.DataFrame) -> Estimate:
        """F1 of one kind of cell less that of another on the same texts and seeds."""
        return estimate(self._f1(rows) - self._f1(others))

    def _f1(self, rows: pd.DataFrame) -> Float[np.ndarray, " draw"]:
        predicted = self.columns(rows, "predicted")
        labels = self.columns(rows, "label")[0]
        by_text, by_seed = draws(predicted.shape[1], len(predicted), self.resamples)
        return mean_over([f1_by_text(row, labels, by_text, self.classes) for row in predicted], by_seed)

    def accuracy(self, rows: pd.DataFrame) -> Estimate:
        """Share of the texts that are classified right."""
        return self.mean(rows.assign(right=(rows["predicted"] == rows["label"]).astype(float)), "right")


def estimate(values: Float[np.ndarray, " draw"]) -> Estimate:
    """A value with its interval."""
    return dict(zip(("value", "low", "high"), interval(values), strict=True))


def findings(
    instances: Instances, explanations: Sequence[str], strengths: Sequence[float], chosen: float | None
) -> dict[str, Any]:
    """All numbers of a run's page.

    Parameters
    ----------
    instances
        The run's instances.
    explanations
        What was tested as an explanation, "weight" first.
    strengths
        λ of the adversaries.
    chosen
        The one that was chosen on dev, for the verdict; None if there is none.

    Returns
    -------
    dict
        ``classifiers`` (F1 and accuracy of learned, uniform and shuffled models), ``seeds`` and ``adversaries`` (divergences
        from the base model; ``seeds`` is None where there is no other seed), ``verdict`` (the adversary that answers the
        paper's question), ``guides``, and ``instances`` (Jain & Wallace's measures).
    """
    others = instances.others()
    adversaries = [
        {"strength": strength, **_moved(instances, rows, explanations)}
        for strength in strengths
        if len(rows := instances.of("adversary", strength=strength))
    ]
    classifiers: dict[str, dict[str, Any]] = {
        role: {"f1": instances.f1(rows), "accuracy": instances.accuracy(rows), "seeds": rows["seed"].nunique()}
        for role in ("learned", "uniform", "shuffled")
        if len(rows := instances.of(role))
    }
    seeds = _moved(instances, others, explanations) if len(others) else None
    base = instances.base()
    return {
        "texts": base["text"].nunique(),
        "classifiers": classifiers,
        "uniform_less_learned": instances.f1_difference(instances.of("uniform"), instances.of("learned")),
        "seeds": seeds,
        "adversaries": adversaries,
        "verdict": verdict(seeds, classifiers["learned"]["f1"], adversaries, chosen),
        "guides": _guides(instances),
        "instances": _single(instances, base),
    }


def verdict(
    seeds: Mapping[str, Any] | None, learned: Estimate, adversaries: Sequence[Mapping[str, Any]], chosen: float | None
) -> dict[str, Any] | None:
    """What the adversary that was chosen on dev does on the test texts; None if there is none.

    It keeps F1 (``keeps``) if its F1 is at least the lower end of the learned models' interval. Its attention is outside the
    noise of the seeds (``outside``) if the interval of its JSD lies above theirs; None where there are no other seeds.
    """
    rows = [row for row in adversaries if row["strength"] == chosen]
    if not rows:
        return None
    [row] = rows
    return {
        "strength": chosen,
        "keeps": bool(row["f1"]["value"] >= learned["low"]),
        "outside": None if seeds is None else bool(row["weight"]["jsd"]["low"] > seeds["weight"]["jsd"]["high"]),
        "f1": row["f1"],
        "jsd": row["weight"]["jsd"],
    }


def _moved(instances: Instances, rows: pd.DataFrame, explanations: Sequence[str]) -> dict[str, Any]:
    """How far some cells are from the base model: F1, predictions, and each explanation."""
    moved: dict[str, Any] = {"f1": instances.f1(rows), "tvd": instances.mean(rows, "tvd")}
    for name in explanations:
        moved[name] = {
            measure: instances.mean(rows, f"{measure}_{name}") for measure in ("jsd", "kendall", "control", "inner")
        }
        moved[name]["relative"] = instances.mean(rows, f"jsd_{name}", f"control_{name}", combine=np.divide)
    return moved


def _guides(instances: Instances) -> list[dict[str, Any]]:
    """F1 of the diagnostic by guide, and its difference from the uniform guide."""
    names = instances.table.loc[instances.table["role"] == "diagnostic", "guide"].unique()
    uniform = instances.of("diagnostic", guide="uniform")
    return [
        {
            "guide": name,
            "f1": instances.f1(rows),
            "less_uniform": instances.f1_difference(rows, uniform),
        }
        for name in names
        if len(rows := instances.of("diagnostic", guide=name))
    ]


def _single(instances: Instances, base: pd.DataFrame) -> dict[str, Estimate]:
    names = ["permutation_tvd", "adversarial_jsd", "adversarial_tvd", "kendall_gradient", "kendall_leave_one_out"]
    return {name: instances.mean(base, name) for name in names if name in base and base[name].notna().any()}
