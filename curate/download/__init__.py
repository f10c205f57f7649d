"""Downloading: link lists become images of a collection, on a web that is half dead.

    links ─► pending ─► Job ─► engine (schedule: what may start; fetch: one hop) ─► Answer or Moved
                         ▲                                                          │
                         └── again later, elsewhere, or from an archive ◄── run ◄───┘
                                                                            │ store, journal
                                                                            ▼
                                                   placeholders ─► image table, rejects

`run.download` is the whole of it. What may be asked of whom and when is known to the engine alone, what an answer means
to `run` alone.
"""
