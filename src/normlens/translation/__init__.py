"""Small translation models for any language pair, trained on the text at hand: to translate it, and to align its words.

`train` trains one direction or both and resumes a killed run; `evaluate` scores a model by BLEU and chrF.
"""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of
from normlens.translation.preparation import Preparation, TrainingText
from normlens.translation.recipe import Recipe, recipe_for

if TYPE_CHECKING:
    from normlens.translation.scoring import TranslationScores, score
    from normlens.translation.training_run import TrainedPair, train
    from normlens.translation.translated_text import evaluate
    from normlens.translation.translator import TranslatedText

__all__ = [
    "Preparation",
    "Recipe",
    "TrainedPair",
    "TrainingText",
    "TranslatedText",
    "TranslationScores",
    "evaluate",
    "recipe_for",
    "score",
    "train",
]
_HOMES = {
    "train": "normlens.translation.training_run",
    "TrainedPair": "normlens.translation.training_run",
    "TranslationScores": "normlens.translation.scoring",
    "TranslatedText": "normlens.translation.translator",
    "evaluate": "normlens.translation.translated_text",
    "score": "normlens.translation.scoring",
}
__getattr__ = attribute_of(__name__, _HOMES)
