"""How long a trained model takes for an image: `fewshot bench`."""
