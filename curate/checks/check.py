"""The check: every rule over every image of a collection, to findings that are written whole at the end."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from curate.checks import runner, settings
from curate.checks.rules import RULES
from curate.checks.rules.rule import Inputs
from curate.checks.settings import Setting
from curate.collection import findings, sets, synthetic
from curate.collection.directory import Collection
from curate.collection.findings import Findings
from curate.foundation import console
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.sentences import unknown
from curate.foundation.text import command_line
from curate.images.signatures import Signatures
from curate.workers.settings import WorkerSettings


def check(
    collection: Collection,
    *,
    model: str | None = "lite0",
    checkpoint: Path | None = None,
    device: str = "auto",
    rules: Sequence[str] | None = None,
    workers: WorkerSettings | None = None,
) -> Findings:
    """Run the rules that the collection's settings enable, and write what they find in place of earlier findings.

    Synthetic images are `synth accept`'s: no finding of a photograph depends on them.

    model, checkpoint, device: of the features that some rules need (as in clip_models.load); model None: no features.
        No model is loaded where no such rule runs.
    rules: names of those to run; all, unless said. What the others found earlier stays where it was found in the same
        images by the same version of the rule, and with features of the same model where the rules that run look at
        any; otherwise they count as not run.
    workers: who measures and embeds; this process unless said, with a thread for each CPU.

    What a rule lacks is recorded (Ran.not_run), so are features that cannot be had. The same collection and settings
    give the same findings.
    Raises UsageError for a rule or settings that make no sense, FewposeError where there are no images, or where
    another command is changing the collection.
    """
    wanted, asked = _named(rules), workers or WorkerSettings(workers=1)
    with collection.locked():
        images = synthetic.real(sets.labelled(collection)).reset_index(drop=True)
        if images.empty:
            raise FewposeError(
                f"{collection.root} has no images yet; {command_line('curate', 'import', 'PHOTOS', collection.root)}"
            )
        chosen = settings.load(collection, RULES)
        features, whose = None, runner.NO_MODEL
        if runner.features_are_needed(RULES, chosen, wanted):
            from curate.checks.features import features_of  # it loads torch

            features, whose = features_of(collection, images, model, checkpoint, device, asked)
        try:
            with Signatures(collection) as signatures:
                threads = os.cpu_count() or 1
                inputs = Inputs(collection, images, signatures, features, whose, threads, asked=asked)
                earlier = _earlier(collection, chosen, needed=len(wanted) < len(RULES))
                found = runner.run_rules(RULES, inputs, chosen, settings.NAME, wanted=wanted, earlier=earlier)
            findings.write(collection, found)
        except OSError as error:
            raise FewposeError(f"cannot write {error.filename or collection.root}: {error.strerror}") from error
    return found


def _earlier(collection: Collection, chosen: Mapping[str, Setting], *, needed: bool) -> Findings | None:
    """What the last check found, where it is `needed`. Says which settings are others than they were then: nobody else
    would, where a disk and no person has changed them.
    """
    try:
        earlier = findings.read(collection)
    except FewposeError:
        if needed:
            raise
        return None  # they are damaged, and replaced
    for name, ran in (earlier.rules if earlier else {}).items():
        if name not in chosen or ran.not_run:
            continue
        was, now = ({"drops": each.drops, **each.parameters} for each in (ran, chosen[name]))
        if chosen[name].enabled and was != now:
            differ = ", ".join(f"{key} is {now[key]:g}, was {was[key]:g}" for key in now if was.get(key) != now[key])
            path = collection.root / settings.NAME
            console.note(f"{path}: other settings of {name} than in the last check: {differ}")
    return earlier if needed else None


def _named(names: Sequence[str] | None) -> set[str]:
    if names is None:
        return {rule.name for rule in RULES}
    wanted = set()
    for name in names:
        those = [rule.name for rule in RULES if name in (rule.name, rule.formerly)]
        if not those:
            raise UsageError(unknown("rule", name, [rule.name for rule in RULES]))
        if name not in those:
            console.note(f"{name} is called {', '.join(those)} now")
        wanted.update(those)
    return wanted
