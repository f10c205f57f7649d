"""From predictions to numbers with intervals: metrics, statistics, curves, tables."""
