"""The grid of trials: what is asked for, planned, run, and recorded."""
