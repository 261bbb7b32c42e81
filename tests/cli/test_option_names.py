"""One option, one meaning: a name has the same short form, type and meaning in every command that takes it.

With ``NORMLENS_WRITE_TABLES=1`` the table of commands and options is written to ``docs/tables/options.md``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from typer.main import get_command

from normlens.cli import app, language_pairs
from normlens.cli import options as shared
from normlens.cli.commands import cluster as cluster

TABLE = Path(__file__).parents[2] / "docs" / "tables" / "options.md"


@dataclass(frozen=True)
class Option:
    """An option of one command: its long name, all its forms, the type of its value, and the first sentence of its help."""

    command: str
    name: str
    forms: tuple[str, ...]
    kind: str
    meaning: str


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by name, those of groups as "cluster points"."""
    for name, command in get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        yield from [(name, command)] if inner is None else ((f"{name} {k}", one) for k, one in inner.items())


def options() -> list[Option]:
    """Every option of every command but --help."""
    return [
        Option(
            name,
            max(one.opts, key=len),
            tuple(one.opts),
            kind_of(command, one.name),
            one.help.split(". ")[0].rstrip("."),
        )
        for name, command in commands()
        for one in command.params
        if one.param_type_name == "option" and one.name != "help"
    ]


def first_sentence(help_text: str) -> str:
    """What an option means; defaults and formats follow in further sentences."""
    return help_text.split(". ")[0].rstrip(".")


def hint_of(command: Any, name: str) -> Any:
    """The annotation of a parameter."""
    return get_type_hints(inspect.unwrap(command.callback), include_extras=True)[name]


def infos(hint: Any) -> tuple[Any, ...]:
    """What an annotation says of an option beside its type."""
    return getattr(hint, "__metadata__", ())


def kind_of(command: Any, name: str) -> str:
    """The type of a parameter, without None."""
    hint = get_args(hint_of(command, name))[0]
    return " | ".join(str(one) for one in get_args(hint) or (hint,) if one is not NoneType)


def table() -> str:
    """Commands across, options down: the most shared first, then those of one command after those of another."""
    every, names = options(), [name for name, _ in commands()]
    forms = {one.name: ", ".join(f"`{form}`" for form in sorted(one.forms, key=len)) for one in every}
    takes = {name: {one.command for one in every if one.name == name} for name in forms}
    rows = [["option", *(f"`{name}`".replace(" ", "`<br>`") for name in names)], ["---", *[":-:"] * len(names)]]
    order = {name: min(names.index(command) for command in takes[name]) for name in forms}
    for name in sorted(forms, key=lambda name: (-len(takes[name]), order[name], name)):
        rows.append([forms[name], *("●" if command in takes[name] else "" for command in names)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def differing(attribute: str) -> dict[str, set[Any]]:
    """Options whose commands disagree on an attribute, with its values."""
    values: dict[str, set[Any]] = {}
    for one in options():
        values.setdefault(one.name, set()).add(getattr(one, attribute))
    return {name: several for name, several in values.items() if len(several) > 1}


def test_an_option_has_the_same_short_form_in_every_command() -> None:
    assert differing("forms") == {}
    shorts = {(form, one.name) for one in options() for form in one.forms if form != one.name}
    assert len({form for form, _ in shorts}) == len(shorts), "one short form stands for two options"


def test_an_option_means_the_same_in_every_command() -> None:
    assert differing("meaning") == {}


def test_an_option_takes_values_of_one_type() -> None:
    assert differing("kind") == {}


def test_an_option_of_several_commands_is_defined_in_one_place() -> None:
    modules = (shared, language_pairs, cluster)
    homes = {id(info): module for module in modules for alias in vars(module).values() for info in infos(alias)}
    for name in {one.name for one in options()}:
        takers = [(command, one.name) for _, command in commands() for one in command.params if name in one.opts]
        places = {homes.get(id(infos(hint_of(command, parameter))[0])) for command, parameter in takers}
        assert len(takers) == 1 or places in ({shared}, {language_pairs}, {cluster}), name


def test_the_table_in_the_docs_is_that_of_the_code() -> None:
    if os.environ.get("NORMLENS_WRITE_TABLES") == "1":
        TABLE.write_text(table(), encoding="utf-8")
    assert TABLE.read_text(encoding="utf-8") == table(), "run `make tables`"
