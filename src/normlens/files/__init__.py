"""Atomic writing of files, and refusal of files that can't be read to their end."""
