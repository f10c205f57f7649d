"""Acceptance of a collection's synthetic images: every rule over each of them, to findings that are written whole."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from curate.checks import runner, settings
from curate.checks.features import unit_features
from curate.collection import findings, sets, synthetic
from curate.collection.directory import Collection
from curate.collection.findings import Findings
from curate.collection.ledger import Ledger
from curate.foundation.errors import FewposeError
from curate.foundation.text import command_line
from curate.images.signatures import Signatures
from curate.models import clip_models
from curate.models.clip_models import ClipModel
from synth.accept.candidates import Candidates
from synth.accept.rules import RULES

NAME = "acceptance.yaml"

_HEAD = """\
# What `synth accept` looks for in the synthetic images of this collection. Change it, and give the command again.
#   enabled    whether the rule runs
#   drops      whether what it flags is rejected, unless a person keeps it
#   threshold  the score, from 0 (fine) to 1, from which on an image is flagged
"""


def accept(
    collection: Collection,
    *,
    model: str | None = "lite0",
    checkpoint: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
) -> Findings:
    """Run the rules that the collection's settings (acceptance.yaml) enable over its synthetic images.

    What they find replaces what they found earlier; curate.collection.sets.explain_synthetic says what is accepted by
    it, and by the ledger. Photographs are compared with, and never judged.

    model, checkpoint, device: of the features that some rules need (as in clip_models.load); model None: no features.
    workers: threads; one for each CPU unless said.

    What a rule lacks is recorded (Ran.not_run). The same collection and settings give the same bytes.
    Raises UsageError for settings, a model or weights that make no sense, FewposeError where there are no synthetic
    images, where the model can't be had (else all would be accepted unseen), or where another command is changing the
    collection.
    """
    with collection.locked():
        images = sets.labelled(collection)
        made, photographs = (
            part.reset_index(drop=True) for part in (synthetic.synthetic(images), synthetic.real(images))
        )
        if made.empty:
            raise FewposeError(
                f"{collection.root} has no synthetic images yet; "
                f"{command_line('synth', 'generate', collection.root, '--model', 'mannequin')}"
            )
        chosen = settings.load(collection, RULES, NAME, _HEAD)
        needed = model is not None and runner.features_are_needed(RULES, chosen)
        clip = clip_models.load(str(model), checkpoint=checkpoint, device=device) if needed else None
        dropped = {id for id, verdict in Ledger(collection).state().verdict.items() if verdict == "drop"}
        try:
            with Signatures(collection) as signatures:
                candidates = Candidates(
                    collection=collection,
                    images=made,
                    signatures=signatures,
                    features=_features(collection, made, clip),
                    model=clip.name if clip else runner.NO_MODEL,
                    workers=workers or os.cpu_count() or 1,
                    photographs=photographs,
                    photograph_features=_features(collection, photographs, clip),
                    trusted=~photographs["id"].isin(dropped).to_numpy(),
                    clip=clip,
                )
                found = runner.run_rules(RULES, candidates, chosen, NAME)
            findings.write(collection, found, findings.ACCEPTANCE)
        except OSError as error:
            raise FewposeError(f"cannot write {error.filename or collection.root}: {error.strerror}") from error
    return found


def _features(collection: Collection, images: pd.DataFrame, clip: ClipModel | None) -> np.ndarray | None:
    return unit_features(collection, images, clip) if clip is not None and len(images) else None
