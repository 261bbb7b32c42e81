"""What happens to a prediction when words are erased: comprehensiveness, sufficiency, AOPC."""
