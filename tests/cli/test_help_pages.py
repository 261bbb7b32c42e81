"""Help pages can be read in a terminal of 80 columns: no choice is broken, and values have names instead of types."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Any, get_args, get_type_hints

import pytest
from invocation import Run
from test_option_names import commands

PAGES = ["", "cluster", *(name for name, _ in commands())]


def choices(command: Any) -> Iterator[str]:
    """The values of all options of a command that take one of a closed set; scopes and measures have a test of their own."""
    for name, hint in get_type_hints(inspect.unwrap(command.callback)).items():
        kinds = [one for one in (hint, *get_args(hint)) if isinstance(one, type) and issubclass(one, StrEnum)]
        yield from (value for kind in kinds for value in kind if name not in ("scope", "measure"))


@pytest.fixture(params=[80, 100])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Columns of the terminal."""
    monkeypatch.setenv("TERMINAL_WIDTH", str(request.param))
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", request.param)
    return int(request.param)


@pytest.mark.parametrize("name", PAGES)
def test_a_help_page_fits_and_names_no_types(name: str, width: int, run: Run) -> None:
    page = run(*name.split(), "--help").stdout
    assert max(map(len, page.splitlines())) <= width
    assert not re.search(r"<\w+( range)?>", page)
    assert "--help" in page


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_no_choice_is_broken(name: str, command: Any, width: int, run: Run) -> None:
    words = re.findall(r"[\w-]+", run(*name.split(), "--help").stdout)
    assert [value for value in choices(command) if value not in words] == []


@pytest.mark.parametrize("name", ["align", "attribute", "report"])
def test_paragraphs_are_wrapped_by_the_terminal_alone(name: str, width: int, run: Run) -> None:
    """A line is broken only where its next word doesn't fit."""
    page = run(name, "--help").stdout
    prose = page.partition("Examples")[0].partition("Usage")[2].splitlines()[2:]
    for line, following in pairwise(prose):
        if line.strip() and following.strip():
            assert len(line.rstrip()) + 1 + len(following.split()[0]) >= width - 1


def test_every_choice_of_a_scope_and_a_measure_is_listed(run: Run) -> None:
    page = " ".join(run("analyze", "--help").stdout.replace("│", " ").split())
    assert "Scopes: attention, residual, layernorm, feedforward, feedforward_residual or block." in page
    page = " ".join(run("align", "--help").stdout.replace("│", " ").split())
    assert "Scopes: attention, residual or layernorm." in page and "Measures: norm or weight." in page
    page = " ".join(run("cluster", "heads", "--help").stdout.replace("│", " ").split())
    assert "Measures: norm, weight or displacement." in page


def test_align_has_fourteen_options_at_most_before_the_advanced_ones(run: Run) -> None:
    page = run("align", "--help").stdout
    first, _, advanced = page.partition(" Advanced ")
    options = re.compile(r"^│ +(--[a-z-]+)", re.M)
    assert "--measure" in options.findall(first) and "--balance" in options.findall(advanced)
    assert len(set(options.findall(first)) - {"--help"}) <= 14


@pytest.mark.parametrize("command", [["align", "a.de", "a.en"], ["corpus", "plan", "minilm-l6", "a.txt", "-o", "run"]])
def test_a_measure_that_a_command_does_not_take_is_refused(command: list[str], run: Run) -> None:
    refused = run(*command, "--measure", "displacement")
    assert refused.exit_code == 2 and "--measure is displacement; this command takes norm or weight." in refused.output
