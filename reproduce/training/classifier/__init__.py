"""Classifiers of sentences."""
