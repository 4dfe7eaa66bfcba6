"""Asks a genuine server what it makes of the actions in `cases.json` and writes its answers to `answers.json`.

Usage: record.py http://127.0.0.1:4200/api
Of the answer to a refused action only the faults of the union's arm that fits the `type` are kept.
"""
import json
import pathlib
import sys
import urllib.error
import urllib.request

API = sys.argv[1].rstrip("/")
HERE = pathlib.Path(__file__).parent
TRIGGER = {"type": "event", "posture": "Reactive", "expect": ["x.y.z"], "threshold": 1, "within": 0}


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or "null")
    except urllib.error.HTTPError as error:
        return json.loads(error.read())


def arm(loc):
    return loc.split(", ")[1].rstrip("]") if loc.startswith("function-after[") else loc


def of_arm(fault, kind):
    name = "".join(part.capitalize() for part in kind.split("-"))
    if arm(fault["loc"][3]) != name:
        return None
    fault["loc"][3] = name
    return fault


answers = []
for given in json.loads((HERE / "cases.json").read_text()):
    shown = call("POST", "/automations/", {"name": "probe", "trigger": TRIGGER, "actions": [given]})
    if "id" in shown:
        call("DELETE", "/automations/" + shown["id"])
        answers.append({"given": given, "shown": shown["actions"][0]})
    elif "exception_detail" not in shown:
        # The genuine server fails here (500); what we do instead is ours to choose.
        print("no verdict on", json.dumps(given), shown, file=sys.stderr)
    else:
        faults = (of_arm(fault, given.get("type", "do-nothing")) for fault in shown["exception_detail"])
        answers.append({"given": given, "faults": [fault for fault in faults if fault]})
(HERE / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")
