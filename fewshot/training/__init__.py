"""How a model is tuned: the loop, heads, the frozen trunk, adapters, augmentation, and many probes at once."""
