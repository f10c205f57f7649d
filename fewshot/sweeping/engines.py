"""Where packs of trials are run: in this process, in several of this machine, or on a Ray cluster."""

import torch

from curate.foundation import console
from curate.models.clip_models import ClipModel
from fewshot.sweeping.batched_trials import Pack, dealt
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.settings import SweepSettings
from fewshot.sweeping.trial import Runner
from fewshot.sweeping.workers import run_in_processes
from fewshot.training.deterministic import deterministic
from fewshot.trials import records


def run(plan: Plan, clip: ClipModel, packs: list[Pack]) -> None:
    """Run packs wherever the settings say. Raises FewposeError for what none of them can go on with."""
    settings, trials = plan.settings, sum(len(pack.missing) for pack in packs)
    devices = seats(settings, torch.cuda.device_count())
    with deterministic(settings.deterministic):
        with records.told(settings.collection):  # its cache
            runner = Runner(plan, clip)  # decodes and embeds in this process, for all
        if settings.engine != "ray" and len(devices) == 1:
            with console.progress("trials", trials, "trial") as advance:
                for pack in packs:
                    runner.run(pack)
                    advance(len(pack.missing))
            return
    del runner
    if clip.device.type == "cuda":
        torch.cuda.empty_cache()  # for the worker on this card
    with console.progress("trials", trials, "trial") as advance:
        if settings.engine == "ray":
            from fewshot.sweeping.cluster import run_on_ray

            run_on_ray(plan, clip, dealt(packs), advance)
        else:
            run_in_processes(plan, dealt(packs), devices, advance)


def seats(settings: SweepSettings, cards: int) -> tuple[str, ...]:
    """The device of each process on a machine with so many cards: each card in turn, unless one was named."""
    if settings.device in ("auto", "cuda") and cards > 1:
        return tuple(f"cuda:{number % cards}" for number in range(settings.workers or cards))
    return (settings.device,) * (settings.workers or 1)
