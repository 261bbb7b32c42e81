"""The application: its commands, and what happens when one of them fails."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer

from normlens.cli.checked_command import CheckedCommand
from normlens.cli.commands.aer import aer
from normlens.cli.commands.align import align
from normlens.cli.commands.analyze import analyze
from normlens.cli.commands.attribute import attribute
from normlens.cli.commands.cluster import cluster
from normlens.cli.commands.compare import compare
from normlens.cli.commands.corpus_runs import corpus
from normlens.cli.commands.demo import demo
from normlens.cli.commands.evict import evict
from normlens.cli.commands.four_tests import four_tests
from normlens.cli.commands.heads import heads
from normlens.cli.commands.methods import methods
from normlens.cli.commands.models import models
from normlens.cli.commands.negation import negation
from normlens.cli.commands.report import report
from normlens.cli.commands.topk import topk
from normlens.cli.commands.transfer import transfer
from normlens.cli.commands.translation import translation
from normlens.cli.commands.view import view
from normlens.cli.help_pages import DescribedGroup
from normlens.cli.terminal import show_error
from normlens.errors import NormLensError
from normlens.loading.tokenizer_failures import library_explained

BAD_INPUT = 2
"""Exit code of everything that the library refuses, the same as for a wrong option."""


class Commands(DescribedGroup):
    """The commands; when the library refuses the input of one, it ends with one message and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command.

        Parameters
        ----------
        ctx
            Typer's context of this call.

        Returns
        -------
        Any
            What the command returns.

        Raises
        ------
        typer.Exit
            With code 2 after a :class:`NormLensError`.
        """
        try:
            result = _invoked(super().invoke, ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
            return result
        except NormLensError as error:
            show_error(str(error))
            raise typer.Exit(BAD_INPUT) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            _show_refusal(error)
            raise typer.Exit(BAD_INPUT) from None


def _show_refusal(error: OSError) -> None:
    """Print what the operating system refused: access to a file or, if the error names none, writing the output."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        show_error(f"{error.filename} can't be used: {reason}. Check the path and its permissions.")
        return
    show_error(f"The results could not be written: {reason}. The output is incomplete.")
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard what is still buffered


def _invoked(invoke: Callable[[Any], Any], ctx: Any) -> Any:
    """What a command returns; failures of tokenizers and running out of memory are reported as such."""
    try:
        with library_explained("this model"):
            return invoke(ctx)
    except (MemoryError, RuntimeError):
        from normlens.memory import memory_explained

        with memory_explained():
            raise


app = typer.Typer(
    cls=Commands,
    name="normlens",
    help="See what attention really moves: attention weights beside the vectors that they mix.",
    epilog="Start with: [bold]normlens demo[/bold]",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=CheckedCommand)(analyze)
app.command(cls=CheckedCommand)(view)
app.command(cls=CheckedCommand)(attribute)
app.command(cls=CheckedCommand)(compare)
app.command(cls=CheckedCommand)(report)
app.command(cls=CheckedCommand)(heads)
app.command(cls=CheckedCommand)(align)
app.command(cls=CheckedCommand)(aer)
app.add_typer(translation)
app.add_typer(transfer)
app.add_typer(corpus)
app.command("four-tests", cls=CheckedCommand)(four_tests)
app.add_typer(cluster)
app.command(cls=CheckedCommand)(topk)
app.command(cls=CheckedCommand)(evict)
app.command(cls=CheckedCommand)(negation)
app.command(cls=CheckedCommand)(models)
app.command(cls=CheckedCommand)(methods)
app.command(cls=CheckedCommand)(demo)


def _show_version(version: bool) -> None:
    if version:
        from normlens import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See what attention really moves: attention weights beside the vectors that they mix."""


def _leave(number: int, _: object) -> None:
    """End as Ctrl-C does, after removing temporary files; a second signal ends at once."""
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command line. Exit codes: 0 for success, 2 for bad input, 130 after Ctrl-C, 143 after SIGTERM."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, _leave)
    # Threads of torch that wait actively would take cores from those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal shows what it can't encode as "?"
    app()
