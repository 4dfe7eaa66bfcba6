"""Replays the block cases against a genuine Prefect server and rewrites what each step answered.

usage: record_block_cases.py API_URL CASE.json...      (a server with an empty database)

In a case, ids stand as "<id 1>", "<id 2>", … in the order in which they first appear in the answers,
times as "<time>". The test that runs the cases normalises its own answers in the same way.
"""

import json
import re
import sys
import time
import urllib.error
import urllib.request

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
PLACEHOLDER = re.compile(r"<id \d+>")
# The texts of these types' examples are our own, so they are not compared.
SYSTEM_SLUGS = set(
    "webhook secret local-file-system slack-webhook ms-teams-webhook pager-duty-webhook twilio-sms "
    "opsgenie-webhook mattermost-webhook discord-webhook custom-webhook sendgrid-email".split()
)


class Names:
    """Which placeholder stands for which id, in both directions."""

    def __init__(self):
        self.placeholders = {}
        self.ids = {}

    def name(self, found):
        id = found.group(0)
        if id not in self.placeholders:
            placeholder = f"<id {len(self.placeholders) + 1}>"
            self.placeholders[id] = placeholder
            self.ids[placeholder] = id
        return self.placeholders[id]

    def normalise(self, value):
        if isinstance(value, str):
            return UUID.sub(self.name, value)
        if isinstance(value, list):
            return [self.normalise(item) for item in value]
        if isinstance(value, dict):
            return {key: self.field(value, key, item) for key, item in value.items()}
        return value

    def field(self, owner, key, item):
        if key in ("created", "updated") and isinstance(item, str):
            return "<time>"
        if key == "capabilities" and isinstance(item, list):
            return sorted(item)
        if key == "code_example" and owner.get("slug") in SYSTEM_SLUGS:
            return "<code example>"
        return self.normalise(item)

    def fill(self, value):
        text = PLACEHOLDER.sub(lambda found: self.ids.get(found.group(0), found.group(0)), json.dumps(value))
        return json.loads(text)


def ask(url, method, body):
    data = None if body is None else json.dumps(body).encode()
    for _ in range(10):
        status, raw = ask_once(url, method, data)
        if status != 503:
            break
        time.sleep(1)  # its SQLite file was busy
    return status, raw


def ask_once(url, method, data):
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def record(api, path):
    with open(path) as file:
        case = json.load(file)
    names = Names()
    for step in case["steps"]:
        status, raw = ask(api + names.fill(step["path"]), step["method"], names.fill(step.get("body")))
        step["status"] = status
        step.pop("answer", None)
        step.pop("faults", None)
        answer = json.loads(raw) if raw else None
        if status < 300 and answer is not None:
            step["answer"] = names.normalise(answer)
        elif status == 422 and isinstance(answer.get("exception_detail"), list):
            step["faults"] = names.normalise(answer["exception_detail"])
        if status >= 300:
            print(path, step["method"], step["path"], status, str(answer)[:300])
    with open(path, "w") as file:
        json.dump(case, file, indent=1, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    for path in sys.argv[2:]:
        record(sys.argv[1], path)
