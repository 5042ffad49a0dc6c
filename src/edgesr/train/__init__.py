"""Training: strict recipes, the stages of docs/method.md, checkpoints, and the loop that runs them."""
