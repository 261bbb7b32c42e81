"""``normlens demo``: the bundled sentences through both bundled models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from normlens.cli.destinations import check_files, check_folder
from normlens.cli.opening import open_lens, quiet
from normlens.cli.options import Overwrite, ReportFolder, SampleLimit
from normlens.cli.terminal import NORM, WEIGHT, bar, messages, percent, results, waiting
from normlens.loading.sentences import sentences as bundled_sentences

if TYPE_CHECKING:
    from normlens.statistics.report import Estimates

_INTRODUCTION = f"""\
[bold]What attention weights say, and what attention moves[/bold]
A [bold {WEIGHT}]weight[/] is the share of a vector that is mixed in, a [bold {NORM}]norm[/] the length of what arrives.
{{}} sentences of news and Wikipedia (Universal Dependencies English PUD, CC BY-SA 3.0)
"""
_BAR_WIDTH = 24
_SHOWN_TEXT = "The capital of France is Paris, and the capital of Germany is Berlin."


@dataclass(frozen=True)
class DemoModel:
    """A model of the demonstration, and the sources whose share it shows.

    Attributes
    ----------
    model
        Bundled name.
    about
        What kind of model it is.
    category
        Category of source that is asked about.
    sources
        The same in words.
    """

    model: str
    about: str
    category: str
    sources: str


DEMO_MODELS = (
    DemoModel("minilm-l6", "an encoder (BERT, 6 layers)", "special", "the special tokens [CLS] and [SEP]"),
    DemoModel("smollm2-135m", "a decoder (Llama, 30 layers)", "first token", "the first token of the sentence"),
)


def demo(
    output: ReportFolder = Path("demo-report"),
    limit: SampleLimit = 100,
    overwrite: Overwrite = False,
) -> None:
    """Show in a minute that attention weights and what attention moves are different things.

    Analyzes bundled sentences from news and Wikipedia with two real models, prints what weights and norms say, and writes
    an illustrated report for each.

    [bold]Examples[/bold]

    - [cyan]normlens demo[/cyan]

    - [cyan]normlens demo --limit 20 -o my-demo[/cyan]
    """
    for demo_model in DEMO_MODELS:
        check_folder(output / demo_model.model, overwrite=overwrite)
    if output.is_dir():
        check_files(*(_view(output, demo_model) for demo_model in DEMO_MODELS), overwrite=overwrite)
    texts = bundled_sentences()[:limit]
    console = results()
    console.print(_INTRODUCTION.format(len(texts)), soft_wrap=True)
    for demo_model in DEMO_MODELS:
        numbers = _asked(demo_model, texts, output)
        _answer(console, demo_model, numbers)
    console.print("[bold]Look at it[/] in a browser:")
    for demo_model in DEMO_MODELS:
        console.print(f"  {escape(str(output / demo_model.model / 'report.html'))}", soft_wrap=True)
    for demo_model in DEMO_MODELS:
        console.print(f"  {escape(str(_view(output, demo_model)))}   one sentence, token by token", soft_wrap=True)


def _asked(demo_model: DemoModel, texts: list[str], output: Path) -> Estimates:
    """Measure the sentences with one model, and write its report and the view of one sentence."""
    lens = open_lens(demo_model.model)
    from normlens.cli.output.corpus_report import measured, written

    title = f"What attention moves in {demo_model.model}"
    about = f"{len(texts)} sentences, UD English PUD"
    numbers = written(measured(lens, texts), output / demo_model.model, title, corpus=about)
    with waiting("Drawing one sentence"), quiet():
        lens.analyze(_SHOWN_TEXT).to_html(_view(output, demo_model))
    messages().print(f"Analyzed {len(texts)} sentences with {demo_model.model}", style="dim")
    return next(iter(numbers.values()))


def _view(output: Path, demo_model: DemoModel) -> Path:
    return output / f"{demo_model.model}-sentence.html"


def _answer(console: Console, demo_model: DemoModel, numbers: Estimates) -> None:
    """Print the answer in a sentence, then layer by layer."""
    weight, norm = _share(numbers, demo_model, "weight"), _share(numbers, demo_model, "norm")
    console.print(f"[bold]{demo_model.model}[/], {demo_model.about}")
    console.print(
        Text.assemble(
            "How much comes from ", demo_model.sources, "?\nWeights say ", (percent(weight), f"bold {WEIGHT}"),
            ", norms say ", (percent(norm), f"bold {NORM}"), ".",
        )
    )  # fmt: skip
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("layer", justify="right")
    table.add_column("attention weights say", header_style=WEIGHT, min_width=_BAR_WIDTH + 7)
    table.add_column("attention moves (norm)", header_style=NORM, min_width=_BAR_WIDTH + 7)
    for layer in numbers.layers:
        shares = {measure: _share(numbers, demo_model, measure, layer) for measure in ("weight", "norm")}
        table.add_row(str(layer), *(bar(share, measure, _BAR_WIDTH) for measure, share in shares.items()))
    console.print(table)
    console.print()


def _share(numbers: Estimates, demo_model: DemoModel, measure: str, layer: int | None = None) -> float:
    """Share of one measure that goes to the sources that were asked about."""
    found = numbers.get("weight_share" if measure == "weight" else numbers.norm_share, demo_model.category, layer)
    return float("nan") if found is None else found.value
