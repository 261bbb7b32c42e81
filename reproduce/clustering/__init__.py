"""Good clusterings: planted ones, noise, and attention heads."""
