"""Renders every case with the genuine package and prints where it yields something else.

Usage: python record.py [--write]. With `--write` a case without an expectation gets the genuine one.
"""
import datetime
import json
import os
import pathlib
import sys
import types

os.environ["PREFECT_UI_URL"] = "http://ui.example.org:4200"
os.environ["TZ"] = "UTC"

import humanize.time
from prefect.server.events.jinja_filters import all_filters
from prefect.server.events.schemas.automations import Automation, Firing
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.events.schemas.labelling import LabelDiver
from prefect.server.utilities import user_templates

NOW = datetime.datetime(2026, 11, 20, 21, 0, 0)


class Frozen(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW.replace(tzinfo=tz)


humanize.time._now = lambda: NOW
user_templates.register_user_template_filters(all_filters)
HERE = pathlib.Path(__file__).parent
EVENT = json.loads((HERE / "event.json").read_text())
ACTIONS = [{"type": "do-nothing"}]
TRIGGER = {"type": "event", "posture": "Reactive", "expect": ["disk.full"], "threshold": 1, "within": 0}


def scope(context):
    event = context.get("event", EVENT)
    event = event and ReceivedEvent.model_validate(event)
    automation = {"id": "0199a5c0-0000-7000-8000-0000000000a1", "name": "disk full", "tags": ["a"]}
    automation = Automation.model_validate(
        {**automation, **(context.get("automation") or {}), "trigger": TRIGGER, "actions": ACTIONS}
    )
    firing = Firing(
        id="0199a5c0-0000-7000-8000-0000000000f1",
        trigger=automation.trigger,
        trigger_states={"Triggered"},
        triggered="2026-11-20T20:04:22Z",
        triggering_labels=context.get("labels") or {},
        triggering_event=event,
    )
    labels = LabelDiver(context.get("labels") or {})
    return {
        "automation": automation,
        "event": event,
        "labels": labels,
        "firing": firing,
        "firings": firing.all_firings(),
        "events": firing.all_events(),
    }


differ = 0
for path in sorted(HERE.glob("*.txt")):
    context, source, expected = (path.read_text().split("---\n", 2) + [""])[:3]
    source, expected = source.rstrip("\n"), expected.rstrip("\n")
    try:
        genuine = user_templates.render_user_template_sync(source, scope(json.loads(context)))
    except Exception as error:
        genuine = f"error: {error}"
    genuine = genuine.rstrip("\n")
    if not expected and "--write" in sys.argv:
        path.write_text(f"{context}---\n{source}\n---\n{genuine}\n")
    elif genuine != expected:
        differ += 1
        print(f"{path.name}: {source}\n  here    {expected!r}\n  genuine {genuine!r}")
print(differ, "cases differ")
