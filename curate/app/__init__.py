"""The FiftyOne App over a collection: a view of it that can be thrown away and built again.

The collection is the truth. The database owns one thing, the tags that were made in the App since the last sync.
"""
