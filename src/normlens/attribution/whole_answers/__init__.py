"""Whole answers: every token that a model generated, or should have, as the target of an attribution."""
