"""Pictures of the README and the docs."""
