"""A run of the four tests from the shell: its folder, its progress, and the answer on the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from normlens.cli.destinations import check_creatable, check_files
from normlens.cli.opening import quiet
from normlens.cli.output.borderless import borderless
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import messages, results, waiting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens.faithfulness.four_tests.experiment import Experiment

FILES = ("results.md", "results.json", "instances.parquet", "adversaries.svg", "seeds.svg", "guides.svg")
"""What a run writes beside the folder of its trained models."""

_EXPLANATIONS = {"weight": "α", "norm": "norms"}


def check_run_folder(folder: Path, experiment: Experiment, *, reads: Iterable[Path], overwrite: bool) -> None:
    """Refuse a folder that can't hold the run, before anything is trained.

    Parameters
    ----------
    folder
        Where the run goes. It may hold an earlier run with the same settings.
    experiment
        The settings.
    reads
        Further files that the command reads.
    overwrite
        Whether the results of a run with other settings may be replaced.

    Raises
    ------
    NormLensError
        If it holds the results of other settings, files of something else, or can't be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"The output {folder} is a file; expected a folder. Choose another name.")
    strange = [path.name for path in folder.iterdir() if not _is_ours(path)] if folder.is_dir() else []
    if strange:
        raise InvalidInput(
            f"The folder {folder} holds {sorted(strange)[0]}, which is not part of a run. Choose another folder."
        )
    same = _settings_in(folder) == experiment.as_data()
    data = experiment.data
    read = [*reads, *(path for path in (data.train, data.dev, data.test, experiment.classifier.vectors) if path)]
    check_creatable(folder)
    if folder.is_dir():
        try:
            check_files(*(folder / name for name in FILES), reads=read, overwrite=overwrite or same)
        except InvalidInput as error:
            if "exists already" not in str(error):
                raise
            raise InvalidInput(
                f"{folder} holds the results of a run with other settings. Choose another folder, or use --overwrite: "
                "models whose settings are the same are not trained again."
            ) from None


def run(experiment: Experiment, folder: Path, title: str, workers: int | None, device: str) -> dict[str, Any]:
    """Run the tests, showing how far they are, and write their results.

    Parameters
    ----------
    experiment
        What to do.
    folder
        Where everything goes.
    title
        Title of the page.
    workers
        Models that are trained side by side; None: one for each core.
    device
        Where models run.

    Returns
    -------
    dict
        The numbers of ``results.json``.
    """
    with waiting("Reading the texts and the classifier"), quiet():
        from normlens.faithfulness.four_tests.schedule import available_cores, run_cells
        from normlens.faithfulness.four_tests.written_run import write_run
    with quiet():
        try:
            place, outcomes = run_cells(
                experiment,
                folder / "cells",
                workers=workers or available_cores(),
                device=device,
                progress=not messages().quiet,
            )
        except KeyboardInterrupt:
            messages().print("Stopped. Trained models are kept; the same command goes on.", markup=False)
            raise
        with waiting("Writing the results"):
            return write_run(place, outcomes, folder, title)


def give(numbers: Mapping[str, Any], folder: Path, as_json: bool) -> None:
    """Print the answer.

    Parameters
    ----------
    numbers
        What :func:`run` returns.
    folder
        Where the results are.
    as_json
        Whether as JSON.
    """
    if as_json:
        text = (folder / "results.json").read_text(encoding="utf-8")
        typer.echo(json_text(json.loads(text)))
        return
    console = results()
    table = borderless()
    for heading, side in (("model", "left"), ("F1", "right"), ("JSD of α", "right"), ("TVD of predictions", "right")):
        table.add_column(heading, header_style="bold", justify=side)  # type: ignore[arg-type]
    learned, uniform = (numbers["classifiers"][name]["f1"] for name in ("learned", "uniform"))
    tested = numbers["experiment"]["classifier"]["trained"]
    table.add_row("the model itself" if tested else "learned attention", _range(learned), "", "")
    table.add_row("uniform attention", _range(uniform), "", "")
    seeds = [("other seeds", numbers["seeds"])] if numbers["seeds"] is not None else []
    for name, row in [*seeds, *_adversaries(numbers)]:
        table.add_row(name, _range(row["f1"]), _range(row["weight"]["jsd"]), _range(row["tvd"]))
    console.print(table)
    console.print(f"\n{_answer(numbers)}", markup=False, soft_wrap=True)
    for name, row in numbers["norms"].items():
        if line := _beside_weights(_EXPLANATIONS.get(name, name), row):
            console.print(line, markup=False, soft_wrap=True)
    console.print(
        f"\nEverything is in [bold]{escape(str(folder / 'results.md'))}[/bold] and the files beside it.", soft_wrap=True
    )


def _adversaries(numbers: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"adversary, λ = {row['strength']:g}", row) for row in numbers["adversaries"]]


def _answer(numbers: Mapping[str, Any]) -> str:
    """Whether an adversary moved attention, in one sentence."""
    verdict = numbers["verdict"]
    if verdict is None:
        return "No adversary was trained."
    f1 = "keeps F1" if verdict["keeps"] else "does not keep F1"
    moves = {True: "moves α beyond what seeds do", False: "does not move α beyond what seeds do"}.get(
        verdict["outside"], "moves α; how far α moves by chance is open without a start"
    )
    jsd = f"JSD {verdict['jsd']['value']:.3f}"
    return f"The adversary that was chosen on dev (λ = {verdict['strength']:g}) {f1} and {moves} ({jsd})."


def _beside_weights(name: str, row: Mapping[str, Any]) -> str:
    """What an explanation changes about the answer."""
    texts = []
    if "stability" in row:
        relative = _range(row["stability"]["relative"], signed=True)
        texts.append(f"between seeds, JSD relative to random order less that of α: {relative}")
    if "guidance" in row:
        texts.append(f"as a guide, F1 less that of α: {_range(row['guidance'], signed=True)}")
    if "detection" in row:
        texts.append(f"AUC of telling the adversary: {_range(row['detection']['explanation'])}")
    elif "moved" in row:
        texts.append(f"under the adversary, JSD less that of α: {_range(row['moved']['jsd'], signed=True)}")
    return f"{name}: {'; '.join(texts)}." if texts else ""


def _range(estimate: Mapping[str, float], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    value, low, high = (f"{estimate[end]:{sign}.3f}".replace("-", "−") for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _is_ours(path: Path) -> bool:
    return path.name in FILES or path.name == "cells" or path.name.startswith(".normlens-")


def _settings_in(folder: Path) -> Any:
    """The settings of the results in a folder; None if there are none."""
    try:
        return json.loads((folder / "results.json").read_text(encoding="utf-8"))["experiment"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
