"""What it takes to get a sweep's numbers again."""

import json
from typing import Any

from fewshot.measuring.measure import Measured
from fewshot.reporting.elements import wording
from fewshot.reporting.sections.section import Section


class Reproduce(Section):
    """Data, model, methods and versions as the sweep stored them, and all of its settings."""

    anchor = "reproduce"
    heading = "To get these numbers again"
    prose = True

    def html(self) -> str:
        measured = self.content.measured
        return self.render(entries=_entries(measured), all_settings=_all_settings(measured))


def _entries(measured: Measured) -> list[tuple[str, list[str]]]:
    """What, and the lines that say it; without what the sweep doesn't say."""
    settings = measured.sweep.settings
    weights = settings.get("weights", {})
    sets = settings.get("sets", {})
    entries = [
        ("Collection", [str(settings.get("collection", ""))]),
        ("Training sets", [f"{name}: {_set_line(sets[name])}" for name in sets] if isinstance(sets, dict) else sets),
        ("Model", [f"{settings.get('model', '')}, weights {weights.get('image') or weights.get('digest', 'unknown')}"]),
        ("Text tower", [weights.get("text", "")]),
        ("Pixels", [settings.get("fit", "")]),
        ("Precision", [settings.get("precision", "")]),
        ("Splits", [_splits_line(settings)]),
        ("Images a class", [wording.listing(settings.get("shots", []))]),
        ("Methods", [_method_line(name, settings) for name in settings.get("methods", [])]),
        ("Prompts", [str(prompt) for prompt in settings.get("prompts", [])]),
        ("Classes left out", [str(name) for name in settings.get("dropped_classes", [])]),
        ("Versions", [wording.listing([f"{k} {v}" for k, v in sorted(settings.get("versions", {}).items())])]),
        ("Run on", sorted({record.device for record in measured.sweep.records})),
        ("Computing time", [_time_line(measured)]),
    ]
    return [(what, [line for line in lines if line]) for what, lines in entries if any(lines)]


def _set_line(fields: dict[str, Any]) -> str:
    added = f" and {wording.counted(fields['synthetic'], 'synthetic image')}" if "synthetic" in fields else ""
    return f"{wording.counted(fields.get('images', 0), 'image')}{added}, digest {fields.get('digest', 'unknown')}"


def _splits_line(settings: dict[str, Any]) -> str:
    number = wording.counted(settings.get("splits", 0), f"{settings.get('split_kind', 'random')} split")
    tested = f", {100 * settings['test_fraction']:g} % of each class for testing" if "test_fraction" in settings else ""
    return f"{number}{tested}, seed {settings.get('seed', 'unknown')}"


def _method_line(name: str, settings: dict[str, Any]) -> str:
    chosen = settings.get("method_settings", {}).get(name, {})
    return f"{name}: " + (", ".join(f"{key} = {value}" for key, value in sorted(chosen.items())) or "its defaults")


def _time_line(measured: Measured) -> str:
    total = sum(sum(record.seconds.values()) for record in measured.sweep.records)
    return f"{wording.duration(total)} in all trials together" if total else ""


def _all_settings(measured: Measured) -> str:
    """sweep.json without the list of its trials."""
    kept = {key: value for key, value in measured.sweep.settings.items() if key != "trials"}
    return json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False)
