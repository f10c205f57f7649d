"""Acceptance: which synthetic images are worth training on, and why the others are not.

synthetic images ─┐
photographs ──────┴─► rules ─► acceptance.parquet ─┐
a person ────────────────────► ledger.jsonl ───────┴─► curate.collection.sets.accepted
"""
