"""The studies: published findings measured again, and what normlens' own claims rest on.

``python -m reproduce`` lists them; ``python -m reproduce STUDY --help`` lists the options of a study.
"""
