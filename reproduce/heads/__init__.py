"""Idle heads: which heads of a model may be zeroed, chosen by weight and by what they move."""
