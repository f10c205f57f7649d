"""Fine-tuning the last blocks of the image tower and free class vectors; the rest of the model stays as it is.

What goes into the first of these blocks is computed once a sweep, so that a step costs what the blocks cost. The class
vectors start as the texts' (the zero-shot head of Wortsman et al. 2022, arXiv 2109.01903) or as the linear probe of the
frozen features (LP-FT; Kumar et al. 2022, arXiv 2202.10054). Loss and divergence are those of `finetune`.
"""

import torch
from torch import Tensor

from curate.foundation.options import settings
from curate.models.clip_models import ClipModel
from fewshot.methods.finetune import Finetune, set_to_probe
from fewshot.task import Draw, Fitted, Task
from fewshot.training import frozen_trunk
from fewshot.training.heads import FreeHead, TextHead
from fewshot.training.tuning import Tuning
from fewshot.training.working_copies import WorkingCopy, working_copy


@settings
class FinetuneLast(Finetune):
    """As Finetune, of `blocks` blocks (see fewshot.training.frozen_trunk; UsageError where the model has fewer).

    `towers` has no effect here: the text tower is never trained.
    """

    blocks: int = 1  # said by the method's name

    def check(self, clip: ClipModel) -> None:
        """Raises UsageError for an image tower that has fewer blocks, or can't be cut."""
        frozen_trunk.cut(clip.model.visual, self.blocks)

    def fit(self, draw: Draw, task: Task) -> Fitted:
        """Raises Diverged."""
        copy = working_copy(task.clip)
        tuning, head = copy.get_or_make((self, task.texts), lambda: self._with_head(copy, draw, task))

        def begin() -> None:
            if self.start == "probe":
                set_to_probe(head, draw, task)
            else:
                head.set(*copy.get_or_make(task.texts, lambda: _of_texts(copy, task)))

        result: Fitted = tuning.fit(draw, task, begin)
        return result

    def _with_head(self, copy: WorkingCopy, draw: Draw, task: Task) -> tuple[Tuning, FreeHead]:
        head = FreeHead(len(task.classes), draw.images.features().shape[1], task.clip.device)
        return Tuning(task.clip, copy, head, self.optimisation(), self.blocks), head


@torch.no_grad()
def _of_texts(copy: WorkingCopy, task: Task) -> tuple[Tensor, Tensor]:
    return TextHead(copy.model, task, frozen=True).class_vectors()
