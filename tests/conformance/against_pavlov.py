"""Starts Pavlov on a free port with an empty data directory and runs the conformance scripts against it.

A script of EXCEPTIONS must fail, for the reason that stands there: one that passes must leave the list.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ORCHESTRATOR = "needs flow runs, deployments or work pools"
EXCEPTIONS = {
    "14_run_deployment.py": ORCHESTRATOR,
    "16_pause_resume_pool_queue.py": ORCHESTRATOR,
    "18_send_notification.py": ORCHESTRATOR,
    "28_real_flow_run.py": ORCHESTRATOR,
}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_healthy(api: str, server: subprocess.Popen, log: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{api}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
        if server.poll() is not None:
            break
    sys.exit("the server did not start:\n" + pathlib.Path(log).read_text())


def main() -> int:
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    with tempfile.TemporaryDirectory() as data:
        log = os.path.join(data, "server.log")
        with open(log, "wb") as out:
            command = [os.environ["PAVLOV_BIN"], "server", "start", "--port", str(port), "--data", os.path.join(data, "data")]
            server = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        try:
            wait_healthy(api, server, log)
            environ = {**os.environ, "PREFECT_API_URL": api, "CONF_LOAD_DELAY": "0", "PREFECT_HOME": os.path.join(data, "prefect")}
            run = [os.environ["PAVLOV_TEST_PYTHON"], str(HERE / "run_all.py"), "--group", "automations", "--jobs", "4", "--verbose"]
            output = subprocess.run(run, env=environ, stdout=subprocess.PIPE, text=True).stdout
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    # Its own summary counts the exceptions as failures.
    print(re.sub(r"^\d+ passed, \d+ failed\n", "", output, flags=re.M))
    outcomes = dict(re.findall(r"^(\d+_\w+\.py)\s+(pass|FAIL)", output, re.M))
    expected = {script.name for script in (HERE / "automations").glob("[0-9]*.py")}
    wrong = sorted(expected - outcomes.keys())
    for name in wrong:
        print(f"{name}: has not run")
    for name, outcome in outcomes.items():
        if (outcome == "pass") == (name in EXCEPTIONS):
            wrong.append(name)
            print(f"{name}: {'passes, so it is no exception any more' if name in EXCEPTIONS else 'failed'}")
    for name, reason in EXCEPTIONS.items():
        print(f"{name}: an exception, {reason}")
    passed = len(expected) - len(wrong)
    print(f"test result: {'FAILED' if wrong else 'ok'}. {passed} passed; {len(wrong)} failed; conformance scripts as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
