"""Several sweeps that answer one question: configuration files, grid searches, the paper's tables."""
