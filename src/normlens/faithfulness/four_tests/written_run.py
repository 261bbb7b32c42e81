"""Files of a run: one page with its tables, all numbers as JSON, every instance as Parquet, and three pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from normlens.faithfulness.four_tests.cell_work import Workplace
from normlens.faithfulness.four_tests.cells import Cell
from normlens.faithfulness.four_tests.comparison_with_weights import norms_answer
from normlens.faithfulness.four_tests.instances import instance_table
from normlens.faithfulness.four_tests.outcomes import Outcome
from normlens.faithfulness.four_tests.run_results import Instances, findings
from normlens.faithfulness.four_tests.schedule import chosen_adversary
from normlens.faithfulness.four_tests.seeds import by_largest_weight
from normlens.files.atomic import write_atomically

_PAGE = Environment(
    loader=PackageLoader("normlens.faithfulness.four_tests", "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def results_of(place: Workplace, outcomes: Mapping[Cell, Outcome]) -> tuple[dict[str, Any], pd.DataFrame]:
    """All numbers of a run, and the table of its instances.

    Parameters
    ----------
    place, outcomes
        What :func:`run_cells` returns.

    Returns
    -------
    numbers, instances
        The numbers hold what :func:`findings` returns, ``norms`` (see :func:`norms_answer`), ``experiment`` and ``data``.
    """
    table = instance_table(place, outcomes)
    instances = Instances(table, len(place.data.classes))
    tests = place.experiment.tests
    chosen = chosen_adversary(place, outcomes)
    strength = None if chosen is None else chosen.strength
    numbers = findings(instances, tests.explanations, tests.strengths, strength)
    numbers |= {
        "norms": norms_answer(instances, tests.explanations, strength),
        "adversary": strength,
        "seed_points": _seed_points(table),
        "classes": list(place.data.classes),
        "data": {
            split: {"texts": len(labeled), "left_out": place.data.left_out[split]}
            for split, labeled in place.data.splits.items()
        },
        "coverage": place.family.coverage,
        "seconds": sum(outcome.seconds for outcome in outcomes.values()),
        "experiment": place.experiment.as_data(),
    }
    return numbers, table


def write_run(place: Workplace, outcomes: Mapping[Cell, Outcome], folder: Path, title: str) -> dict[str, Any]:
    """Write ``results.md``, ``results.json``, ``instances.parquet`` and the pictures.

    Parameters
    ----------
    place, outcomes
        What :func:`run_cells` returns.
    folder
        Where they go.
    title
        Title of the page.

    Returns
    -------
    dict
        The numbers of ``results.json``.
    """
    numbers, table = results_of(place, outcomes)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_atomically(folder / "instances.parquet", buffer.getbuffer())
    write_atomically(folder / "results.json", json.dumps(_finite(numbers), indent=1, ensure_ascii=False) + "\n")
    _draw(numbers, table, folder)
    write_atomically(folder / "results.md", page(numbers, title))
    return numbers


def page(numbers: Mapping[str, Any], title: str) -> str:
    """The page of a run in Markdown.

    Parameters
    ----------
    numbers
        What :func:`results_of` returns, or what ``results.json`` holds.
    title
        Its title.
    """
    template = _PAGE.get_template("four_tests.md.jinja")
    return template.render(title=title, spelled=_spelled, signed=_signed, **numbers)


def _draw(numbers: Mapping[str, Any], table: pd.DataFrame, folder: Path) -> None:
    from normlens.figures.explanation_tests import adversary_curve, guide_estimates
    from normlens.figures.saving import save

    others = table[(table["role"] == "learned") & (table["seed"] > 0)]
    adversaries = [
        {"strength": row["strength"], "jsd": row["weight"]["jsd"], "tvd": row["tvd"]} for row in numbers["adversaries"]
    ]
    if adversaries or numbers["seed_points"]:
        save(adversary_curve(adversaries, numbers["seed_points"]), folder / "adversaries.svg")
    if len(others):
        _draw_seeds(table, others, numbers["classes"], folder)
    if numbers["guides"]:
        save(guide_estimates(numbers["guides"]), folder / "guides.svg")


def _draw_seeds(table: pd.DataFrame, others: pd.DataFrame, classes: Sequence[str], folder: Path) -> None:
    from normlens.figures.explanation_tests import divergence_violins
    from normlens.figures.saving import save

    base = table[(table["role"] == "learned") & (table["seed"] == 0)].sort_values("text")
    divergences = others.pivot(index="seed", columns="text", values="jsd_weight").to_numpy()
    spread = by_largest_weight(divergences, base[["largest_weight"]].to_numpy(), base["label"].to_numpy())
    save(divergence_violins(spread, classes), folder / "seeds.svg")


def _seed_points(table: pd.DataFrame) -> list[dict[str, float]]:
    """Mean JSD and TVD of each other seed."""
    others = table[(table["role"] == "learned") & (table["seed"] > 0)]
    means = others.groupby("seed")[["jsd_weight", "tvd"]].mean()
    return [{"jsd": float(jsd), "tvd": float(tvd)} for jsd, tvd in means.to_numpy()]


def _spelled(estimate: Mapping[str, float], digits: int = 3) -> str:
    """A value with its interval."""
    return f"{estimate['value']:.{digits}f} ({estimate['low']:.{digits}f} to {estimate['high']:.{digits}f})"


def _signed(estimate: Mapping[str, float], digits: int = 3) -> str:
    """A difference with its interval."""
    text = f"{estimate['value']:+.{digits}f} ({estimate['low']:+.{digits}f} to {estimate['high']:+.{digits}f})"
    return text.replace("-", "−")


def _finite(value: Any) -> Any:
    """Numbers as JSON takes them: no NaN, no infinity, no types of NumPy."""
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
