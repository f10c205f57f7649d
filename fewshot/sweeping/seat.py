"""Where packs are run for somebody in another process: one device, so many threads, and a runner made when needed."""

import os
from typing import Any

from curate.models import clip_models
from fewshot.sweeping.batched_trials import Pack
from fewshot.sweeping.plan import Plan


class Seat:
    def __init__(self, plan: Plan, device: str, threads: int, precision: str = "") -> None:
        """precision: of the frozen encoder, where it is another machine's to say; "" is what suits the device."""
        self._plan, self._device, self._threads, self._precision = plan, device, threads, precision
        self._runner: Any = None

    def begin(self) -> str:
        """Load the model; the digest of its image tower."""
        import torch
        from threadpoolctl import threadpool_limits

        from fewshot.sweeping.trial import Runner
        from fewshot.training.deterministic import deterministic

        torch.set_num_threads(self._threads)
        threadpool_limits(self._threads)
        settings = self._plan.settings
        with deterministic(settings.deterministic):
            clip = clip_models.load(settings.model, checkpoint=settings.checkpoint, device=self._device)
            clip.precision = self._precision or clip.precision
            self._runner = Runner(self._plan, clip)
        return clip.image_digest

    def run(self, pack: Pack) -> None:
        """Write the records of a pack's missing trials."""
        from fewshot.training.deterministic import deterministic

        if self._runner is None:
            self.begin()
        with deterministic(self._plan.settings.deterministic):
            self._runner.run(pack)


def shared_threads(seats: int) -> int:
    """For each of several seats on this machine."""
    return max(1, (os.cpu_count() or 1) // seats)
