"""When options have an effect: one table for all commands, so that no option is ignored silently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from normlens.cli.answer_requirements import ANSWERS, takes_no_answer
from normlens.cli.choices import ATTENTION_SCOPES
from normlens.cli.commands.named_methods import methods_asked
from normlens.cli.conditional_options import Requirement, Values
from normlens.cli.destinations import PICTURES
from normlens.cli.options import listed
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens.attribution import Method


def refuse_ignored(ctx: Any, **facts: Any) -> None:
    """Refuse an option on the command line that has no effect.

    Parameters
    ----------
    ctx
        Typer's context of a command.
    **facts
        Facts about the loaded model.

    Raises
    ------
    InvalidInput
        Naming the option, and the reason.
    """
    values = {**ctx.params, **facts}
    for requirement in REQUIREMENTS.get(command_name(ctx), ()):
        typed = getattr(ctx.get_parameter_source(requirement.option), "name", "") == "COMMANDLINE"
        ready = requirement.needs is None or requirement.needs in values
        if typed and ready and not requirement.holds(values):
            name = next(spelled(one) for one in ctx.command.params if one.name == requirement.option)
            raise InvalidInput(f"{name} has no effect here: {requirement.reason}")


def spelled(parameter: Any) -> str:
    """The name of a parameter on the command line: the long form of an option."""
    return str(max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.name.upper())


def command_name(ctx: Any) -> str:
    """The command of a context, such as "cluster heads"."""
    names = []
    while ctx.parent is not None:
        names.append(ctx.info_name)
        ctx = ctx.parent
    return " ".join(reversed(names))


def _shows(values: Values) -> bool:
    """Whether one layer is shown: on the terminal, or in a picture."""
    output = values["output"]
    return not values["as_json"] if output is None else str(output.suffix).lower() in PICTURES


def _pushes(values: Values) -> bool:
    """Whether contributions are followed through the feed-forward."""
    return values["scope"] not in ATTENTION_SCOPES


def _chooses_by_norm(values: Values) -> bool:
    """Whether norms choose the layer of an alignment."""
    rule = values["rule"] or ("combined" if values["setting"] == "awi" else "norm")
    return bool(values["layer"] is None and rule == "norm")


def _targets(values: Values, method: Method) -> bool:
    """Whether a method explains a target; an optional one must be named, or predicted by a head."""
    named = values["target"] is not None or values["against"] is not None
    return method.targets == "required" or (
        method.targets == "optional" and (named or bool(values.get("has_head", False)))
    )


def _only_for(kind: str, option: str) -> Requirement:
    """The requirement of an option that one kind of run over a corpus has."""
    return Requirement(option, lambda v: v["kind"] == kind, f"only --kind {kind} has it. Leave it out, or add that.")


def _overwrites(*files: str) -> Requirement:
    """The requirement of --overwrite: at least one of these files is written."""
    return Requirement(
        "overwrite",
        lambda v: any(v[file] is not None for file in files),
        f"no file is written. Leave it out, or add --{' or --'.join(files)}.",
    )


def _no_media(values: Values) -> bool:
    return not values["image"] and values["audio"] is None


def _any_target(values: Values) -> bool:
    return any(method.targets != "none" for method in methods_asked(values))


def _any_map(values: Values) -> bool:
    return not all(_targets(values, method) for method in methods_asked(values))


_SHOWN = (
    "it selects what a picture or the printed table shows; other formats hold everything. Leave it out, or write "
    f"{listed(PICTURES)}."
)
_MAP_ROW = (
    "it selects a row of a map, but a target is explained, and the result has one row. Leave it out, or use a method that "
    "returns a map, such as norm_rollout."
)
_NO_TARGET = (
    "{} returns a map and takes no target. Leave it out (--position and --row select the row), or use a method that "
    "explains a target, such as decompx."
)

_PAIR = Requirement(
    "text_pair",
    _no_media,
    "a pair of texts takes no image or sound. Leave out --text-pair, or --image and --audio.",
)

_BOTH_FILES = "--source-file and --target-file work together. Pass both."

_LOADED = ("model", "reverse_model", "dtype", "revision", "trust_remote_code", "lowercase", "source_prefix")
_FITTED = "--fit trains the models. Leave one of them out."
_NOT_FITTED = "no model is trained. Leave it out, or add --fit."

REQUIREMENTS: Mapping[str, tuple[Requirement, ...]] = {
    "analyze": (
        Requirement("layer", _shows, _SHOWN),
        Requirement(
            "layer",
            lambda v: v["output"] is not None or v["reduce"] not in ("categories", "sinks"),
            "this reduction keeps no sources of individual targets. Leave out --layer or --reduce.",
        ),
        Requirement("head", _shows, _SHOWN),
        Requirement(
            "generate",
            _no_media,
            "it continues a text, and --image or --audio is read. Leave it out, or pass the whole text.",
        ),
        Requirement(
            "measures",
            lambda v: v["output"] is not None or v["as_json"],
            "the printed tables show weights and norms. Leave it out, or add --output or --json.",
        ),
        Requirement("group", _shows, _SHOWN),
        Requirement("scope", lambda v: _shows(v) or _pushes(v), _SHOWN),
        Requirement(
            "product",
            _pushes,
            "it splits products in feed-forwards, but --scope ends before them. Leave it out, or use --scope feedforward, "
            "feedforward_residual or block.",
        ),
        _overwrites("output"),
    ),
    "attribute": (
        *takes_no_answer("target", "against", "position", "row", "layer", "target_text"),
        *ANSWERS,
        _PAIR,
        Requirement("target", _any_target, _NO_TARGET.format("the method")),
        Requirement("against", _any_target, _NO_TARGET.format("the method")),
        Requirement("row", _any_map, _MAP_ROW),
        Requirement("row", _any_map, _MAP_ROW, needs="has_head"),
        Requirement(
            "position",
            lambda v: v["row"] is None,
            "--row already selects the row. Leave one of them out.",
        ),
        Requirement(
            "layer",
            lambda v: all("layers" in method.options for method in methods_asked(v)),
            "the method has no maps of single layers. Leave it out.",
        ),
        Requirement(
            "scope",
            lambda v: all(method.scopes for method in methods_asked(v)),
            "the method has no scopes. Leave it out, or use norm_rollout.",
        ),
        _overwrites("output"),
    ),
    "compare": (
        _PAIR,
        Requirement("target", _any_target, _NO_TARGET.format("each of these methods")),
        Requirement("against", _any_target, _NO_TARGET.format("each of these methods")),
        Requirement("row", _any_map, _MAP_ROW),
        Requirement("row", _any_map, _MAP_ROW, needs="has_head"),
        Requirement(
            "position",
            lambda v: v["row"] is None or _any_target(v),
            "--row already selects the rows, and no method explains a target. Leave one of them out.",
        ),
        _overwrites("output"),
    ),
    "align": (
        *(Requirement(name, lambda v: v["fit"] is None, _FITTED) for name in _LOADED),
        *(Requirement(name, lambda v: v["fit"] is not None, _NOT_FITTED) for name in ("guide", "more_text", "recipe")),
        Requirement(
            "rule",
            lambda v: v["layer"] is None,
            "it chooses a layer, but --layer names one. Leave one of them out.",
        ),
        Requirement(
            "awo_layer",
            lambda v: v["setting"] == "both",
            "AWO has a layer of its own only with --setting both. Leave it out, or use --layer.",
        ),
        Requirement(
            "awo_layer",
            lambda v: v["layer"] is not None,
            "--layer is missing, so both layers are chosen by --rule. Leave it out, or add --layer.",
        ),
        Requirement(
            "scope",
            lambda v: v["measure"] == "norm" or _chooses_by_norm(v),
            "it applies to norms, but weights are measured. Leave it out, or use --measure norm.",
        ),
        _overwrites("output", "view"),
    ),
    "translation evaluate": (_overwrites("output"),),
    "transfer translate": (_overwrites("output"),),
    "transfer evaluate": (
        Requirement(
            "source_child",
            lambda v: not v["parent_pair"],
            "the parent's own languages are scored. Leave it out, or leave out --parent-pair.",
        ),
        _overwrites("output"),
    ),
    "corpus plan": (
        *(_only_for("analyze", name) for name in ("scope", "reduce", "group", "frequency", "no_frequency")),
        Requirement("no_frequency", lambda v: v["frequency"] is None, "--frequency gives them. Leave one of them out."),
        *(_only_for("attribute", name) for name in ("method", "target")),
        *(_only_for("align", name) for name in ("layer", "measure", "reverse_model")),
        Requirement(
            "truncate", lambda v: v["kind"] != "align", "a pair that is too long is left out. Leave it out, too."
        ),
        Requirement(
            "product",
            lambda v: v["kind"] == "attribute" or (v["kind"] == "analyze" and v["scope"] not in ATTENTION_SCOPES),
            "it splits products in feed-forwards, but --scope ends before them. Leave it out, or use --scope feedforward, "
            "feedforward_residual or block.",
        ),
    ),
    "heads": (_overwrites("output"),),
    "cluster points": (_overwrites("output", "figure"),),
    "cluster heads": (_overwrites("output", "figure"),),
    "aer": (
        Requirement("source_file", lambda v: v["target_file"] is not None, _BOTH_FILES),
        Requirement("target_file", lambda v: v["source_file"] is not None, _BOTH_FILES),
    ),
    "four-tests": (
        Requirement(
            "workers",
            lambda v: v["device"] in (None, "cpu"),
            "models are trained one after the other on another device than the processor. Leave it out.",
        ),
    ),
    "negation": (
        Requirement("limit", lambda v: v["text"] is None, "--text is one sentence. Leave out --limit."),
        Requirement(
            "skip_bad",
            lambda v: v["text"] is None,
            "--text is one sentence, and nothing would be left. Leave out --skip-bad.",
        ),
        _overwrites("output"),
    ),
    "evict": (
        *(
            Requirement(name, lambda v: v["mask"] is None, "--mask says what stays. Leave one of them out.")
            for name in ("keep", "score", "budget")
        ),
        Requirement(
            "seed",
            lambda v: v["mask"] is None and "random" in [name.strip() for name in v["score"].split(",")],
            "nothing is random. Leave it out, or add the score random.",
        ),
    ),
    "topk": (
        Requirement(
            "seed",
            lambda v: v["by"] == "random",
            "nothing is random. Leave it out, or use --by random.",
        ),
    ),
}
"""Requirements by command; an option that isn't listed always has an effect."""
