"""Small translation models, aligned well enough to link words."""
