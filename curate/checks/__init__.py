"""Checks: rules look at a collection and say what is suspicious. They never change an image, and decide nothing.

images, pixels, features ─► rules ─► findings.parquet ─┐
                                                       ├─► sets: filtered
a person ─────────────────► decisions ─► ledger.jsonl ─┘
"""
