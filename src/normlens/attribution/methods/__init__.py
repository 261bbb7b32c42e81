"""The methods of attribution, one module each; the registry imports its constant ``METHOD``."""
