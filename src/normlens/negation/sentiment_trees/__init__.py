"""Tree models that learn meanings from trees with a label at every node: domain, value and function, and four others."""

from normlens.negation.sentiment_trees.labeled_trees import LABELS, LabeledTree, parse_tree, read_trees
from normlens.negation.sentiment_trees.negation_in_trees import (
    ALL_CUES,
    CUES,
    HeldOut,
    NegatedPhrase,
    hold_out,
    negated_phrases,
    polarity,
    words_in_scope,
)
from normlens.negation.sentiment_trees.structured_model import StructuredModel
from normlens.negation.sentiment_trees.tree_batches import Forest, Level, TreeBatch, WordNumbers, word_numbers_of
from normlens.negation.sentiment_trees.tree_models import (
    BagOfVectors,
    MatrixVectorNetwork,
    RecursiveNetwork,
    TensorNetwork,
    TreeModel,
)
from normlens.negation.sentiment_trees.tree_training import (
    TreeEpoch,
    TreeTraining,
    accuracies,
    predicted_labels,
    train_trees,
)

__all__ = [
    "ALL_CUES",
    "CUES",
    "LABELS",
    "BagOfVectors",
    "Forest",
    "HeldOut",
    "LabeledTree",
    "Level",
    "MatrixVectorNetwork",
    "NegatedPhrase",
    "RecursiveNetwork",
    "StructuredModel",
    "TensorNetwork",
    "TreeBatch",
    "TreeEpoch",
    "TreeModel",
    "TreeTraining",
    "WordNumbers",
    "accuracies",
    "hold_out",
    "negated_phrases",
    "parse_tree",
    "polarity",
    "predicted_labels",
    "read_trees",
    "train_trees",
    "word_numbers_of",
    "words_in_scope",
]
