"""Gradient descent: the optimizer, the step, checkpoints, and what text teaches."""
