"""The findings of Kobayashi et al. by norms (2020, 2021), on other models."""
