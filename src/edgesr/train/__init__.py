"""Training: strict recipes, the stages of DESIGN section 4, checkpoints, and the loop that runs them."""
