"""Fine-tuning CLIP as a classifier, after arXiv 2501.07221: cross-entropy over image-text logits.

The logits of an image are its cosines with *every class's* text, times the temperature, and the target is its label.
(CLIP's own contrastive loss pairs positions in the batch, which makes two images of one class each other's negatives.)

`start="probe"` is LP-FT (Kumar et al. 2022, arXiv 2202.10054): the class vectors start as the linear probe of the
frozen features in place of the texts, for models whose text tower knows nothing yet; only the image tower is trained.
What comes of it can be averaged with where it began (WiSE-FT; Wortsman et al. 2022, arXiv 2109.01903).
"""

from typing import Annotated, Literal

from curate.foundation.options import option, settings
from fewshot.classifier import of_images
from fewshot.methods.linear_probe import LinearProbe
from fewshot.methods.tuning_options import BATCH_SIZE, DECAY, EPOCHS, RATE, SCHEDULE
from fewshot.task import Draw, Fitted, Task
from fewshot.training.heads import FreeHead, Head, TextHead
from fewshot.training.loop import Optimisation
from fewshot.training.tuning import Tuning
from fewshot.training.working_copies import WorkingCopy, working_copy


@settings
class Finetune:
    """The paper's recipe by default; `data/recipes.yaml` names others. Raises UsageError for what makes no sense."""

    lr: Annotated[float, RATE] = 1e-5  # ten times it diverges with ViT-B/32 (arXiv 2501.07221)
    weight_decay: Annotated[float, DECAY] = 1e-3
    epochs: Annotated[int, EPOCHS] = 5
    batch_size: Annotated[int, BATCH_SIZE] = 0
    schedule: Annotated[Literal["constant", "cosine"], SCHEDULE] = "constant"
    towers: Annotated[
        Literal["both", "image"],
        option("What is trained: both towers, or the image tower (the texts stay as they are)."),
    ] = "both"
    start: Annotated[
        Literal["text", "probe"], option("What the class vectors start as: the texts, or the linear probe.")
    ] = "text"

    def optimisation(self) -> Optimisation:
        return Optimisation(self.lr, self.weight_decay, self.epochs, self.batch_size, self.schedule)

    def fit(self, draw: Draw, task: Task) -> Fitted:
        """Raises Diverged."""
        copy = working_copy(task.clip)
        copy.restore()  # a head may be computed from the starting weights
        tuning: Tuning = copy.get_or_make((self, task.texts), lambda: self._tuning(copy, draw, task))

        def begin() -> None:
            if isinstance(tuning.head, FreeHead):
                set_to_probe(tuning.head, draw, task)

        return tuning.fit(draw, task, begin)

    def _tuning(self, copy: WorkingCopy, draw: Draw, task: Task) -> Tuning:
        head: Head
        if self.start == "probe":
            head = FreeHead(len(task.classes), draw.images.features().shape[1], task.clip.device)
        else:
            head = TextHead(copy.model, task, frozen=self.towers == "image")
        return Tuning(task.clip, copy, head, self.optimisation())


def set_to_probe(head: FreeHead, draw: Draw, task: Task) -> None:
    """Set class vectors to the linear probe of the frozen features."""
    probe = of_images(LinearProbe(powers=(1.0,)).fit(draw, task).classifier()).head
    head.set(**probe.state_dict())
