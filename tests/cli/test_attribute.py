"""``normlens attribute`` and ``normlens compare``: the library's numbers by words, on the terminal and in files."""

from __future__ import annotations

import copy
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny, weights
from invocation import Run
from rich.console import Console
from transformers import (
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2LMHeadModel,
    MarianMTModel,
    PreTrainedTokenizerFast,
)

import normlens
from normlens import figures
from normlens.attribution import Attribution, Predicted, method_named
from normlens.cli.output.highlighted import highlighted
from normlens.errors import InvalidInput
from normlens.figures import scored_text
from normlens.words import merge_shares

TEXT = "the unhappiness sat here."
WORDS = ["[CLS]", "the", "unhappiness", "sat", "here", ".", "[SEP]"]


def saved(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT that tells bad, good and 7."""
    config = tiny.configuration("bert")
    config.id2label = {0: "bad", 1: "good", 2: "7"}
    config.label2id = {name: i for i, name in config.id2label.items()}
    torch.manual_seed(0)
    model = BertForSequenceClassification._from_config(config)
    return saved(model, tokenizer, tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def decoder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny GPT-2."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel._from_config(tiny.configuration("gpt2"))
    return saved(model, tokenizer, tmp_path_factory.mktemp("decoder"))


def by_words(folder: Path, **options: Any) -> list[float]:
    shares: list[float] = merge_shares(normlens.load(str(folder)).attribute(TEXT, **options)).values.tolist()
    return shares


def printed(run: Run, *arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (["--target", "good"], "good"),
        (["--target", "1"], 1),
        (["--target", "7"], "7"),
        (["--target", "good", "--against", "bad"], ("good", "bad")),
        (["--target", "logprob:good"], "logprob:good"),
        ([], Predicted()),
    ],
)
def test_words_get_the_shares_of_their_pieces(options: list[str], target: Any, classifier: Path, run: Run) -> None:
    answer = printed(run, "attribute", classifier, TEXT, *options)
    assert [word["word"] for word in answer["words"]] == WORDS
    expected = by_words(classifier, target=target)
    np.testing.assert_allclose([word["share"] for word in answer["words"]], expected, rtol=1e-6)
    total = sum(expected) + answer["bias_share"] + answer["remainder"]
    assert answer["value"] == pytest.approx(total, abs=1e-6)
    assert answer["conservation_error"] < 1e-5


def test_a_token_is_explained_where_it_is_asked_for(decoder: Path, run: Run) -> None:
    answer = printed(run, "attribute", decoder, TEXT, "-t", "dog", "--against", "cat", "--position", 3)
    shares = [word["share"] for word in answer["words"]]
    np.testing.assert_allclose(shares, by_words(decoder, target=("dog", "cat"), position=3), rtol=1e-6)
    assert answer["explained"] == "logit of 'dog' − 'cat' at position 3 ('happi')"
    assert shares[3:] == [0.0] * 4  # what comes after the position can't have been read


def test_a_model_without_a_head_gives_its_map(bert: Path, run: Run) -> None:
    lens = normlens.load(str(bert))
    expected = merge_shares(lens.attribute(TEXT, method="norm_rollout", scope="attention"))
    arguments = ["attribute", bert, TEXT, "--method", "norm_rollout", "--scope", "attention"]
    for row, values in ((None, expected[0]), ("-1", expected[-1]), ("mean", expected.mean("target"))):
        answer = printed(run, *arguments, *([] if row is None else ["--row", row]))
        np.testing.assert_allclose([word["share"] for word in answer["words"]], values, rtol=1e-6)
        assert (answer["value"], answer["unit"]) == (None, "share")
    assert "hidden" not in printed(run, "attribute", bert, TEXT)["explained"]


def test_one_layer_may_be_chosen(bert: Path, run: Run) -> None:
    rolled = normlens.load(str(bert)).attribute(TEXT, method="rollout", layers="rolled").sel(layer=0)
    answer = printed(run, "attribute", bert, TEXT, "-m", "rollout", "--layer", 0)
    np.testing.assert_allclose([word["share"] for word in answer["words"]], merge_shares(rolled)[0], rtol=1e-6)


def test_options_of_a_method_are_its_own(classifier: Path, run: Run) -> None:
    options = ["--option", "steps=3", "--option", "baseline=zero"]
    answer = printed(run, "attribute", classifier, TEXT, "-t", "good", *options)
    expected = normlens.load(str(classifier)).attribute(TEXT, target="good", steps=3, baseline="zero")
    np.testing.assert_allclose([word["share"] for word in answer["words"]], merge_shares(expected), rtol=1e-5)


def test_a_mask_chooses_the_row(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, run: Run) -> None:
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.mask_token = "[UNK]"
    folder = saved(BertForMaskedLM._from_config(tiny.configuration("bert")), tokenizer, tmp_path / "masked")
    answer = printed(run, "compare", folder, "the [UNK] sat here.", "-m", "decompx,rollout", "-t", "dog")
    explained = [method["explained"] for method in answer["methods"]]
    assert explained == ["logit of 'dog' at position 2 ('[UNK]')", "position 2 ('[UNK]')"]


def test_the_second_text_has_words_of_its_own(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, run: Run) -> None:
    folder = saved(MarianMTModel._from_config(tiny.configuration("marian")), tokenizer, tmp_path / "marian")
    answer = printed(run, "compare", folder, "the cat.", "--target-text", "a dog.", "-t", "Paris")
    assert [method["method"] for method in answer["methods"]] == ["decompx", "gradient_input", "alti_plus"]
    for method in answer["methods"]:
        sides = [word["side"] for word in method["words"]]
        assert sides == ["source"] * sides.count("source") + ["target"] * sides.count("target")
        assert 0 < sides.count("source") < len(sides)


def test_the_terminal_shows_words_strongest_first_and_the_sum(classifier: Path, run: Run) -> None:
    result = run("attribute", classifier, TEXT, "--target", "good")
    text = scored_text(normlens.load(str(classifier)).attribute(TEXT, target="good"))
    assert "[CLS] the unhappiness sat here. [SEP]" in result.stdout
    below = result.stdout[result.stdout.index("Strongest words") :].splitlines()[1:]
    strongest = [text.words[k] for k in text.strongest(5)]
    assert [line.split()[:2] for line in below[:5]] == [[word.text, text.written(word.share)] for word in strongest]
    first, last = (text.written(text.words[k].share) for k in (0, -1))
    assert f"special tokens: [CLS] {first}, [SEP] {last}" in result.stdout
    assert f"{text.balance} (logits)" in result.stdout
    assert "The shares add up (relative error" in result.stdout


def test_the_strongest_word_has_the_strongest_ground(classifier: Path) -> None:
    text = scored_text(normlens.load(str(classifier)).attribute(TEXT, target="good"))
    segments = list(highlighted(text).render(Console()))
    colors = {
        segment.text: segment.style.bgcolor.name for segment in segments if segment.style and segment.style.bgcolor
    }
    strongest = text.words[text.strongest(1)[0]]
    assert colors[strongest.text] == ("#003a5c" if strongest.share > 0 else "#6e3000")
    assert not {"[CLS]", "[SEP]"} & colors.keys()


def test_a_first_token_with_the_largest_share_is_told_as_the_sink(
    tokenizer: PreTrainedTokenizerFast, run: Run, tmp_path: Path
) -> None:
    model = GPT2LMHeadModel._from_config(tiny.configuration("gpt2"))
    weights.randomize(model, 0)
    model.transformer.wte.weight.data[tokenizer.sep_token_id] = 0  # so that nothing comes from the last token itself
    decoder = saved(model, tokenizer, tmp_path / "decoder")
    lens = normlens.load(str(decoder))
    words = ("the", "a", "cat", "dog", "sat", "here", "is", ".", ",")
    texts = [f"{first} {second}" for first in words for second in words]
    told = {"note" in shares.attrs: text for text, shares in zip(texts, lens.attribute(texts), strict=True)}
    assert set(told) == {True, False}
    for is_told, text in told.items():
        asked = ("attribute", decoder, text)
        shown = " ".join(run(*asked).stdout.split())
        assert ("takes the largest share" in shown) == ("(in the shell, --against)" in shown) == is_told
        assert (printed(run, *asked)["note"] is not None) == is_told
        run(*asked, "-o", tmp_path / f"{is_told}.html")
        assert ("takes the largest share" in (tmp_path / f"{is_told}.html").read_text()) == is_told
        assert printed(run, *asked, "--target", "cat", "--against", "dog")["note"] is None


def test_methods_stand_beside_each_other(classifier: Path, run: Run) -> None:
    result = run("compare", classifier, TEXT, "--target", "good")
    assert result.exit_code == 0
    names = ["decompx", "gradient_input", "norm_rollout", "alti", "rollout"]
    sums = result.stdout[result.stdout.index("Sums") :].splitlines()[2:]
    assert [line.split()[0] for line in sums] == names
    assert result.stdout.count("the unhappiness sat here.") == len(names)
    assert "Left out" not in result.stderr


def test_methods_that_do_not_fit_are_left_out_unless_they_were_named(bert: Path, run: Run) -> None:
    result = run("compare", bert, TEXT, "--json")
    names = [method["method"] for method in json.loads(result.stdout)["methods"]]
    assert names == ["decompx", "norm_rollout", "alti", "rollout"]
    assert "Left out gradient_input: gradient_input needs a --target" in result.stderr
    assert "target=" not in result.stderr
    assert run("compare", bert, TEXT, "-m", "rollout,gradient_input").exit_code == 2
    assert len(printed(run, "compare", bert, TEXT, "-m", "rollout")["methods"]) == 1


@pytest.mark.parametrize("ending", ["html", "png", "svg", "pdf", "json", "csv"])
def test_files_are_written_by_their_ending(ending: str, classifier: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / f"out.{ending}"
    result = run("compare", classifier, TEXT, "-m", "decompx,rollout", "-t", "good", "-o", out)
    assert (result.exit_code, result.stdout) == (0, "")
    content = out.read_bytes()
    starts = {"html": b"<!DOCTYPE", "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "json": b"{", "csv": b"method,"}
    assert content.startswith(starts[ending])
    if ending == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert [row["word"] for row in rows] == WORDS * 2
        shares = [float(row["share"]) for row in rows[:7]]
        np.testing.assert_allclose(shares, by_words(classifier, target="good"), rtol=1e-6)


@pytest.mark.parametrize("options", [("-t", "good"), ("-m", "rollout", "--row", "1")])
def test_a_json_file_is_read_back_as_the_attribution(
    options: tuple[str, ...], classifier: Path, run: Run, tmp_path: Path
) -> None:
    assert run("attribute", classifier, TEXT, *options, "-o", "one.json").exit_code == 0
    again = Attribution.from_json("one.json")
    lens = normlens.load(classifier)
    expected = lens.attribute(TEXT, target="good") if "-t" in options else lens.attribute(TEXT, method="rollout")
    np.testing.assert_allclose(again.values, expected.values, rtol=1e-6)
    assert (again.dims, again.attrs["method"]) == (expected.dims, expected.attrs["method"])
    assert again["source_start"].equals(expected["source_start"])
    assert len(figures.highlights_page(again, row=1 if "--row" in options else None)) > 200
    assert len(json.loads(Path("one.json").read_text())["words"]) == len(WORDS)
    run("compare", classifier, TEXT, "-m", "decompx,rollout", "-o", "two.json")
    with pytest.raises(
        InvalidInput, match=r"two\.json can't be read as an attribution: it holds those of several methods"
    ):
        Attribution.from_json("two.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attribute", "--method", "decompy"], "no method 'decompy'"),
        (["attribute", "--method", "decompy"], "Did you mean 'decompx'?"),
        (["attribute", "-m", "rollout", "-t", "good"], "takes no target"),
        (["attribute", "-m", "rollout", "--row", "first"], "--row is 'first'"),
        (["attribute", "-m", "rollout", "--row", "99"], "--row is 99"),
        (["attribute", "-m", "rollout", "--layer", "9"], "no layer 9"),
        (["attribute", "--layer", "1"], "--layer has no effect here"),
        (["attribute", "-t", "excellent"], "no class 'excellent'"),
        (["attribute", "-t", "good", "--position", "1"], "classifies the whole text"),
        (["attribute", "--scope", "block"], "has no scopes"),
        (["attribute", "--option", "rolled=1"], "decompx has the options sources, steps, baseline"),
        (["attribute", "--option", "steps"], "expected NAME=VALUE"),
        (["attribute", "--option", "steps=0"], "an integer from 1"),
        (["attribute", "--option", "baseline=mean"], "baseline= is the start of the path that steps= averages over"),
        (["attribute", "-o", "out.docx"], "expected one of .html"),
        (["attribute", "-o", "missing/out.png"], "no folder missing"),
        (["attribute", "--task", "poetry"], "'poetry' is not one of"),
        (["compare", "-m", "decompx,decompx"], "names 'decompx' twice"),
        (["compare", "-m", "decompx,,rollout"], "no method ''"),
    ],
)
def test_bad_input_ends_with_one_message(
    arguments: list[str], message: str, classifier: Path, run: Run, tmp_path: Path
) -> None:
    command, *options = arguments
    result = run(command, classifier, TEXT, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "1"], "--layer has no effect here"),
        (["-m", "rollout", "-t", "good"], "takes no target"),
        (["--option", "steps"], "expected NAME=VALUE"),
        (["--option", "steps=0"], "steps is 0"),
        (["-m", "norm_rollout", "--scope", "everywhere"], "'everywhere' is not one of"),
        (["-m", "rollout", "--option", "residual=2"], "residual is 2"),
        (["-m", "integrated_gradients", "--option", "baseline=gray"], "baseline='gray'"),
        (["--layer", "-1"], "--layer"),
        (["--task", "poetry"], "--task"),
    ],
)
def test_options_that_do_not_fit_a_method_are_refused_before_a_model_is_loaded(
    options: list[str], message: str, run: Run
) -> None:
    result = run("attribute", "no-such-model", TEXT, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Loading" not in result.stderr


def test_a_token_is_named_by_its_id(decoder: Path, run: Run) -> None:
    words = printed(run, "attribute", decoder, TEXT, "-t", "id:12")["words"]
    assert [word["share"] for word in words] == pytest.approx(by_words(decoder, target=12))


def test_the_default_scope_is_named(run: Run) -> None:
    assert f"Default: {method_named('norm_rollout').scopes[0]}." in " ".join(
        run("attribute", "-h").stdout.replace("│", " ").split()
    )


def test_what_is_unlike_every_method_gets_no_guess(run: Run) -> None:
    assert "Did you mean" not in run("attribute", "no-such-model", TEXT, "-m", "foo").stderr


def test_norms_of_a_model_without_a_head_have_a_unit_and_no_bias_share(bert: Path, run: Run) -> None:
    shown = run("attribute", bert, TEXT).stdout
    assert "Strongest words, lengths of vectors (norms), which don't add up" in shown
    assert "The vectors add up (relative error" in shown and "[bias" not in shown
    answer = printed(run, "attribute", bert, TEXT)
    assert (answer["unit"], answer["value"], answer["bias_share"]) == ("norm", None, None)
    assert answer["conservation_error"] < 1e-4


def test_a_prediction_has_no_rows(classifier: Path, run: Run) -> None:
    result = run("attribute", classifier, TEXT, "--row", "1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--row has no effect here" in result.stderr
    assert run("compare", classifier, TEXT, "-m", "decompx,gradient_input", "--row", "1").exit_code == 2
