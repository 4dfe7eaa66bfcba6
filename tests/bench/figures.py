"""Figures that the other scripts here do not measure. Each subcommand prints one JSON object.

  automations --k 1000        makes K automations on other event names and leaves them there
  distinct --count 300000     as events_http.py with batches of 100, and every resource id distinct
  query --count 10000000      stores events, then asks by resource and time with the exact total
  deadlines --rate 20000      lateness of absences while events come at a rate
"""
import json
import time
import uuid

from _common import *


async def automations(a):
    bodies = [automation(f"figures-{i}", [f"figures.other.{i}"], [{"type": "do-nothing"}]) for i in range(a.k)]
    begun = time.perf_counter()

    async def make(raw, body):
        status, answer = await raw.send(raw.build("POST", "/automations/", json.dumps(body).encode()))
        if status != 201:
            raise SystemExit(f"create automation: {status} {answer[:300]!r}")

    await run_pool(a.api, 4, bodies, make)
    emit("automations", a, per_s=round(a.k / (time.perf_counter() - begun)))


def batches(name, count, rid, size=100):
    """Bodies of requests with `size` events each, made as they are needed."""
    raw = Raw("http://127.0.0.1:1/api")
    for start in range(0, count, size):
        events = [event(name, rid(n)) for n in range(start, min(start + size, count))]
        yield json.dumps(events).encode()


async def post_all(a, bodies):
    async def work(raw, body):
        while True:
            status, answer = await raw.send(raw.build("POST", "/events", body))
            if status == 204:
                return
            if status != 503:
                raise SystemExit(f"POST /events: {status} {answer[:300]!r}")
            await asyncio.sleep(0.02)

    await run_pool(a.api, 8, bodies, work)


async def distinct(a):
    name = f"figures.distinct.{uuid.uuid4().hex[:12]}"
    bodies = list(batches(name, a.count, lambda n: f"figures.res.{uuid.uuid4().hex}"))
    meter, begun = Meter(a.server_pid), time.perf_counter()
    await post_all(a, bodies)
    accepted = time.perf_counter() - begun
    async with client(a.api) as c:
        n, visible, _ = await wait_visible(c, name, a.count, begun)
    emit("distinct", a, accepted_per_s=round(a.count / accepted), visible_per_s=round(n / visible), lost=a.count - n, **meter.stop())


async def query(a):
    name = "figures.stored"
    begun = time.perf_counter()
    await post_all(a, batches(name, a.count, lambda n: f"figures.res.{n % 100_000}", 1000))
    stored = time.perf_counter() - begun
    took = []
    async with client(a.api) as c:
        for n in range(a.queries):
            body = {"limit": 50, "filter": {"occurred": {"since": now_iso(-3600), "until": now_iso(60)},
                                            "resource": {"id": [f"figures.res.{n * 97 % 100_000}"]}}}
            t = time.perf_counter()
            answer = await c.post("/events/filter", json=body)
            took.append(time.perf_counter() - t)
            if answer.json()["total"] < a.count // 100_000:
                raise SystemExit(f"the total is wrong: {answer.json()['total']}")
    emit("query", a, stored_s=round(stored, 1), query_ms=spread_ms(took))


async def deadlines(a):
    listener = Listener()
    url = await listener.start()
    tag = uuid.uuid4().hex[:8]
    async with client(a.api) as c:
        block = await webhook_block(c, url)
        action = hook_action(block)
        action["payload"] = "{{ labels['prefect.resource.id'] }}"
        made = await create_automation(c, automation(
            f"figures-{tag}", [f"done.{tag}"], [action], after=[f"start.{tag}"], for_each=["prefect.resource.id"],
            match={"prefect.resource.id": f"dead.{tag}.*"}, posture="Proactive", threshold=1, within=10))
        raw, starts = Raw(a.api), {}
        end = time.perf_counter() + 10 + a.count * 0.25 + 3

        async def load():
            sender, body, sent = Raw(a.api), None, 0
            begun = time.perf_counter()
            while time.perf_counter() < end and a.rate:
                body = json.dumps([event("figures.load", f"load.{n}") for n in range(100)]).encode()
                await sender.send(sender.build("POST", "/events", body))
                sent += 100
                await asyncio.sleep(max(0, begun + sent / a.rate - time.perf_counter()))
            sender.close()
            return sent / (time.perf_counter() - begun)

        loading = asyncio.create_task(load())
        for n in range(a.count):
            rid = f"dead.{tag}.{n}"
            body = json.dumps([event(f"start.{tag}", rid)]).encode()
            starts[rid] = time.time()
            await raw.send(raw.build("POST", "/events", body))
            await asyncio.sleep(0.25)
        rate = await loading
        # The engine tells how late it was; the arrival at the listener has this loop's own delay in it.
        page = await c.post("/events/filter", json={"limit": 50, "filter": {
            "event": {"name": ["prefect.automation.triggered"]}, "resource": {"id": [f"prefect.automation.{made}"]}}})
        late = [e["payload"].get("late_micros", 0) / 1e6 for e in page.json()["events"]]
        await delete_automations(c, [made])
    emit("deadlines", a, fired=page.json()["total"], expected=a.count, load_per_s=round(rate), late_ms=spread_ms(late))
    await listener.stop()


if __name__ == "__main__":
    p = parser(__doc__)
    p.add_argument("what", choices=["automations", "distinct", "query", "deadlines"])
    p.add_argument("--k", type=int, default=1000)
    p.add_argument("--count", type=int, default=300_000)
    p.add_argument("--queries", type=int, default=300)
    p.add_argument("--rate", type=float, default=20_000)
    args = p.parse_args()
    asyncio.run({"automations": automations, "distinct": distinct, "query": query, "deadlines": deadlines}[args.what](args))
