"""Word alignment from the cross-attention of translation models.

`align` does it in one call. `Extractor` reads soft alignments from one model, `Aligner` aligns a parallel text with one or
two models, `evaluate` compares links with annotated ones, and `difference` compares two alignments.
"""

from typing import TYPE_CHECKING

from normlens.alignment.error_rate import Difference, Evaluation, difference, evaluate
from normlens.alignment.soft import SoftAlignment, averaged, joint_links, two_way
from normlens.alignment.symmetrization import SYMMETRIZATIONS, agreement, grow_diag, symmetrize
from normlens.bitext.corpora import Line, ParallelFiles, skip
from normlens.bitext.formats import parse_links, pharaoh_line, talp_line
from normlens.bitext.link_files import LinkFile, read_links
from normlens.bitext.links import Link, LinkSets
from normlens.bitext.raw_text import Tokenized
from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.alignment.aligner import Aligner, Alignment, with_layers
    from normlens.alignment.calling import align
    from normlens.alignment.extractor import Extractor, Pair
    from normlens.alignment.layer_rules import RULES, LayerChoice, choose_layer
    from normlens.alignment.pictures import draw_matrices, write_links_page
    from normlens.alignment.readings import Reading

__all__ = [
    "RULES",
    "SYMMETRIZATIONS",
    "Aligner",
    "Alignment",
    "Difference",
    "Evaluation",
    "Extractor",
    "LayerChoice",
    "Line",
    "Link",
    "LinkFile",
    "LinkSets",
    "Pair",
    "ParallelFiles",
    "Reading",
    "SoftAlignment",
    "Tokenized",
    "agreement",
    "align",
    "averaged",
    "choose_layer",
    "difference",
    "draw_matrices",
    "evaluate",
    "grow_diag",
    "joint_links",
    "parse_links",
    "pharaoh_line",
    "read_links",
    "skip",
    "symmetrize",
    "talp_line",
    "two_way",
    "with_layers",
    "write_links_page",
]
_HOMES = {
    "align": "normlens.alignment.calling",
    "Aligner": "normlens.alignment.aligner",
    "Alignment": "normlens.alignment.aligner",
    "with_layers": "normlens.alignment.aligner",
    "Extractor": "normlens.alignment.extractor",
    "Pair": "normlens.alignment.extractor",
    "RULES": "normlens.alignment.layer_rules",
    "LayerChoice": "normlens.alignment.layer_rules",
    "choose_layer": "normlens.alignment.layer_rules",
    "draw_matrices": "normlens.alignment.pictures",
    "write_links_page": "normlens.alignment.pictures",
    "Reading": "normlens.alignment.readings",
}
__getattr__ = attribute_of(__name__, _HOMES)
