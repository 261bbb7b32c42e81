"""Pictures of arrays: matplotlib for paper, one self-contained HTML page for the screen.

This room takes only numpy and xarray arrays; no model and no tensor enters it. One color rule applies throughout:
**blue is what the weights say, vermilion is what attention moves** (the norms).
"""

from normlens.figures.alignment_panels import aer_curves, alignment_matrices
from normlens.figures.analysis_page import html_view
from normlens.figures.answer_panels import answer_map, source_bars
from normlens.figures.clusters import cluster_map
from normlens.figures.comparison_panels import comparison_maps
from normlens.figures.corpus_figures import report_figures
from normlens.figures.cue_panels import scope_map, scope_maps
from normlens.figures.heatmaps import heat_maps
from normlens.figures.highlights import highlight_colors, highlights
from normlens.figures.highlights_page import highlights_page
from normlens.figures.layers import mixing_ratios, share_curves
from normlens.figures.link_lines import LinkedPair, links_page
from normlens.figures.overview import head_overview
from normlens.figures.patches import patch_maps
from normlens.figures.saving import save
from normlens.figures.scored_text import Row, ScoredText, ScoredWord, scored_text, scored_texts

__all__ = [
    "LinkedPair",
    "Row",
    "ScoredText",
    "ScoredWord",
    "aer_curves",
    "alignment_matrices",
    "answer_map",
    "cluster_map",
    "comparison_maps",
    "head_overview",
    "heat_maps",
    "highlight_colors",
    "highlights",
    "highlights_page",
    "html_view",
    "links_page",
    "mixing_ratios",
    "patch_maps",
    "report_figures",
    "save",
    "scope_map",
    "scope_maps",
    "scored_text",
    "scored_texts",
    "share_curves",
    "source_bars",
]
