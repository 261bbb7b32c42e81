"""What all studies share: options, results that are kept, pages, figures, intervals."""
