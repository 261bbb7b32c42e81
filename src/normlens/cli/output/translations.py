"""``normlens translation evaluate`` and ``normlens transfer``: the test set, progress, and the scores on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from normlens.cli.destinations import check_files
from normlens.cli.opening import quiet
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import counted, counting, messages, results, waiting
from normlens.errors import InvalidInput
from normlens.files.atomic import write_atomically

if TYPE_CHECKING:
    from normlens.translation import TranslatedText
    from normlens.translation.translator import Translator


def check(output: Path | None, reads: Iterable[Path | str | None], *, overwrite: bool) -> None:
    """Refuse a file that can't be written, before anything is computed."""
    check_files(output, reads=reads, overwrite=overwrite)


def read(source: Path, target: Path | None) -> tuple[list[str], list[str]]:
    """The sentences and references of a test set.

    Raises
    ------
    InvalidInput
        If it can't be read, or a line lacks a side.
    """
    from normlens.bitext.corpora import ParallelFiles

    if str(source) == "-":
        raise InvalidInput("Standard input can be read only once. Pass a file.")
    lines = list(ParallelFiles(source, target))
    for line in lines:
        if line.problem is not None:
            raise InvalidInput(f"{source}, line {line.number}: {line.problem}. Correct or remove it.")
    return [line.source for line in lines], [line.target for line in lines]


def evaluated(model: str, texts: tuple[list[str], list[str]], **options: Any) -> TranslatedText:
    """Translate and score a test set, showing how far it is."""
    with waiting(f"Loading {model}"), quiet():
        from normlens.translation import evaluate
    with _translating(texts[0]) as advance:
        return evaluate(model, *texts, progress=advance, **options)


def translated(translator: Translator, sentences: list[str], **options: Any) -> tuple[list[str], int]:
    """Translate sentences, showing how far it is; also the number of those that were cut."""
    with _translating(sentences) as advance:
        return translator.translate(sentences, progress=advance, **options)


def scored(translator: Translator, texts: tuple[list[str], list[str]], **options: Any) -> TranslatedText:
    """Translate and score a test set by a translator, showing how far it is."""
    with _translating(texts[0]) as advance:
        return translator.evaluate(*texts, progress=advance, **options)


@contextmanager
def _translating(sentences: list[str]) -> Iterator[Callable[[int], None]]:
    with quiet(), counting("Translating", len(sentences)) as progress:
        yield lambda number: progress.advance(progress.task_ids[0], number)


def report_truncated(truncated: int) -> None:
    """Say how many sentences were too long for the model."""
    if truncated:
        cut = counted(truncated, "sentence")
        messages().print(f"{cut} too long for the model; the end was cut off.", markup=False, soft_wrap=True)


def give(result: TranslatedText, output: Path | None, as_json: bool) -> None:
    """Write the translations, and print the scores with their signatures."""
    if output is not None:
        write_atomically(output, "".join(f"{text}\n" for text in result.translations))
        messages().print(f"Wrote {output}", markup=False, soft_wrap=True)
    report_truncated(result.truncated)
    scores = result.scores
    if as_json:
        typer.echo(json_text({**scores.as_data(), "truncated": result.truncated}))
        return
    for name, value, signature in (
        ("BLEU", scores.bleu, scores.bleu_signature),
        ("chrF", scores.chrf, scores.chrf_signature),
    ):
        results().print(f"{name} {value:.1f}  {signature}", markup=False, soft_wrap=True)
