"""Shared by all studies: options, kept results, pages, figures, intervals."""
