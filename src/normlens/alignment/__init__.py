"""Word alignment from the cross-attention of translation models.

`align` does it in one call. `Extractor` reads soft alignments from one model, `Aligner` aligns a parallel text with one or
two models, `evaluate` compares links with annotated ones, and `difference` compares two alignments.
"""

from typing import TYPE_CHECKING

from normlens.alignment.corpora import Line, ParallelFiles, joined_stream, skip
from normlens.alignment.defaults import DEFAULT_MODEL, DEFAULT_REVERSE_MODEL
from normlens.alignment.error_rate import Difference, Evaluation, difference, evaluate
from normlens.alignment.formats import check_ranges, json_line, parse_links, pharaoh_line, talp_line
from normlens.alignment.link_files import LinkFile, read_links
from normlens.alignment.links import Cell, Link, LinkSets
from normlens.alignment.raw_text import Tokenized
from normlens.alignment.resumable import ResumableFile
from normlens.alignment.soft import SoftAlignment, averaged, joint_links, two_way
from normlens.alignment.symmetrization import SYMMETRIZATIONS, agreement, grow_diag, symmetrize
from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.alignment.aligner import COMBINATIONS, FORMATS, Aligner, Alignment, with_layers
    from normlens.alignment.calling import align
    from normlens.alignment.cross_attention import check_translator
    from normlens.alignment.extractor import Extractor, Pair, every_reading
    from normlens.alignment.layer_rules import DEFAULT_RULES, RULES, Evidence, LayerChoice, choose_layer, gather
    from normlens.alignment.pictures import draw_matrices, write_links_page
    from normlens.alignment.readings import Reading
    from normlens.alignment.subwords import set_languages, split_words

__all__ = [
    "COMBINATIONS",
    "DEFAULT_MODEL",
    "DEFAULT_REVERSE_MODEL",
    "DEFAULT_RULES",
    "FORMATS",
    "RULES",
    "SYMMETRIZATIONS",
    "Aligner",
    "Alignment",
    "Cell",
    "Difference",
    "Evaluation",
    "Evidence",
    "Extractor",
    "LayerChoice",
    "Line",
    "Link",
    "LinkFile",
    "LinkSets",
    "Pair",
    "ParallelFiles",
    "Reading",
    "ResumableFile",
    "SoftAlignment",
    "Tokenized",
    "agreement",
    "align",
    "averaged",
    "check_ranges",
    "check_translator",
    "choose_layer",
    "difference",
    "draw_matrices",
    "evaluate",
    "every_reading",
    "gather",
    "grow_diag",
    "joined_stream",
    "joint_links",
    "json_line",
    "parse_links",
    "pharaoh_line",
    "read_links",
    "set_languages",
    "skip",
    "split_words",
    "symmetrize",
    "talp_line",
    "two_way",
    "with_layers",
    "write_links_page",
]
_HOMES = {
    "align": "normlens.alignment.calling",
    "FORMATS": "normlens.alignment.aligner",
    "COMBINATIONS": "normlens.alignment.aligner",
    "Aligner": "normlens.alignment.aligner",
    "Alignment": "normlens.alignment.aligner",
    "with_layers": "normlens.alignment.aligner",
    "Extractor": "normlens.alignment.extractor",
    "Pair": "normlens.alignment.extractor",
    "every_reading": "normlens.alignment.extractor",
    "DEFAULT_RULES": "normlens.alignment.layer_rules",
    "RULES": "normlens.alignment.layer_rules",
    "Evidence": "normlens.alignment.layer_rules",
    "LayerChoice": "normlens.alignment.layer_rules",
    "choose_layer": "normlens.alignment.layer_rules",
    "gather": "normlens.alignment.layer_rules",
    "draw_matrices": "normlens.alignment.pictures",
    "write_links_page": "normlens.alignment.pictures",
    "check_translator": "normlens.alignment.cross_attention",
    "set_languages": "normlens.alignment.subwords",
    "split_words": "normlens.alignment.subwords",
    "Reading": "normlens.alignment.readings",
}
__getattr__ = attribute_of(__name__, _HOMES)
