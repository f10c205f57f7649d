"""From a training set to measured few-shot classifiers."""
