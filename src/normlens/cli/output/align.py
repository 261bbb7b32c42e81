"""What ``normlens align`` does: open models, choose layers, align a text and write it, saying how fast it goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from normlens.cli.opening import open_lens, quiet
from normlens.cli.outputs import check_ending, check_files
from normlens.cli.terminal import messages, printable, waiting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens.alignment import Aligner, Alignment, Extractor, Line, Reading
    from normlens.loading.outline import Outline

_MOST_SKIPPED = 20  # lines that are named on standard error
_MOST_SHOWN = 100  # pairs on a page
_JOINT = "grow-diag"


@dataclass(frozen=True)
class Texts:
    """A parallel text and what tells it from others.

    Attributes
    ----------
    lines
        Its lines; read once if they come from standard input.
    number
        How many there are; None if that isn't known.
    fingerprint
        Names and checksums of its files.
    """

    lines: Iterable[Line]
    number: int | None = None
    fingerprint: Sequence[str] = ()

    @classmethod
    def opened(cls, source: Path, target: Path | None, tokenize: str | None = None) -> Texts:
        """Two files, one file with both sides, or ("-") standard input; cut into words where languages are given.

        Raises
        ------
        InvalidInput
            If they can't be read, or differ in length.
        """
        from normlens.alignment import ParallelFiles, Tokenized, joined_stream

        if str(source) == "-":
            if target is not None:
                raise InvalidInput(
                    "Standard input was given as the source beside a target file; expected it to hold both."
                )
            lines = joined_stream(sys.stdin.buffer)
            return cls(lines if tokenize is None else Tokenized(lines, tokenize))
        files = ParallelFiles(source, target)
        return cls(files if tokenize is None else Tokenized(files, tokenize), len(files), files.fingerprint())


@dataclass(frozen=True)
class Models:
    """One translation model, or two of opposite directions, ready to be read."""

    forward: Extractor
    reverse: Extractor | None

    @classmethod
    def opened(
        cls,
        model: str | None,
        reverse_model: str | None,
        opening: Mapping[str, Any],
        languages: tuple[str | None, str | None],
        source_prefix: str,
        reading: Mapping[str, Any],
        readings: Sequence[Reading],
    ) -> Models:
        """Load the models; without a name, those that come with the package.

        Parameters
        ----------
        model, reverse_model
            Names, folders or hub ids.
        opening
            Options of :func:`normlens.load`.
        languages
            Of source and target, for models of many languages.
        source_prefix
            For the forward model.
        reading
            Further options of :class:`normlens.alignment.Extractor`.
        readings
            What is to be read.

        Raises
        ------
        InvalidInput
            If none is named and none comes with the package, or a model can't be read.
        """
        from normlens.alignment import DEFAULT_MODEL, DEFAULT_REVERSE_MODEL, Extractor, check_translator, set_languages

        if model is None and DEFAULT_MODEL is not None:
            model, reverse_model = DEFAULT_MODEL, reverse_model or DEFAULT_REVERSE_MODEL
            also = "" if reverse_model is None else f" and {reverse_model}"
            messages().print(f"No model was named: reading {model}{also}, German and English.", markup=False)
        if model is None:
            raise InvalidInput(
                "No model was named, and none comes with this installation. Name a translation model for the two "
                "languages: --model Helsinki-NLP/opus-mt-de-en, say, or a folder."
            )
        source, target = languages

        def extractor(name: str, source: str | None, target: str | None, prefix: str) -> Extractor:
            def check(outline: Outline) -> None:
                check_translator(getattr(outline.model_class, "__name__", name), outline.config)
                for part in readings:
                    outline.check_view("cross", part.layer, part.head)
                if outline.tokenizer is not None:
                    set_languages(outline.tokenizer, source, target)

            lens = open_lens(name, check=check, **opening)
            with quiet():
                return Extractor(lens, source_language=source, target_language=target, source_prefix=prefix, **reading)

        forward = extractor(model, source, target, source_prefix)
        return cls(forward, None if reverse_model is None else extractor(reverse_model, target, source, ""))

    @property
    def fingerprints(self) -> list[str]:
        """What tells these models from others."""
        return [one.fingerprint for one in (self.forward, self.reverse) if one is not None]

    def way(self, asked: str | None) -> str | None:
        """How directions are made one: as asked for, or grow-diag where there are two."""
        return asked if asked is not None or self.reverse is None else _JOINT

    def readings(
        self, reading: Reading, lines: Iterable[Line], rule: str | None, *, choose: bool
    ) -> tuple[list[Reading], Iterable[Line]]:
        """What is read of each model, as given or in the layer that a rule chooses (None: the default), and the text."""
        if not choose:
            return [reading, reading], lines
        from normlens.alignment import with_layers

        with waiting("Choosing the layer"), quiet():
            choices, again = with_layers(iter(lines), self.forward, reading, self.reverse, rule)
        named = " and ".join(choice.reading.layers for choice in choices)
        messages().print(f"Layer {named}, by the rule {choices[0].rule}", markup=False)
        return [choices[0].reading, choices[-1].reading], again


@dataclass
class Result:
    """Where alignments go, and what is noted of them on the way.

    Attributes
    ----------
    output
        A file; standard output if None.
    form, base
        A name of :data:`normlens.alignment.FORMATS`, and the number of the first word.
    view
        A page with the first pairs.
    """

    output: Path | None
    form: str
    base: int
    view: Path | None
    skipped: int = 0
    aligned: int = 0
    shown: list[Alignment] = field(default_factory=list)

    def check(
        self, settings: Mapping[str, Any], reads: Iterable[Path | str | None], *, resumable: bool, overwrite: bool
    ) -> None:
        """Refuse files that can't be written, before anything is computed.

        Parameters
        ----------
        settings
            What is settled already of all that the result depends on.
        reads, overwrite
            As for :func:`normlens.cli.outputs.check_files`.
        resumable
            Whether the text can be read again.

        Raises
        ------
        NormLensError
            If one can't or mustn't be written, a finished result is there already, or one that was begun with other
            `settings`.
        """
        from normlens.alignment import ResumableFile

        check_ending(self.view, (".html",))
        if self.output is None:
            check_files(self.view, reads=reads, overwrite=overwrite)
            return
        begun = [self.output, ResumableFile.note_of(self.output)]
        check_files(self.view, reads=reads, overwrite=overwrite, resumable=begun)
        ResumableFile(self.output, resumable=resumable, overwrite=overwrite).check(settings)

    def draw(self) -> None:
        """Write the page with the first pairs, if it was asked for."""
        if self.view is None:
            return
        from normlens.alignment import write_links_page

        write_links_page(self.shown, self.view)
        messages().print(f"Wrote {self.view}", markup=False, soft_wrap=True)

    def write(self, alignments: Iterable[Alignment], file: IO[bytes], progress: Progress) -> None:
        """Write alignments as they come, each line at once."""
        from normlens.alignment import FORMATS

        for alignment in alignments:
            file.write(FORMATS[self.form](alignment, self.base).encode("utf-8", "replace") + b"\n")
            progress.advance(progress.task_ids[0])
            self.aligned += 1
            if alignment.skipped is not None:
                self._skip(alignment)
            elif self.view is not None and len(self.shown) < _MOST_SHOWN:
                self.shown.append(alignment)
        file.flush()

    def _skip(self, alignment: Alignment) -> None:
        self.skipped += 1
        if self.skipped <= _MOST_SKIPPED:
            reason = printable(str(alignment.skipped))
            messages().print(f"line {alignment.line} skipped: {reason}", markup=False, soft_wrap=True)

    def tell(self, seconds: float) -> None:
        """Say how much was done, how fast, and what was left out."""
        rate = self.aligned / seconds if seconds > 0 else 0
        left_out = f", {self.skipped} of them skipped (empty lines in the result)" if self.skipped else ""
        where = "" if self.output is None else f"; wrote {self.output}"
        text = f"Aligned {self.aligned} lines in {seconds:.1f} s, {rate:.0f} a second{left_out}{where}"
        messages().print(text, markup=False, soft_wrap=True)


def write(aligner: Aligner, lines: Iterable[Line], texts: Texts, result: Result, settings: Mapping[str, Any],
          overwrite: bool) -> None:  # fmt: skip
    """Align a text and write the result, going on where an earlier run stopped.

    Parameters
    ----------
    aligner
        What aligns.
    lines, texts
        The text.
    result
        Where it goes.
    settings
        Everything that the result depends on.
    overwrite
        Whether to start anew.

    Raises
    ------
    NormLensError
        If the file can't be written, or was begun with other settings.
    """
    from normlens.alignment import skip

    with _opened(result.output, texts, settings, overwrite) as (done, file):
        if done:
            messages().print(f"Going on behind line {done}", markup=False)
        start = time.perf_counter()
        with _counting(texts.number, done) as progress, quiet():
            result.write(aligner.align(skip(lines, done)), file, progress)
        result.tell(time.perf_counter() - start)
    result.draw()


@contextmanager
def _opened(
    output: Path | None, texts: Texts, settings: Mapping[str, Any], overwrite: bool
) -> Iterator[tuple[int, IO[bytes]]]:
    if output is None:
        sys.stdout.flush()
        yield 0, sys.stdout.buffer
        return
    from normlens.alignment import ResumableFile

    file = ResumableFile(output, resumable=texts.number is not None, overwrite=overwrite)
    with file.opened(settings, texts.number) as opened:
        yield opened


class _Rate(ProgressColumn):
    """Sentence pairs a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.0f} a second", style="progress.data.speed")


@contextmanager
def _counting(total: int | None, done: int) -> Iterator[Progress]:
    """A progress bar with the rate on standard error; where that is no terminal, one line."""
    console = messages()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    if not console.is_terminal:
        console.print(f"Aligning{'' if total is None else f' {total} lines'}", soft_wrap=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task("Aligning", total=total, completed=done)
        yield progress
