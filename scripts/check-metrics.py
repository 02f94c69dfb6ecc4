#!/usr/bin/env python3
"""The part of check-metrics.sh that asks: makes traffic, and reads the metrics as others do.

usage: check-metrics.py PUBLIC ADMIN TOKEN PROMETHEUS (each HOST:PORT but the token)
"""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

PUBLIC, ADMIN, TOKEN, PROMETHEUS = sys.argv[1:]
# Longest wait for anything.
PATIENCE = 15
# Of these, nothing may be there to show.
MAY_BE_EMPTY = [
    "ringherd_request_failures_total",  # the panel shows only what grows
]


def ask(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(f"http://{url}", method=method, headers=headers or {})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def administer(path, method="GET", body=None, accept="*/*"):
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": accept}
    status, text = ask(f"{ADMIN}{path}", method, body, headers)
    assert status == 200, f"{method} {path}: {status} {text}"
    return text


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"waited in vain for {what}")


def prometheus(path, **query):
    status, text = ask(f"{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(query)}")
    answer = json.loads(text)
    assert status == 200 and answer["status"] == "success", f"{path} {query}: {text}"
    return answer["data"]


def query(expression):
    return prometheus("query", query=expression)["result"]


def traffic(requests):
    for number in range(requests):
        ask(f"{PUBLIC}/{'other' if number % 10 == 0 else 'home'}")


def expressions(value):
    """All that a dashboard asks for."""
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            yield value["expr"]
        for inner in value.values():
            yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def check_format():
    families = list(text_string_to_metric_families(administer("/metrics", accept="application/openmetrics-text")))
    samples = sum(len(family.samples) for family in families)
    print(f"{len(families)} metrics with {samples} samples, by the strict parser of OpenMetrics")
    assert samples > 100


def check_scraping():
    wait_for("a good scrape", lambda: [r["value"][1] for r in query('up{job="ringherd"}')] == ["1"])
    traffic(200)
    administer("/replicas/Server%202/kill", "POST", {})
    administer("/add", "POST", {"n": 1, "hostnames": ["S4"]})
    # A rate is made of two scrapes at least, with something between them.
    for _ in range(3):
        traffic(100)
        sent = time.time()
        wait_for("a scrape after it", lambda: float(query("timestamp(ringherd_ring_slots)")[0]["value"][1]) > sent)
    administer("/rm", "DELETE", {"n": 1, "hostnames": ["S4"]})
    traffic(100)
    wait_for("the removal to be seen", lambda: not query('ringherd_replica_up{replica="S4"}'))
    wait_for("a restart to be seen", lambda: query("increase(ringherd_replica_restarts_total[1m]) > 0"))


def check_dashboard():
    with open("contrib/grafana-dashboard.json", encoding="utf-8") as file:
        asked = sorted(set(expressions(json.load(file))))
    empty = []
    for expression in asked:
        filled = re.sub(r"\$__(rate_)?interval", "30s", expression.replace("$instance", ".*").replace("$pool", ".*"))
        assert "$" not in filled, expression
        if not query(filled):
            empty.append(expression)
    print(f"{len(asked)} queries of the dashboard, {len(asked) - len(empty)} with an answer")
    unexpected = [e for e in empty if not any(name in e for name in MAY_BE_EMPTY)]
    assert not unexpected, f"nothing to show for {unexpected}"


def check_rules():
    rules = [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]
    bad = [rule["name"] for rule in rules if rule["health"] == "err"]
    assert rules and not bad, f"rules that cannot be evaluated: {bad}"
    firing = [rule["name"] for rule in rules if rule["state"] == "firing"]
    print(f"{len(rules)} alerts evaluated, firing: {firing}")
    assert not firing, firing


def main():
    wait_for("three replicas", lambda: re.search(r'state="ready"[^}]*} 3\b', administer("/metrics")))
    check_format()
    check_scraping()
    check_dashboard()
    check_rules()


main()
