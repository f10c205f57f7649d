"""What a pipeline makes of prompts, computed once for each."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch

# As encode_prompt of the pipelines with a UNet returns them: those of SD 1.5's kind the first two, SDXL's all four.
_PARTS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_KEPT = 512  # encodings; one of SDXL takes 0.3 MB in bf16, with its negative 0.6 MB

Pair = tuple[str, str]  # prompt, negative prompt


class Texts:
    """Prompts as arguments of a pipeline's call.

    The pipelines with a UNet pad every prompt to their tokenizers' full length, so an encoding does not depend on its
    neighbours, and is kept. Others are given the words: some pad to the longest prompt of the batch.
    """

    def __init__(self, pipe: Any, guided: bool) -> None:
        self._pipe = pipe
        self._guided = guided
        self._accepted = inspect.signature(type(pipe).__call__).parameters
        self._known: dict[Pair, tuple[torch.Tensor | None, ...]] = {}

    def arguments(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """(prompt, negative prompt) of each image -> arguments of the pipeline's call."""
        if not self._encodes():
            words = {"prompt": [prompt for prompt, _ in pairs]}
            if self._guided and "negative_prompt" in self._accepted:
                words["negative_prompt"] = [negative for _, negative in pairs]
            return words
        if len(self._known) > _KEPT:
            self._known.clear()
        self._encode(sorted(set(pairs) - self._known.keys()))
        columns = zip(*(self._known[pair] for pair in pairs), strict=True)
        named = zip(_PARTS, columns, strict=False)
        return {name: torch.stack(column) for name, column in named if column[0] is not None}

    def _encodes(self) -> bool:
        unet = getattr(self._pipe, "unet", None) is not None
        return unet and "prompt_embeds" in self._accepted and hasattr(self._pipe, "encode_prompt")

    def _encode(self, pairs: list[Pair]) -> None:
        # An empty negative prompt is none: SDXL takes zeros for it, all or none of a batch.
        for some in ([p for p in pairs if p[1]], [p for p in pairs if not p[1]]):
            if not some:
                continue
            parts = self._pipe.encode_prompt(
                prompt=[prompt for prompt, _ in some],
                device=self._pipe._execution_device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=self._guided,
                negative_prompt=[negative for _, negative in some] if some[0][1] else None,
            )
            for i, pair in enumerate(some):
                self._known[pair] = tuple(None if part is None else part[i] for part in parts)
