"""``normlens analyze``: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from invocation import Run

import normlens
from normlens.statistics import text_numbers

TEXT = "the cat sat here."


def row(output: str, title: str, name: str) -> list[str]:
    """The cells of one row of the table under a title, without percent signs."""
    below = output[output.index(title) :].splitlines()
    return next(line for line in below if line.split()[:1] == [name]).replace("%", "").split()


def rounded(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.0995 else f"{100 * share:.0f}"


@pytest.mark.parametrize("head", [None, 1])
def test_the_table_shows_the_shares_of_the_analysis(head: int | None, bert: Path, run: Run) -> None:
    result = run("analyze", bert, TEXT, *([] if head is None else ["--head", head]))
    assert result.exit_code == 0
    numbers = text_numbers(normlens.load(str(bert)).analyze(TEXT)["encoder"].data)
    expected = []
    for category in ("special", "first token", "punctuation", "other"):
        weight = numbers["weight_share", category][1]
        expected.append(weight.mean() if head is None else weight[head])
        one_head = numbers["weighted_norm_share", category][1]
        expected.append(numbers["norm_share", category][1] if head is None else one_head[head])
    assert row(result.stdout, "Sources of what a target receives", "1")[1:] == [rounded(float(x)) for x in expected]
    assert "A special first token counts both as special and as the first token." in result.stdout
    assert ("other positions, all heads together" in result.stdout) == (head is not None)


def test_the_strongest_sources_and_mixing_ratios_are_those_of_the_analysis(bert: Path, run: Run) -> None:
    result = run("analyze", bert, TEXT, "--layer", 0, "--scope", "residual")
    encoder = normlens.load(str(bert)).analyze(TEXT)["encoder"]
    weight, norm = encoder.weight.sel(layer=0).mean("head").values, encoder.norm_residual.sel(layer=0).values
    tokens = encoder.source_token.values
    line = row(result.stdout, "Strongest sources in layer 0", "cat")
    assert line[1:3] == [tokens[weight[2].argmax()], rounded(weight[2].max())]
    assert line[7:9] == [tokens[norm[2].argmax()], rounded(norm[2].max() / norm[2].sum())]
    ratios = [encoder.mixing_ratio_weight, encoder.mixing_ratio]
    means = [float(x.sel(layer=0, scope=scope).mean()) for scope in ("attention", "residual") for x in ratios]
    means.append(float(encoder.mixing_ratio.sel(layer=0, scope="layernorm").mean()))
    assert row(result.stdout, "Mixing ratio", "0")[1:] == [rounded(x) for x in means]


@pytest.mark.parametrize("reduction", ["categories", "sinks", "mean"])
def test_a_reduced_analysis_shows_the_same_shares_as_the_whole_one(reduction: str, bert: Path, run: Run) -> None:
    whole = run("analyze", bert, TEXT, "--layer", 1).stdout
    reduced = run("analyze", bert, TEXT, "--reduce", reduction, "--chunk-size", 2).stdout
    columns = {"categories": list(range(1, 9)), "sinks": [3, 4], "mean": list(range(1, 9))}[reduction]
    cells = row(whole, "Sources of what a target receives", "1")
    assert row(reduced, "Sources of what a target receives", "1")[1:] == [cells[column] for column in columns]


def test_kept_edges_name_the_same_strongest_sources(bert: Path, run: Run) -> None:
    whole = row(run("analyze", bert, TEXT, "--layer", 1).stdout, "Strongest sources", "cat")
    kept = row(run("analyze", bert, TEXT, "--layer", 1, "--reduce", "edges").stdout, "Strongest sources", "cat")
    assert kept[1::2] == whole[1::2]


@pytest.mark.parametrize("arguments", [("-",), ()])
def test_text_comes_from_standard_input_or_a_file(
    arguments: tuple[str, ...], bert: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(f"{TEXT}\n")
    expected = run("analyze", bert, TEXT).stdout
    assert run("analyze", bert, *arguments, stdin=f"{TEXT}\n").stdout == expected
    assert run("analyze", bert, "--file", "text.txt").stdout == expected


def test_json_is_the_whole_analysis_and_nothing_else(bert: Path, run: Run) -> None:
    result = run("analyze", bert, TEXT, "--json")
    page = json.loads(result.stdout)
    weight = np.array(page["groups"]["encoder"]["data_vars"]["weight"]["data"])
    np.testing.assert_allclose(weight.sum(axis=-1), 1.0, atol=1e-5)
    assert "Loading" in result.stderr
    assert page["attrs"]["text"] == TEXT


def test_words_are_merged(bert: Path, run: Run) -> None:
    assert "unhappiness" not in run("analyze", bert, "unhappiness sat").stdout
    assert "unhappiness" in run("analyze", bert, "unhappiness sat", "--words").stdout


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        (".html", b"<!doctype html>"),
        (".png", b"\x89PNG"),
        (".svg", b"<?xml"),
        (".pdf", b"%PDF"),
        (".json", b'{"attrs"'),
        (".nc", b"\x89HDF"),
        (".parquet", b"PAR1"),
    ],
)
def test_every_format_is_written_and_standard_output_stays_empty(
    suffix: str, start: bytes, bert: Path, run: Run, tmp_path: Path
) -> None:
    result = run("analyze", bert, TEXT, "-o", f"out{suffix}")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Wrote out" in result.stderr
    assert (tmp_path / f"out{suffix}").read_bytes().lower().startswith(start.lower())
    assert [path.name for path in tmp_path.iterdir()] == [f"out{suffix}"]


def test_written_numbers_are_those_of_the_analysis(bert: Path, run: Run, tmp_path: Path) -> None:
    run("analyze", bert, TEXT, "-o", "out.nc")
    run("analyze", bert, TEXT, "-o", "out.parquet")
    expected = normlens.load(str(bert)).analyze(TEXT)
    saved = normlens.Analysis.load(tmp_path / "out.nc")
    np.testing.assert_array_equal(saved["encoder"].norm.values, expected["encoder"].norm.values)
    table = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_array_equal(table["norm"].values, expected["encoder"].norm.values.ravel())


def test_an_encoder_decoder_shows_its_three_kinds_of_attention_or_one(marian: Path, run: Run) -> None:
    every = run("analyze", marian, TEXT, "--target-text", "a dog").stdout
    assert [kind for kind in ("encoder", "decoder", "cross") if f"· {kind} ·" in every] == [
        "encoder",
        "decoder",
        "cross",
    ]
    assert "· encoder ·" not in run("analyze", marian, TEXT, "--target-text", "a dog", "--group", "cross").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "holds no text"),
        (["[CLS] [SEP]"], "special tokens and nothing else"),
        (["the " * 80], "takes at most"),
        (["--file", "missing.txt"], "missing.txt can't be read"),
        (["--file", "."], "can't be read"),
        (["the", "--file", "missing.txt"], "Leave one out"),
        (["the", "--target-text", "a"], "no decoder"),
        (["the", "--layer", "99"], "has no layer 99: its config has 3 layers, 0 to 2"),
        (["the", "--head", "-1"], "--head"),
        (["the", "--head", "1", "--scope", "residual"], "Leave out --head or --scope"),
        (["the", "--head", "1", "--reduce", "mean"], "Leave out --head or --reduce"),
        (["the", "--group", "cross"], "expected encoder or decoder"),
        (["the", "--reduce", "everything"], "'sinks'"),
        (["the", "--chunk-size", "0"], "--chunk-size"),
        (["the", "--generate", "2"], "generate"),
        (["the", "--words", "--reduce", "mean"], "reduced"),
        (["the", "-o", "out.doc"], "expected one of .nc"),
        (["the", "-o", "nowhere/out.nc"], "no folder nowhere"),
        (["the", "-o", "out.png", "--reduce", "mean"], "leave out --reduce"),
        (["the", "--dtype", "int8"], "int8"),
        (["the", "--device", "nowhere"], "nowhere"),
        (["the", "--scope", "everything"], "attention"),
        (["the", "--no-such-option"], "No such option"),
    ],
)
def test_bad_input_ends_with_one_message_and_exit_code_2(
    arguments: list[str], message: str, bert: Path, run: Run, tmp_path: Path
) -> None:
    result = run("analyze", bert, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_result_does_not_replace_the_text_it_is_of(bert: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("the cat sat")
    result = run("analyze", bert, "--file", "text.json", "-o", "text.json")
    assert result.exit_code == 2
    assert "text.json, which this command reads" in result.stderr
    assert (tmp_path / "text.json").read_text() == "the cat sat"


def test_kept_edges_are_shown_at_the_scope_that_is_asked_for(bert: Path, run: Run) -> None:
    edges = run("analyze", bert, TEXT, "--layer", 1, "--reduce", "edges", "--scope", "residual").stdout
    data = normlens.load(str(bert)).analyze(TEXT)["encoder"].data["norm_residual"].sel(layer=1)
    for target, cells in zip(data["target_token"].values.tolist(), data.values, strict=True):
        if target == "cat":
            assert f"cat {cells.max():.2f}" in " ".join(row(edges, "Strongest sources", "cat"))


def test_text_that_is_not_utf_8_is_refused(bert: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"caf\xe9 \xff")
    result = run("analyze", bert, "-f", "bytes.txt")
    assert result.exit_code == 2
    assert "not text in UTF-8" in result.stderr


def test_a_missing_model_and_pickled_weights_are_refused(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "pytorch_model.bin").write_bytes(b"")
    for model, message in (("./nothing", "no file or folder"), (folder, "pickle")):
        result = run("analyze", model, TEXT)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr


def test_chosen_measures_are_written(bert: Path, run: Run, tmp_path: Path) -> None:
    result = run("analyze", bert, "the cat sat", "--measures", "displacement, output_norm", "--json")
    variables = set(json.loads(result.stdout)["groups"]["encoder"]["data_vars"])
    assert {"displacement", "output_norm"} <= variables and not {"weight", "norm"} & variables
    assert run("analyze", bert, "the cat sat", "--measures", "displacement", "-o", "a.nc").exit_code == 0
    for arguments, message in (
        (["--measures", "displacement"], "the printed tables show weights and norms"),
        (["--measures", "displacement", "-o", "a.svg"], "--measures leaves out weight, vector_norm, norm"),
        (["--measures", "displacment", "--json"], "Did you mean 'displacement'?"),
    ):
        refused = run("analyze", bert, "the cat sat", *arguments)
        assert (refused.exit_code, message in refused.stderr) == (2, True), refused.stderr
    assert not (tmp_path / "a.svg").exists()
