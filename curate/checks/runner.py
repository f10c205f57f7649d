"""How rules are run over images, each to findings or to why it did not run: for `curate check` and `synth accept`."""

from collections.abc import Collection as Names
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from curate.checks.rules.rule import CannotRun, Inputs, Rule
from curate.checks.settings import Setting
from curate.collection import findings
from curate.collection.findings import Findings, Ran
from curate.foundation import console

NOTHING = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in findings.COLUMNS.items()})


NO_MODEL = "no model was asked for; add --model lite0, say"  # why there are no features


def features_are_needed(
    rules: Iterable[Rule[Any]], chosen: Mapping[str, Setting], wanted: Names[str] | None = None
) -> bool:
    """Whether a rule that is to run looks at image features. wanted: as for `run_rules`."""
    running = (rule for rule in rules if wanted is None or rule.name in wanted)
    return any(rule.needs_features and chosen[rule.name].enabled for rule in running)


def run_rules(
    rules: Sequence[Rule[Any]],
    inputs: Inputs,
    chosen: Mapping[str, Setting],
    settings_name: str,
    *,
    wanted: Names[str] | None = None,
    earlier: Findings | None = None,
) -> Findings:
    """Run `rules` over the images of `inputs`, by the settings `chosen` from the file of that name.

    wanted: names of those to run; all, unless said. What the others found stays as it is in `earlier`, as far as it
        was found in the same images by the same version of the rule; what was found in features, unless the rules that
        run look at those of another model.
    """
    images, model = findings.digest(inputs.images), inputs.model if inputs.features is not None else ""
    if earlier and earlier.images != images:
        earlier = None
    if earlier and not features_are_needed(rules, chosen, wanted):
        model = earlier.model  # of what stays
    tables, ran = [NOTHING], {}
    with console.progress("checking", len(rules)) as advance:
        for rule in rules:
            if wanted is None or rule.name in wanted:
                ran[rule.name], table = _run(rule, inputs, chosen[rule.name], settings_name)
            else:
                ran[rule.name], table = _kept(rule, earlier, model, chosen[rule.name])
            tables.append(table)
            advance(1)
    table = pd.concat(tables).astype(findings.COLUMNS).sort_values(["key", "rule"], ignore_index=True)
    return Findings(table, ran, images, model)


def _run(rule: Rule[Any], inputs: Inputs, setting: Setting, settings_name: str) -> tuple[Ran, pd.DataFrame]:
    if not setting.enabled:
        return _ran(rule, setting, not_run=f"it is off in {settings_name}"), NOTHING
    try:
        table = _complete(rule.run(inputs, setting.parameters), rule, inputs.images, setting)
    except CannotRun as why:
        return _ran(rule, setting, not_run=str(why)), NOTHING
    return _ran(rule, setting, table), table


def _kept(rule: Rule[Any], earlier: Findings | None, model: str, setting: Setting) -> tuple[Ran, pd.DataFrame]:
    """What a rule that does not run this time found the last time. model: whose features the findings are of now."""
    before = earlier.rules.get(rule.name) if earlier else None
    if earlier is None or before is None or before.version != rule.version:
        return _ran(rule, setting, not_run="it was not asked for"), NOTHING
    if rule.needs_features and earlier.model != model:
        return _ran(rule, setting, not_run="it was not asked for"), NOTHING
    return before, earlier.table[earlier.table["rule"] == rule.name]


def _ran(rule: Rule[Any], setting: Setting, table: pd.DataFrame = NOTHING, not_run: str = "") -> Ran:
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


def _complete(scored: pd.DataFrame, rule: Rule[Any], images: pd.DataFrame, setting: Setting) -> pd.DataFrame:
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
