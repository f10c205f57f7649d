"""How work is handed out: units of work, workers made by a function, results as they come, a lost worker replaced.

    from curate.workers.settings import WorkerSettings
    from curate.workers.opening import open_pool

    with open_pool(make_worker, WorkerSettings(workers=4), most=len(units)) as pool:
        for unit, result in pool.run(units):
            ...

`make_worker(place)` returns a function from a unit to its result; it is called where the worker is, and may be slow.
`settings` is what a person asks for, `options` its flags, `places` shares cards, CPUs and threads out, `pool` hands out
units and says what becomes of a lost worker's; `processes` and `cluster` are the two ways to have workers elsewhere, by
what `transport` asks of both.

This file imports nothing: what runs in a worker imports no more of the room than it needs.
"""
