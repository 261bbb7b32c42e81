"""Word alignment on annotated sentences."""
