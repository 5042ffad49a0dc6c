"""Training data and evaluation data: the image bank, the blind degradation, the evaluation suites."""
