"""``normlens demo``: the bundled sentences through both bundled models."""

from __future__ import annotations

from importlib.resources import as_file
from pathlib import Path
from typing import TYPE_CHECKING

from normlens.cli.destinations import check_files, check_folder
from normlens.cli.opening import open_lens, quiet
from normlens.cli.options import Overwrite, ReportFolder, SampleLimit
from normlens.cli.output.demonstration import DemoModel, introduce, point_to, show
from normlens.cli.terminal import messages, waiting
from normlens.loading.sentences import SENTENCES

if TYPE_CHECKING:
    from normlens.statistics.report import Estimates

_SHOWN_TEXT = "The capital of France is Paris, and the capital of Germany is Berlin."

DEMO_MODELS = (
    DemoModel("minilm-l6", "an encoder (BERT, 6 layers)", "special", "the special tokens [CLS] and [SEP]"),
    DemoModel("smollm2-135m", "a decoder (Llama, 30 layers)", "first token", "the first token of the sentence"),
)


def demo(
    output: ReportFolder = Path("demo-report"),
    limit: SampleLimit = 100,
    overwrite: Overwrite = False,
) -> None:
    """Show in a minute how attention weights differ from what attention moves.

    Analyzes bundled sentences from news and Wikipedia with two real models, prints what weights and norms say, and writes
    an illustrated report for each model.

    [bold]Examples[/bold]

    - [cyan]normlens demo[/cyan]

    - [cyan]normlens demo --limit 20 -o my-demo[/cyan]
    """
    reports = [output / demo_model.model for demo_model in DEMO_MODELS]
    pages = [output / f"{demo_model.model}-sentence.html" for demo_model in DEMO_MODELS]
    for report in reports:
        check_folder(report, overwrite=overwrite)
    if output.is_dir():
        check_files(*pages, overwrite=overwrite)
    introduce(limit)
    for demo_model, report, page in zip(DEMO_MODELS, reports, pages, strict=True):
        show(demo_model, _measured(demo_model, limit, report, page, overwrite))
    point_to([report / "report.html" for report in reports], pages)


def _measured(demo_model: DemoModel, limit: int, report: Path, page: Path, overwrite: bool) -> Estimates:
    """Measure the sentences with one model, and write its report and the page about one sentence."""
    lens = open_lens(demo_model.model)
    from normlens.cli.report_runs import ReportRun

    with (
        as_file(SENTENCES) as file,
        ReportRun.planned(lens, demo_model.model, file, report, limit=limit, overwrite=overwrite) as run,
    ):
        run.compute()
        written = run.write(f"What attention moves in {demo_model.model}", f"{limit} sentences, UD English PUD")
    with waiting("Drawing one sentence"), quiet():
        lens.analyze(_SHOWN_TEXT).to_html(page)
    messages().print(f"Analyzed {limit} sentences with {demo_model.model}", style="dim")
    return next(iter(written.numbers.values()))
