"""One program a claim; results as JSON in results/."""
