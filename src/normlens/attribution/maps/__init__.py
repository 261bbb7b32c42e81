"""Maps of single layers, and their rollout to maps of the whole model."""
