"""``normlens four-tests``: whether attention, or any other explanation, explains a classifier that is trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normlens.cli import options
from normlens.cli.output.four_tests_run import check_run_folder, give, run
from normlens.cli.terminal import starting


def four_tests(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG", help="A TOML file: data, classifier, training and tests.", show_default=False),
    ],
    output: options.RunFolder = Path("four-tests"),
    overwrite: options.Overwrite = False,
    workers: options.Workers = None,
    as_json: options.Json = False,
    device: options.Device = None,
) -> None:
    """Put explanations of a classifier to the four tests of "Attention is not not Explanation".

    Trains the classifier with learned and uniform attention and with other seeds, adversaries that move attention away while
    they keep the predictions, and models that are guided by each explanation. Trained models are kept in the folder: repeat
    the command to go on after a stop, or to add seeds or strengths.

    [bold]Examples[/bold]

    - [cyan]normlens four-tests sst.toml -o sst-tests[/cyan]

    - [cyan]normlens four-tests minilm.toml --device cuda --json[/cyan]
    """
    with starting():
        from normlens.faithfulness.four_tests.experiment import read_experiment
        from normlens.loading.load import checked_device

        experiment = read_experiment(config)
        checked_device(device)
        check_run_folder(output, experiment, reads=[config], overwrite=overwrite)
    numbers = run(experiment, output, f"The four tests: {config.stem}", workers, device or "cpu")
    give(numbers, output, as_json)
