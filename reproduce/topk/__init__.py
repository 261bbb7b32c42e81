"""How few sources a target needs."""
