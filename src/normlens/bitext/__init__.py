"""Parallel text: read from files, split into words, and linked word by word, in files and by a statistical aligner."""
