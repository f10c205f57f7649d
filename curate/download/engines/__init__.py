"""Whose turn it is, and who asks: the schedule, on threads, processes or a cluster."""
