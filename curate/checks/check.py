"""The check: every rule over every image of a collection, to findings that are written whole at the end."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from curate import console, embeddings, models, sets, synthetic
from curate.checks import findings, settings
from curate.checks.findings import Findings, Ran
from curate.checks.rule import CannotRun, Inputs, Rule
from curate.checks.rules import RULES
from curate.checks.settings import Setting
from curate.collection import Collection
from curate.errors import FewposeError, UsageError
from curate.signatures import Signatures

_NOTHING = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in findings.COLUMNS.items()})


def check(
    collection: Collection,
    *,
    model: str | None = "lite0",
    checkpoint: Path | None = None,
    device: str = "auto",
    rules: Sequence[str] | None = None,
    workers: int | None = None,
) -> Findings:
    """Run the rules that the collection's settings enable, and write what they find in place of earlier findings.

    Synthetic images are `synth accept`'s: no finding of a photograph depends on them.

    model, checkpoint, device: whose features the rules see that need features (as in models.load); None for none.
    rules: names of those to run; all, unless said. What the others found earlier stays where it was found in the same
        images with features of the same model, by the same version of the rule; otherwise they count as not run.
    workers: threads; one for each CPU unless said.

    What a rule lacks is recorded (Ran.not_run), so are features that cannot be had. The same collection and settings
    give the same findings.
    Raises UsageError for a rule or settings that make no sense, FewposeError where there are no images, or where
    another command is changing the collection.
    """
    wanted = _named(rules)
    with collection.locked():
        images = synthetic.real(sets.labelled(collection)).reset_index(drop=True)
        if images.empty:
            raise FewposeError(f"{collection.root} has no images yet; curate import PHOTOS {collection.root}")
        chosen = settings.load(collection, RULES)
        features, whose = _features(collection, images, model, checkpoint, device)
        try:
            with Signatures(collection) as signatures:
                workers = workers or os.cpu_count() or 1
                inputs = Inputs(collection, images, signatures, features, whose, workers)
                found = _run_all(inputs, chosen, wanted)
            findings.write(collection, found)
        except OSError as error:
            raise FewposeError(f"cannot write {error.filename or collection.root}: {error.strerror}") from error
    return found


def _named(names: Sequence[str] | None) -> set[str]:
    known = [rule.name for rule in RULES]
    for name in names or ():
        if name not in known:
            raise UsageError(f"there is no rule {name!r}; there are {', '.join(known)}")
    return set(known if names is None else names)


def _features(
    collection: Collection, images: pd.DataFrame, model: str | None, checkpoint: Path | None, device: str
) -> tuple[np.ndarray | None, str]:
    """Features of length 1, and whose they are; or None, and why there are none."""
    if model is None:
        return None, "no model was asked for; add --model lite0, say"
    try:
        clip = models.load(model, checkpoint=checkpoint, device=device)
        features = embeddings.embed(collection, images, clip)
    except UsageError:  # a name that makes no sense is not a model that cannot be had
        raise
    except FewposeError as error:
        return None, str(error)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12), clip.name


def _run_all(inputs: Inputs, chosen: dict[str, Setting], wanted: set[str]) -> Findings:
    images, model = findings.digest(inputs.images), inputs.model if inputs.features is not None else ""
    earlier = findings.read(inputs.collection) if len(wanted) < len(RULES) else None
    if earlier and (earlier.images, earlier.model) != (images, model):
        earlier = None
    tables, ran = [_NOTHING], {}
    with console.progress("checking", len(RULES)) as advance:
        for rule in RULES:
            if rule.name in wanted:
                ran[rule.name], table = _run(rule, inputs, chosen[rule.name])
            else:
                ran[rule.name], table = _kept(rule, earlier, chosen[rule.name])
            tables.append(table)
            advance(1)
    table = pd.concat(tables).astype(findings.COLUMNS).sort_values(["key", "rule"], ignore_index=True)
    return Findings(table, ran, images, model)


def _run(rule: Rule, inputs: Inputs, setting: Setting) -> tuple[Ran, pd.DataFrame]:
    if not setting.enabled:
        return _ran(rule, setting, not_run=f"it is off in {settings.NAME}"), _NOTHING
    try:
        table = _complete(rule.run(inputs, setting.parameters), rule, inputs.images, setting)
    except CannotRun as why:
        return _ran(rule, setting, not_run=str(why)), _NOTHING
    return _ran(rule, setting, table), table


def _kept(rule: Rule, earlier: Findings | None, setting: Setting) -> tuple[Ran, pd.DataFrame]:
    """What a rule that does not run this time found the last time."""
    before = earlier.rules.get(rule.name) if earlier else None
    if earlier is None or before is None or before.version != rule.version:
        return _ran(rule, setting, not_run="it was not asked for"), _NOTHING
    return before, earlier.table[earlier.table["rule"] == rule.name]


def _ran(rule: Rule, setting: Setting, table: pd.DataFrame = _NOTHING, not_run: str = "") -> Ran:
    return Ran(
        title=rule.title,
        version=rule.version,
        kind=rule.kind.value,
        drops=setting.drops,
        parameters=setting.parameters,
        flagged=int(table["flagged"].sum()),
        scored=len(table),
        not_run=not_run,
    )


def _complete(scored: pd.DataFrame, rule: Rule, images: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """What a rule returned, with all columns of the findings. Raises ValueError where it broke its promise."""
    if not scored["score"].between(0, 1).all() or not scored["key"].is_unique:
        raise ValueError(f"{rule.name} gave scores out of [0, 1], or two for one image")
    ids = scored["key"].map(images.set_index("key")["id"])
    if ids.isna().any():
        raise ValueError(f"{rule.name} names an image that is not in the table")
    threshold = setting.parameters["threshold"]
    told = {name: scored.get(name, "") for name in ("detail", "other", "suggestion")}
    # Scores that differ in a floating-point hair between machines are the same score.
    score = scored["score"].round(6)
    return scored.assign(
        id=ids,
        rule=rule.name,
        version=rule.version,
        score=score,
        threshold=threshold,
        flagged=score >= threshold,
        **told,
    )[list(findings.COLUMNS)].astype(findings.COLUMNS)
