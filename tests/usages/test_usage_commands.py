"""What people type: refusals that come before a model's weights are read, and a sign of life at once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from architectures import tiny
from transformers import AutoConfig, BertForSequenceClassification, GPT2LMHeadModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

import normlens
from normlens.analysis.reductions import REDUCTIONS
from normlens.attribution.registry import HOMES, method_named
from normlens.cli import app
from normlens.cli.choices import LAYER_SCOPES, LoadedAs, Reduction, Scope, Split
from normlens.engine.tracing.scopes import SCOPES
from normlens.loading.model_classes import TASKS
from normlens.loading.outline import Outline

TEXT = "the cat sat here."


@pytest.fixture(scope="module")
def folders(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with a config and a tokenizer, but without weights that could be read."""
    by_name = {}
    for name, kind in {"bert": "bert", "gpt2": "gpt2", "marian": "marian", "classes": "bert"}.items():
        folder = by_name[name] = tmp_path_factory.mktemp(name)
        config = tiny.configuration(kind)
        if name == "gpt2":
            config.architectures = [GPT2LMHeadModel.__name__]
        if name == "classes":
            config.architectures = [BertForSequenceClassification.__name__]
            config.id2label, config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "model.safetensors").write_bytes(b"no weights")
    return by_name


REFUSED = [
    ("bert", ["analyze", "{}", TEXT, "--layer", "3"], "has no layer 3: its config has 3 layers, 0 to 2"),
    ("bert", ["analyze", "{}", TEXT, "--head", "64"], "has no head 64"),
    ("bert", ["analyze", "{}", TEXT, "--group", "cross"], "has no group cross"),
    ("bert", ["analyze", "{}", TEXT, "--target-text", "a dog"], "no decoder that reads a second text"),
    ("marian", ["analyze", "{}", TEXT], "expected --target-text"),
    ("gpt2", ["attribute", "{}", TEXT, "-t", "the cat"], "is not one token"),
    ("gpt2", ["attribute", "{}", TEXT, "--against", "the cat"], "is not one token"),
    ("gpt2", ["attribute", "{}", TEXT, "-t", "logprob:the cat"], "is not one token"),
    ("gpt2", ["attribute", "{}", TEXT, "-t", "cat", "--position", "99"], "--position is 99; this text has"),
    ("gpt2", ["attribute", "{}", TEXT, "-m", "rollout", "--row", "99"], "--row is 99; this text has"),
    ("gpt2", ["attribute", "{}", TEXT, "-m", "rollout", "--layer", "3"], "has no layer 3"),
    ("gpt2", ["attribute", "{}", TEXT, "--target-text", "a dog"], "no decoder that reads a second text"),
    ("marian", ["attribute", "{}", TEXT], "expected --target-text"),
    ("classes", ["attribute", "{}", TEXT, "-t", "excellent"], "no class 'excellent'"),
    ("classes", ["attribute", "{}", TEXT, "-t", "good", "--position", "1"], "classifies the whole text"),
    ("gpt2", ["compare", "{}", TEXT, "-t", "the cat"], "is not one token"),
    ("classes", ["compare", "{}", TEXT, "--against", "excellent"], "no class 'excellent'"),
    ("bert", ["report", "{}", "corpus.txt", "--group", "cross"], "has no group cross"),
    ("marian", ["report", "{}", "corpus.txt"], "expects two texts on each line"),
    ("bert", ["cluster", "heads", "{}", "corpus.txt", "--group", "cross"], "has no group cross"),
    ("marian", ["cluster", "heads", "{}", "corpus.txt"], "expects two texts on each line"),
    ("bert", ["align", "pairs.tsv", "--model", "{}"], "is not an encoder–decoder"),
    ("marian", ["align", "pairs.tsv", "--model", "{}", "--layer", "3"], "has no layer 3"),
    ("marian", ["align", "pairs.tsv", "--model", "{}", "--layer", "0", "--head", "64"], "has no head 64"),
    ("marian", ["align", "pairs.tsv", "--model", "{}", "--source-language", "xx"], "has no languages"),
]


@pytest.mark.parametrize(("model", "arguments", "message"), REFUSED)
def test_what_a_model_cannot_do_is_refused_before_its_weights_are_read(
    model: str,
    arguments: list[str],
    message: str,
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt").write_text("the cat\n")
    Path("pairs.tsv").write_text("the cat\ta dog\n")
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(app, [argument.format(folders[model]) for argument in arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert sorted(tmp_path.iterdir()) == before


def test_choices_of_the_shell_are_those_of_the_library() -> None:
    assert [*LoadedAs] == [*TASKS]
    assert [*Reduction] == [*REDUCTIONS]
    assert [*LAYER_SCOPES] == [*SCOPES]
    assert {*Scope} == {*SCOPES, *(scope for name in HOMES for scope in method_named(name).scopes)}
    assert {*Split} == {"half", "integrated", "first", "second"}


@pytest.mark.parametrize("kind", ["albert", "funnel", "gpt2", "llama", "marian", "prophetnet", "t5", "xlnet"])
def test_layers_that_an_analysis_has_are_counted_by_the_config(kind: str) -> None:
    model = tiny.build(kind)
    outline = Outline(kind, model.config, type(model), None)
    lens = normlens.load((model, None))
    target = [5, 6, 7] if outline.is_encoder_decoder else None
    try:
        analysis = lens.analyze([7, 8, 9, 10], target_text=target)
    except normlens.NormLensError:
        pytest.skip("isn't measured")
    for group in analysis.groups:
        data = analysis[group].data
        for layer, head in zip(data["layer"].values.tolist(), data["head"].values.tolist(), strict=False):
            outline.check_view(group, layer, head)


@pytest.mark.parametrize("config", [AutoConfig.for_model("nemotron_h"), AutoConfig.for_model("clip")])
def test_a_config_that_says_nothing_refuses_nothing(config: object) -> None:
    outline = Outline("m", config, None, None)  # type: ignore[arg-type]
    outline.check_view("encoder", 1, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["attribute", "{}", TEXT],
        ["attribute", "{}", TEXT, "-m", "rollout", "--row", "1"],
        ["compare", "{}", TEXT, "-m", "decompx"],
        ["analyze", "{}", TEXT],
        ["report", "{}", "corpus.txt"],
        ["cluster", "heads", "{}", "corpus.txt"],
        ["align", "pairs.tsv", "--model", "{}"],
        ["topk", "{}", "corpus.txt"],
    ],
)
def test_a_terminal_shows_a_sign_of_life_before_torch_is_imported(
    arguments: list[str], folders: dict[str, Path], tmp_path: Path
) -> None:
    """The first bytes come while torch isn't imported yet, which no clock has to tell."""
    (tmp_path / "corpus.txt").write_text("the cat\n")
    (tmp_path / "pairs.tsv").write_text("the cat\ta dog\n")
    main, other = pty.openpty()
    script = (
        "import sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': sys.stderr.flush(); sys.stderr.write('<torch>'); sys.stderr.flush()\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from normlens.cli import main; main()"
    )
    command = [sys.executable, "-c", script, *(argument.format(folders["gpt2"]) for argument in arguments)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=other, cwd=tmp_path, env=environment) as process:
        os.close(other)
        seen = b""
        until = time.monotonic() + 100
        while b"<torch>" not in seen and time.monotonic() < until:
            try:
                seen += os.read(main, 4096)
            except OSError:
                break
        process.kill()
    os.close(main)
    before = seen.partition(b"<torch>")[0]
    assert b"Loading" in before or b"Starting" in before


def test_the_commands_are_parsed_without_heavy_libraries() -> None:
    heavy = "{'numpy', 'xarray', 'pandas', 'torch', 'transformers', 'matplotlib'}"
    code = f"import sys, normlens.cli.app; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_pipes_get_no_more_lines_than_before(folders: dict[str, Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "model"
    GPT2LMHeadModel._from_config(tiny.configuration("gpt2")).save_pretrained(folder)
    for file in folders["gpt2"].glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    result = CliRunner().invoke(app, ["attribute", str(folder), TEXT, "--json"])
    assert json.loads(result.stdout)["method"] == "decompx"
    assert result.stderr.splitlines() == [f"Loading {folder}", "Running decompx"]
