"""The measurements that a rule can use."""

import pandas as pd

from curate.checks.measures.measurements import measurements
from curate.checks.measuring_workers import measure_ahead
from curate.checks.rules.rule import CannotRun, Inputs


def readable(inputs: Inputs) -> pd.DataFrame:
    """The measurements of the images that can be read, after a column `key`. Raises CannotRun where there are none."""
    measure_ahead(inputs.collection, inputs.images, inputs.asked)
    numbers = measurements(inputs.collection, inputs.images, inputs.workers)
    numbers.insert(0, "key", inputs.images["key"])
    numbers = numbers.dropna()
    if numbers.empty:
        raise CannotRun("none of the image files can be read; put them back where they were")
    return numbers
