"""What Kobayashi et al. found by norms (2020, 2021), on other models."""
