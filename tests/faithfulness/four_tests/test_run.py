"""Real runs on texts that can be learned in seconds: what must hold of each test, and resumption to the same numbers."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from made_texts import experiment, write_splits
from transformers import BertConfig, PreTrainedTokenizerFast

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.cell_work import Workplace, _task
from normlens.faithfulness.four_tests.cells import Cell, base_cell
from normlens.faithfulness.four_tests.comparison_with_weights import detection
from normlens.faithfulness.four_tests.instances import instance_table
from normlens.faithfulness.four_tests.outcomes import Outcome
from normlens.faithfulness.four_tests.run_results import Instances
from normlens.faithfulness.four_tests.schedule import Outcomes, Store, chosen_adversary, run_cells
from normlens.faithfulness.four_tests.written_run import results_of, write_run

Run = tuple[Workplace, Outcomes, Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    place, outcomes = run_cells(experiment(folder), folder / "cells", progress=False)
    return place, outcomes, folder


@pytest.fixture(scope="module")
def numbers(run: Run) -> dict[str, Any]:
    return results_of(run[0], run[1])[0]


def test_learned_and_uniform_attention_solve_it_and_shuffled_labels_give_chance(numbers: dict[str, Any]) -> None:
    classifiers = numbers["classifiers"]
    assert classifiers["learned"]["f1"]["value"] > 0.95 and classifiers["uniform"]["f1"]["value"] > 0.9
    chance = classifiers["shuffled"]["accuracy"]
    assert chance["low"] < 0.65 and chance["value"] < 0.75
    for row in classifiers.values():
        assert row["f1"]["low"] <= row["f1"]["value"] <= row["f1"]["high"]


def test_an_adversary_without_a_strength_stays_close_and_a_larger_one_moves_attention_further(
    numbers: dict[str, Any],
) -> None:
    idle, middle, strong = (row["weight"]["jsd"]["value"] for row in numbers["adversaries"])
    assert idle < strong and middle < strong and strong > 0.3
    assert numbers["adversaries"][0]["tvd"]["value"] < 0.1


def test_a_guide_that_knows_the_label_helps_the_diagnostic(numbers: dict[str, Any]) -> None:
    guides = {row["guide"]: row["f1"]["value"] for row in numbers["guides"]}
    assert guides["label"] > max(guides["uniform"], guides["base/weight/permuted"], guides["base/weight/random"])
    assert {"learned", "base/norm", "adversary/weight", "base/contribution/random"} <= set(guides)


def test_the_verdict_is_on_the_adversary_that_was_chosen_on_dev(run: Run, numbers: dict[str, Any]) -> None:
    chosen = chosen_adversary(run[0], run[1])
    assert chosen is not None and numbers["verdict"]["strength"] == numbers["adversary"] == chosen.strength
    assert chosen.seed == 1 and replace(chosen, seed=2) in run[1]  # the λ that was chosen has a second adversary
    assert len([cell for cell in run[1] if cell.role == "adversary"]) == 4
    moved = dict(run[1])
    for cell in moved:  # what the test texts say has no influence on the choice
        moved[cell] = replace(
            moved[cell], probabilities={**moved[cell].probabilities, "test": moved[cell].probabilities["test"][:, ::-1]}
        )
    assert chosen_adversary(run[0], moved) == chosen
    further = {**run[1], replace(chosen, seed=2): run[1][chosen]}
    del further[chosen]  # its second adversary, as good and as far, plays no part in the choice
    other = chosen_adversary(run[0], further)
    assert other is not None and other.seed == 1


def assert_uniform(place: Workplace) -> None:
    """The attention of a uniform cell is one over the number of tokens that may be read."""
    model, read, _, _ = _task(place, Cell("uniform", 0), {})
    batch = next(place.splits["test"].batches(8))
    with torch.no_grad():
        alpha = read(model.eval(), batch, "test").attention
    torch.testing.assert_close(alpha, batch.readable / batch.readable.sum(-1, keepdim=True))


def test_the_attention_of_a_uniform_cell_is_uniform(run: Run) -> None:
    assert_uniform(run[0])


def test_a_copied_model_is_at_no_distance(run: Run) -> None:
    place, outcomes, _ = run
    copied = {base_cell(): outcomes[base_cell()], Cell("learned", 1): outcomes[base_cell()]}
    table = instance_table(place, copied)
    copy = table[table["seed"] == 1]
    for name in ("weight", "norm", "contribution"):
        assert copy[f"jsd_{name}"].max() == pytest.approx(0, abs=1e-12)
        assert copy[f"kl_{name}"].max() == pytest.approx(0, abs=1e-12)
    assert copy["tvd"].max() == 0


def test_norms_are_weights_times_the_norms_of_states(run: Run) -> None:
    """The contributions of all tokens and the head's bias add up to the logit of the predicted class."""
    place, outcomes, _ = run
    base = outcomes[base_cell()]
    for row, mask in enumerate(place.splits["test"].readable[:20]):
        alpha, norm = (base.scores[name]["test"][row] for name in ("weight", "norm"))
        assert alpha.sum() == pytest.approx(1, abs=1e-5) and not norm[~mask].any() and (norm[mask] >= 0).all()


def test_a_stopped_run_goes_on_to_the_same_numbers_side_by_side(run: Run, tmp_path: Path) -> None:
    place, outcomes, folder = run
    shutil.copytree(folder / "cells", tmp_path / "cells")
    store = Store(place, tmp_path / "cells")
    gone = [base_cell(), Cell("learned", 2), Cell("adversary", 1, strength=0.3, needs=(base_cell(),))]
    for cell in gone[:2]:
        shutil.rmtree(store.path(cell))
    broken = store.path(gone[2]) / "outcome.npz"
    broken.write_bytes(broken.read_bytes()[:500])  # no killed run leaves this, since files appear whole
    again = run_cells(place.experiment, tmp_path / "cells", workers=2, progress=False)[1]
    assert list(again) == list(outcomes)  # in one order, whichever was trained first
    for cell in gone:
        for split in outcomes[cell].probabilities:
            np.testing.assert_array_equal(again[cell].probabilities[split], outcomes[cell].probabilities[split])
    assert again[gone[0]].history == outcomes[gone[0]].history
    np.testing.assert_array_equal(
        again[gone[0]].instances["adversarial_jsd"], outcomes[gone[0]].instances["adversarial_jsd"]
    )


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended since
        return ""


def test_workers_end_when_their_run_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(
        "from pathlib import Path\n"
        "from normlens.faithfulness.four_tests import experiment_of, run_cells\n"
        "if __name__ == '__main__':\n"
        f"    data = { ({name: str(path) for name, path in write_splits(tmp_path).items()})!r}\n"
        "    made = experiment_of({'data': data, 'training': {'epochs': 10000}})\n"
        f"    run_cells(made, Path({str(tmp_path / 'cells')!r}), workers=2, progress=False)\n",
        encoding="utf-8",
    )
    process = psutil.Popen([sys.executable, str(script)])
    try:
        deadline = time.monotonic() + 120
        workers: list[psutil.Process] = []
        while not workers and time.monotonic() < deadline:
            time.sleep(0.1)
            children = process.children()
            workers = [child for child in children if "spawn_main" in _command(child)]
        assert workers
        time.sleep(8)  # they train by now, or are about to
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def test_the_files_of_a_run_hold_the_same_numbers(run: Run, tmp_path: Path) -> None:
    place, outcomes, _ = run
    numbers = write_run(place, outcomes, tmp_path, "Trial")
    kept = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert kept["classifiers"]["learned"]["f1"]["value"] == numbers["classifiers"]["learned"]["f1"]["value"]
    table = pd.read_parquet(tmp_path / "instances.parquet")
    assert len(table) == len(outcomes) * 120
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert page.startswith("# Trial\n") and "| other seeds |" in page and "\n\n\n\n" not in page
    assert f"{numbers['seeds']['weight']['jsd']['value']:.3f}" in page
    for name in ("adversaries", "seeds", "guides"):
        assert (tmp_path / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_an_outcome_is_read_as_it_was_written(run: Run, tmp_path: Path) -> None:
    outcome = run[1][base_cell()]
    outcome.save(tmp_path, {"cell": "base"})
    again = Outcome.load(tmp_path)
    assert again is not None and again.history == outcome.history and set(again.scores) == set(outcome.scores)
    np.testing.assert_allclose(again.scores["norm"]["dev"][7], outcome.scores["norm"]["dev"][7], rtol=1e-6)
    assert Outcome.load(tmp_path / "nothing") is None


def test_a_detector_that_separates_has_an_area_of_one() -> None:
    columns = {
        "text": np.arange(5),
        "jsd_weight": np.arange(5.0),
        "jsd_norm": np.zeros(5),
        "inner_norm": -np.arange(5.0),
    }
    honest = pd.DataFrame(columns)
    areas = detection(honest, honest.assign(jsd_weight=9.0, inner_norm=-9.0), "norm")
    assert (areas["weight"]["value"], areas["explanation"]["value"], areas["inner"]["value"]) == (1, 0.5, 0)


def test_means_leave_out_missing_numbers() -> None:
    rows = pd.DataFrame({"seed": [0, 0, 1, 1], "text": [0, 1, 0, 1], "jsd": [0.1, np.nan, 0.3, 0.5]})
    assert Instances(rows, 2).mean(rows, "jsd")["value"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"tests": {"explanations": ["weight", "nrom"]}}, "no explanation 'nrom'.*Did you mean 'norm'"),
        ({"classifier": {"vectors": "nowhere.txt"}}, "nowhere.txt"),
    ],
)
def test_bad_input_is_refused_before_training(tmp_path: Path, tables: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        run_cells(experiment(tmp_path, **tables), tmp_path / "cells", progress=False)
    assert not (tmp_path / "cells").exists()


def test_a_transformer_takes_the_tests(checkpoint: Path, tmp_path: Path) -> None:
    quick = {"epochs": 8, "batch_size": 8, "learning_rate": 0.005, "weight_decay": 0.0, "warmup": 0.1}
    tests = {"seeds": 2, "strengths": [0.0, 0.3], "guides": 1, "shuffled": 1, "permutations": 3, "distributions": 1,
             "instances": 2, "explanations": ["weight", "norm", "norm:residual", "decompx"]}  # fmt: skip
    classifier = {"kind": "transformer", "model": str(checkpoint)}
    made = experiment(tmp_path, 60, classifier=classifier, training=quick, tests=tests)
    place, outcomes = run_cells(made, tmp_path / "cells", progress=False)
    numbers, table = results_of(place, outcomes)
    assert numbers["classifiers"]["learned"]["f1"]["value"] > 0.8
    idle, strong = (row["weight"]["jsd"]["value"] for row in numbers["adversaries"])
    assert strong > idle
    assert_uniform(place)
    uniform = outcomes[Cell("uniform", 0)]
    assert set(uniform.probabilities) == {"dev", "test"} and not uniform.scores
    assert {"norm", "norm:residual", "decompx"} == set(numbers["norms"])
    base = table[table["cell"] == base_cell().name]
    assert base["permutation_tvd"].notna().sum() == 2 and np.isfinite(base["jsd_decompx"]).all()


def test_a_head_with_other_classes_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    folder = tmp_path / "trained"
    config = BertConfig.from_pretrained(checkpoint, num_labels=3)
    BertForSequenceClassification(config).save_pretrained(folder)
    PreTrainedTokenizerFast.from_pretrained(checkpoint).save_pretrained(folder)
    made = experiment(tmp_path, classifier={"kind": "transformer", "model": str(folder)})
    with pytest.raises(InvalidInput, match=r"has 3 classes .*the texts have 2 \(neg, pos\)"):
        run_cells(made, tmp_path / "cells", progress=False)
