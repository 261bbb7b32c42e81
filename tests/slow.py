"""The tests that `make quick` leaves out: folders, files, and single tests of three seconds of CPU time or more."""

from __future__ import annotations

SLOW = (
    "alignment/test_aligning.py::test_layers_are_chosen_by_the_first_lines_and_no_line_is_lost",
    "alignment/test_alignment_calling.py::test_links_are_those_of_the_aligner",
    "alignment/test_alignment_calling.py::test_the_layer_is_chosen_and_two_models_are_made_one",
    "alignment/test_alignment_commands.py",
    "alignment/test_alignment_extraction.py::test_equals_the_engine_in_every_family",
    "architectures/",
    "reproduce/",
    "usages/",
    "analysis/test_inspection.py::test_a_layer_whose_attention_adds_little_still_has_a_rest",
    "analysis/test_inspection.py::test_a_setting_that_is_changed_is_seen",
    "analysis/test_inspection.py::test_padding_is_tried_anew_when_the_model_has_changed",
    "analysis/test_reducing.py::test_a_padded_batch_is_reduced_text_by_text",
    "analysis/test_reducing.py::test_categories_are_those_of_whole_maps_wherever_the_padding_is",
    "analysis/test_reducing.py::test_category_sums",
    "analysis/test_reducing.py::test_what_belongs_to_a_target_is_kept",
    "attribution/test_core_decompx.py::test_the_last_hidden_states_are_those_before_the_head",
    "attribution/test_value_zeroing.py::test_value_zeroing_by_its_definition",
    "cli/test_analyze.py::test_every_format_is_written_and_standard_output_stays_empty",
    "cli/test_attribute.py::test_files_are_written_by_their_ending",
    "cli/test_cluster.py::test_an_encoder_decoder_reads_pairs",
    "cli/test_cluster.py::test_heads_are_compared_over_a_corpus",
    "cli/test_fuzz.py",
    "cli/test_media_inputs.py",
    "cli/test_process.py",
    "cli/test_report_command.py::test_the_report_is_whole_and_says_where_it_is",
    "engine/frozen/test_frozen_outside.py::test_a_model_and_a_part_of_it_wait_for_each_other",
    "engine/frozen/test_frozen_push_forward.py::test_it_is_pull_back_source_by_source",
    "engine/frozen/test_frozen_real_models.py",
    "faithfulness/",
    "inputs/test_encoding.py::test_pieces_of_one_character_are_read_as_that_character",
    "inputs/test_treebanks.py::test_a_report_reads_a_treebank",
    "loading/test_checkpoint_files.py::test_a_configuration_that_asks_for_more_than_the_files_hold",
    "loading/test_loading.py::test_smollm_predicts_sensibly_so_its_weights_are_in_order",
    "test_docs.py::test_page_runs",
    "test_lens.py::test_a_padded_batch_equals_one_text_at_a_time",
    "test_lens.py::test_a_padded_batch_of_pairs_equals_one_pair_at_a_time",
    "test_lens.py::test_chunks_equal_the_whole",
    "test_lens.py::test_every_variable_equals_the_direct_formula",
    "test_public_names.py::test_no_public_name_gives_way_to_a_submodule_of_the_same_name",
    "test_review.py::test_a_long_text_in_a_batch_does_not_turn_the_short_ones",
    "test_review.py::test_what_a_decoder_adds_is_greedy_whatever_it_ships_with",
    "test_separate_device.py",
)
"""Beginnings of the names that pytest gives them, from the folder of the tests."""


def is_slow(name: str) -> bool:
    """Whether a test, by its name in pytest, is left out."""
    return name.removeprefix("tests/").startswith(SLOW)
