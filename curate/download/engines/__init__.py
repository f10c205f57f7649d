"""Engines: which request may start when (the schedule), made by threads, by processes or on a cluster."""
