"""What the collection adds to the FiftyOne App. A thin skin: all of it is there on the command line as well.

FiftyOne loads this folder by itself, in the process of the App's server, and hands over no more than the dataset and
the selection: the dataset's info says which collection they are of.
"""

from typing import Any

from curate.app.plugin.copies import FindCopies
from curate.app.plugin.decide import Drop, Keep, Relabel, Undo
from curate.app.plugin.posture import SamePosture
from curate.app.plugin.sets_panel import Sets


def register(plugin: Any) -> None:
    """Give FiftyOne the operators and the panel; it calls this when it loads the plugin."""
    for operator in (Drop, Keep, Relabel, Undo, FindCopies, SamePosture, Sets):
        plugin.register(operator)
