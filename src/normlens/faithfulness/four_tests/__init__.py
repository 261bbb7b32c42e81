"""Whether an explanation of a classifier can be trusted: the four tests of Wiegreffe & Pinter 2019, for any explanation.

`run_cells` trains every model of an experiment, and `write_run` writes what came of it. The rest are the pieces: the paper's
classifiers, uniform attention, guides of the diagnostic, the adversary's loss, divergences, and Jain & Wallace's measures.
"""

from normlens.faithfulness.four_tests.adversary import adversarial_loss
from normlens.faithfulness.four_tests.cells import Cell, base_cell
from normlens.faithfulness.four_tests.comparison_with_weights import detection, norms_answer
from normlens.faithfulness.four_tests.diagnostic import (
    guide_from,
    label_guide,
    permuted_guide,
    random_guide,
    token_evidence,
    uniform_guide,
)
from normlens.faithfulness.four_tests.divergences import (
    jensen_shannon,
    kendall,
    kullback_leibler,
    one_output_total_variation,
    symmetric_kullback_leibler,
    total_variation,
)
from normlens.faithfulness.four_tests.experiment import (
    ClassifierOptions,
    Experiment,
    TestOptions,
    experiment_of,
    read_experiment,
)
from normlens.faithfulness.four_tests.instances import instance_table
from normlens.faithfulness.four_tests.labeled_texts import DataFiles
from normlens.faithfulness.four_tests.models import (
    Prediction,
    RecurrentClassifier,
    TokenClassifier,
    classification_loss,
)
from normlens.faithfulness.four_tests.outcomes import Outcome
from normlens.faithfulness.four_tests.permutations import (
    adversarial_attention,
    gradient_importance,
    permutation_changes,
)
from normlens.faithfulness.four_tests.run_results import Instances, findings
from normlens.faithfulness.four_tests.schedule import run_cells
from normlens.faithfulness.four_tests.seeds import by_largest_weight, seed_divergences
from normlens.faithfulness.four_tests.training import TrainingOptions
from normlens.faithfulness.four_tests.transformer import TransformerClassifier
from normlens.faithfulness.four_tests.uniform import uniform_attention
from normlens.faithfulness.four_tests.written_run import results_of, write_run

__all__ = [
    "Cell",
    "ClassifierOptions",
    "DataFiles",
    "Experiment",
    "Instances",
    "Outcome",
    "Prediction",
    "RecurrentClassifier",
    "TestOptions",
    "TokenClassifier",
    "TrainingOptions",
    "TransformerClassifier",
    "adversarial_attention",
    "adversarial_loss",
    "base_cell",
    "by_largest_weight",
    "classification_loss",
    "detection",
    "experiment_of",
    "findings",
    "gradient_importance",
    "guide_from",
    "instance_table",
    "jensen_shannon",
    "kendall",
    "kullback_leibler",
    "label_guide",
    "norms_answer",
    "one_output_total_variation",
    "permutation_changes",
    "permuted_guide",
    "random_guide",
    "read_experiment",
    "results_of",
    "run_cells",
    "seed_divergences",
    "symmetric_kullback_leibler",
    "token_evidence",
    "total_variation",
    "uniform_attention",
    "uniform_guide",
    "write_run",
]
