"""Every option of every command has an effect, or is refused in one sentence before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from invocation import Run
from typer.main import get_command

import normlens
from normlens.cli import app
from normlens.cli.requirements import REQUIREMENTS
from normlens.errors import InvalidInput

ALWAYS = {
    "analyze": "model text file image audio target_text words reduce chunk_size output as_json device dtype revision "
    "trust_remote_code",
    "attribute": "model text method option answer output as_json task device dtype revision trust_remote_code",
    "compare": "model text file image audio methods target_text output as_json task device dtype revision trust_remote_code",
    "report": "model file output overwrite limit truncate skip_bad frequency batch_size group as_json device dtype revision "
    "trust_remote_code",
    "heads": "model file sources output limit truncate skip_bad group batch_size as_json device dtype revision "
    "trust_remote_code",
    "align": "source_file target_file fit measure setting layer head symmetrize threshold balance output "
    "form base view tokenize source_language target_language batch_size device",
    "aer": "gold hypothesis other gold_base hyp_base as_json",
    "translation train": "source_file target_file out both guide more_text tokenize exclude held_out source_language "
    "target_language lowercase recipe device",
    "transfer train": "parent source_file target_file out trained more_text tokenize exclude held_out source_language "
    "target_language lowercase recipe device",
    "transfer merge": "parent delta folder",
    "transfer translate": "parent delta file source_child beams output batch_size device",
    "transfer evaluate": "parent delta source_file target_file parent_pair tokenized beams output as_json batch_size device",
    "translation evaluate": "model source_file target_file tokenized beams output as_json batch_size device",
    "corpus plan": "model files output kind limit text_column target_column document_column second_file shard_rows "
    "batch_tokens threads as_json device dtype revision trust_remote_code",
    "corpus run": "folder workers shard_index ray retry as_json",
    "corpus status": "folder as_json",
    "corpus finalize": "folder",
    "corpus export": "folder destination",
    "cluster points": "file metric alpha gamma delta seed output figure as_json",
    "cluster heads": "model file measure alpha gamma delta seed limit truncate skip_bad group output figure as_json "
    "batch_size device dtype revision trust_remote_code",
    "four-tests": "config output overwrite as_json device",
    "negation": "model file text cue output as_json device dtype revision trust_remote_code",
    "topk": "model file k by full_denominator tokens passages within as_json device dtype revision trust_remote_code",
    "evict": "model file queries mask tokens as_json device dtype revision trust_remote_code",
    "models": "as_json architectures",
    "methods": "as_json",
    "view": "models text file target_text gold gold_base clusters port no_browser device dtype revision trust_remote_code",
    "demo": "output overwrite limit",
}  # options that do something whatever else is set, or are refused by what they are about: the model, the file


def commands() -> dict[str, list[str]]:
    """The parameters of every command."""
    parameters = {}
    for name, command in get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        for path, one in (
            {name: command}.items() if inner is None else {f"{name} {k}": c for k, c in inner.items()}.items()
        ):
            parameters[path] = [str(parameter.name) for parameter in one.params if parameter.name != "help"]
    return parameters


def test_every_option_is_in_the_table_or_always_has_an_effect() -> None:
    by_command = commands()
    assert by_command.keys() == ALWAYS.keys()
    for name, parameters in by_command.items():
        required = {requirement.option for requirement in REQUIREMENTS.get(name, ())}
        assert set(parameters) == required | set(ALWAYS[name].split()), name
        assert not required & set(ALWAYS[name].split())


IGNORED = [
    ("corpus plan m text.txt -o run --kind attribute --reduce sinks", "--reduce"),
    ("corpus plan m text.txt -o run --kind attribute --scope block", "--scope"),
    ("corpus plan m text.txt -o run --kind attribute --group encoder", "--group"),
    ("corpus plan m text.txt -o run --kind attribute --frequency ranks.txt", "--frequency"),
    ("corpus plan m text.txt -o run --kind attribute --no-frequency", "--no-frequency"),
    ("corpus plan m text.txt -o run --frequency ranks.txt --no-frequency", "--no-frequency"),
    ("corpus plan m text.txt -o run --target good", "--target"),
    ("corpus plan m text.txt -o run --layer 1", "--layer"),
    ("corpus plan m text.txt -o run --measure weight", "--measure"),
    ("corpus plan m text.txt -o run --reverse-model en-de", "--reverse-model"),
    ("corpus plan m text.txt -o run --kind align --truncate", "--truncate"),
    ("corpus plan m text.txt -o run --method rollout", "--method"),
    ("corpus plan m text.txt -o run --product first", "--product"),
    ("four-tests quick.toml --workers 2 --device cuda", "--workers"),
    ("analyze m text --layer 1 --json", "--layer"),
    *((f"analyze m text --layer 1 -o out.{ending}", "--layer") for ending in ("html", "nc", "parquet", "json")),
    ("analyze m text --layer 1 --reduce sinks", "--layer"),
    ("analyze m text --head 1 -o out.html", "--head"),
    ("analyze m text --group encoder -o out.nc", "--group"),
    ("analyze m text --scope residual -o out.parquet", "--scope"),
    ("analyze m text --product first", "--product"),
    ("analyze m text --image a.png --generate 3", "--generate"),
    ("analyze m --audio a.wav --generate 3", "--generate"),
    ("attribute m text --image a.png --text-pair text", "--text-pair"),
    ("compare m text --audio a.wav --text-pair text", "--text-pair"),
    ("analyze m text --product half --scope layernorm", "--product"),
    ("attribute m text -m decompx -t good --row 1", "--row"),
    ("attribute m text -m alti_logit --row mean", "--row"),
    ("attribute m text -m rollout --row 1 --position 2", "--position"),
    ("attribute m text -m rollout --against good", "--against"),
    ("attribute m text -m rollout -t good", "--target"),
    ("attribute m text -m gradient_input --layer 1", "--layer"),
    ("attribute m text -m alti --scope encoder", "--scope"),
    ("compare m text -m rollout,alti -t good", "--target"),
    ("compare m text -m rollout,alti --against good", "--against"),
    ("compare m text -m gradient_input,logit --row 1", "--row"),
    ("compare m text -m rollout,alti --row 1 --position 2", "--position"),
    *(
        (f"align pairs.tsv --fit models {option}", option.split()[0])
        for option in (
            "--model m",
            "--reverse-model m",
            "--dtype float32",
            "--revision r",
            "--trust-remote-code",
            "--lowercase",
            "--source-prefix p",
        )
    ),
    ("align pairs.tsv --guide none", "--guide"),
    ("align pairs.tsv --more-text more.tsv", "--more-text"),
    ("align pairs.tsv --recipe epochs=3", "--recipe"),
    ("align pairs.tsv --rule norm --layer 1", "--rule"),
    ("align pairs.tsv --awo-layer 2 --layer 0", "--awo-layer"),
    ("align pairs.tsv --awo-layer 2 --setting both", "--awo-layer"),
    ("align pairs.tsv --scope residual --measure weight", "--scope"),
    ("analyze m text --overwrite", "--overwrite"),
    ("attribute m text --overwrite", "--overwrite"),
    ("attribute m text --step-score logit", "--step-score"),
    ("attribute m text --whole", "--whole"),
    ("attribute m --context a.txt --question who --whole", "--whole"),
    ("attribute m --context a.txt", "--context"),
    ("attribute m text --question who", "--question"),
    ("attribute m --file a.txt --context a.txt --question who", "--file"),
    ("attribute m --image a.png --context a.txt --question who", "--image"),
    ("attribute m --audio a.wav --context a.txt --question who", "--audio"),
    ("attribute m --text-pair b --context a.txt --question who", "--text-pair"),
    ("attribute m text --answer yes --generate 3", "--generate"),
    ("attribute m text --generate 3 -t good", "--target"),
    ("attribute m text --generate 3 --against good", "--against"),
    ("attribute m text --answer yes --position 1", "--position"),
    ("attribute m text --answer yes --row 1", "--row"),
    ("attribute m text --answer yes --layer 1 -m alti_logit", "--layer"),
    ("attribute m text --answer yes --target-text good", "--target-text"),
    ("attribute m text -m rollout --spans sentences", "--spans"),
    ("compare m text --overwrite", "--overwrite"),
    ("analyze m text --measures weight", "--measures"),
    ("align pairs.tsv --overwrite", "--overwrite"),
    ("heads m page.txt --overwrite", "--overwrite"),
    ("translation evaluate m pairs.tsv --overwrite", "--overwrite"),
    ("transfer translate m delta page.txt --overwrite", "--overwrite"),
    ("transfer evaluate m delta pairs.tsv --overwrite", "--overwrite"),
    ("transfer evaluate m delta pairs.tsv --parent-pair --source-child other", "--source-child"),
    ("cluster points four.npy --overwrite", "--overwrite"),
    ("cluster heads m page.txt --overwrite", "--overwrite"),
    ("aer gold.talp links.txt --source-file text.de", "--source-file"),
    ("aer gold.talp links.txt --target-file text.en", "--target-file"),
    ("negation m --text not --limit 2", "--limit"),
    ("negation m --text not --skip-bad", "--skip-bad"),
    ("negation m --text not --overwrite", "--overwrite"),
    ("topk m page.txt --seed 1", "--seed"),
    ("topk m page.txt --seed 1 --by recent", "--seed"),
    ("evict m page.txt --mask m.npy --keep 50%", "--keep"),
    ("evict m page.txt --mask m.npy --score norm", "--score"),
    ("evict m page.txt --mask m.npy --budget layer", "--budget"),
    ("evict m page.txt --score norm --seed 3", "--seed"),
]


@pytest.mark.parametrize(("arguments", "option"), IGNORED)
def test_an_option_without_effect_is_refused_before_anything_is_read(arguments: str, option: str, run: Run) -> None:
    result = run(*arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{option} has no effect here" in result.stderr
    assert "Loading" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_every_requirement_is_tried() -> None:
    tried = {(next(name for name in ALWAYS if arguments.startswith(name)), option) for arguments, option in IGNORED}
    assert tried == {(name, f"--{one.option.replace('_', '-')}") for name, of in REQUIREMENTS.items() for one in of}


EFFECTIVE = [
    "analyze m text --layer 1",
    "analyze m text --layer 1 --head 2 --group encoder --scope residual -o out.png --json",
    "analyze m text --layer 1 --reduce edges",
    "analyze m text --scope block --product first -o out.nc",
    "attribute m text --row 1",  # a map, where the model has no head
    "attribute m text -m rollout --row mean --layer 1",
    "attribute m text -m rollout --position 1",
    "attribute m text -m norm_rollout --scope attention",
    "attribute m text -m alti_logit --layer 1 -t good --position 1",
    "compare m text -m rollout,decompx -t good --position 1 --row 2",
    "compare m text -t good --row 2",
    "align pairs.tsv --model m --rule norm",
    "align pairs.tsv --model m --measure weight --setting awo --scope residual",
    "negation m page.txt --cue page --limit 2 --skip-bad",
    "topk m page.txt --by random --seed 3",
    "evict m page.txt --keep 25% --score norm,random --budget layer --seed 3",
]


@pytest.mark.parametrize("arguments", EFFECTIVE)
def test_an_option_with_an_effect_is_not_refused(arguments: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("das haus\tthe house\n")
    (tmp_path / "page.txt").write_text("a page\n")
    result = run(*arguments.split())
    assert "has no effect" not in result.stderr
    assert "Loading m" in result.stderr  # there is no such model


def test_the_map_of_a_model_without_a_head_has_rows(bert: Path, run: Run) -> None:
    assert run("attribute", bert, "the cat", "--row", 1).exit_code == 0


def test_the_library_refuses_a_rule_for_products_that_are_not_split(bert: Path) -> None:
    with pytest.raises(InvalidInput, match="no product is split"):
        normlens.load(str(bert)).analyze("the cat", product="first")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("align a b -o x --output y", "--output was used 2 times; expected once."),
        ("attribute m t -m a -m b -m c", "--method was used 3 times; expected once."),
        ("align a b --batch-size 4294967296", "--batch-size is 4294967296; expected at most 4294967295"),
        (f"align a b --batch-size {'9' * 30}", "--batch-size is an integer of over 24 digits"),
    ],
)
def test_an_option_given_twice_or_far_too_large_is_refused(run: Run, typed: str, message: str) -> None:
    result = run(*typed.split())
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_option_that_takes_many_values_and_a_repeated_flag_are_taken(run: Run) -> None:
    assert (
        " times; expected once"
        not in run(*["attribute", "nowhere/m", "t", "--option", "a=1", "--option", "b=2", "--json", "--json"]).stderr
    )
