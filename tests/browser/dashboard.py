#!/usr/bin/python3
"""Tests the dashboard, and the listener for TLS, in a real browser, against the real binary.

    tests/browser/dashboard.py [--binary FILE] [--screenshots DIR] [--picture FILE] [TEST ...]

Needs Debian's packages `chromium`, `chromium-driver` and `python3-selenium` (so Debian's Python).
The binary is by default the one that `cargo build` makes. Screenshots are kept in `--screenshots`,
by default `target/browser`. With `--picture`, no test runs: two minutes of load are shown in a
picture for the README. Names of tests choose which of them run.
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.dont_write_bytecode = True  # nothing is left in the checkout
from lab import Balancer, Browser, EchoSite, Edge, Load, wait_until  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "browser-test-token"
MARKUP = "<img src=x onerror=document.title=1>"


class Page:
    """The dashboard of a balancer in a browser, as a user sees it."""

    def __init__(self, browser, address, path="/", scheme="http"):
        self.browser = browser
        browser.size(1280, 900)
        # A page of before may have lost its connection, which the console is right to mention.
        browser.driver.get("about:blank")
        browser.console()
        browser.driver.get(f"{scheme}://{address}{path}")

    def one(self, selector):
        return self.browser.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        """Of all that match; hidden ones count, but for those in dialogs and banners see `shown`."""
        return self.browser.run(
            "return [...document.querySelectorAll(arguments[0])].map(n => n.textContent).join('\\n')", selector)

    def wait_text(self, selector, part):
        return self.browser.wait(f"{part!r} in {selector}", lambda: part in self.text(selector))

    def shown(self, selector):
        return self.one(selector).is_displayed()

    def rows(self):
        """Number, name, state and place of each row."""
        return [tuple(row) for row in self.browser.run(
            "return [...document.querySelectorAll('#rows tr')].map(r => [Number(r.dataset.number),"
            " r.querySelector('.who span:nth-child(2)').textContent,"
            " r.querySelector('.state').textContent, r.querySelector('.who .muted').textContent])")]

    def wait_ready(self, count):
        """Waits until there are that many rows, all ready, and all it needs is known of them."""
        def ask():
            rows = self.rows()
            ready = [row for row in rows if row[2] == "ready" and "pid " in row[3]]
            return rows if len(rows) == len(ready) == count else None
        return self.browser.wait(f"{count} ready rows", ask)

    def wait_live(self):
        self.browser.wait("a live page", lambda: self.text("#link") == "Live")

    def row_of(self, name):
        """The row that shows a replica of this name, or nothing."""
        return next((row for row in self.rows() if row[1] == name), None)

    def wait_name(self, name):
        return self.browser.wait(f"a ready {name}", lambda: (row := self.row_of(name)) and row[2] == "ready")

    def wait_event(self, *parts):
        """Waits for an event of the timeline with all these words."""
        return self.browser.wait(f"an event with {parts}", lambda: self.event(*parts))

    def event(self, *parts):
        items = self.browser.run(
            "return [...document.querySelectorAll('#timeline li')].map(n => n.textContent)")
        return next((item for item in items if all(part in item for part in parts)), None)

    def fill(self, form, **values):
        for name, value in values.items():
            field = self.one(f"#{form} [name={name}]")
            field.clear()
            field.send_keys(value)

    def press(self, form):
        self.one(f"#{form} [type=submit]").click()

    def wait_result(self, form, part):
        self.wait_text(f"#{form} .result", part)

    def row_button(self, name, action):
        """Presses a button in the row of a replica, which opens the dialog."""
        number = self.row_of(name)[0]
        self.one(f"#rows tr[data-number='{number}'] [data-action={action}]").click()
        self.browser.wait("the dialog", lambda: self.shown("#ask"))
        assert name in self.text("#ask-title"), self.text("#ask-title")

    def confirm(self):
        self.browser.wait("the dialog", lambda: self.shown("#ask"))
        self.one("#ask-yes").click()
        self.browser.wait("the end of the dialog", lambda: not self.shown("#ask"))

    def focused(self):
        """What has the focus: a form and a name, or an id."""
        return self.browser.run(
            "const a = document.activeElement;"
            " return (a.form?.id ? a.form.id + ' ' : '') + (a.name || a.id || a.type || a.tagName)")

    def tab_to(self, place):
        """Presses Tab until the focus is there."""
        for _ in range(100):
            self.browser.driver.switch_to.active_element.send_keys(Keys.TAB)
            if self.focused() == place:
                return
        raise AssertionError(f"Tab does not lead to '{place}'")


def loads_without_errors_and_asks_nobody_else(browser, binary):
    with Balancer(binary) as balancer:
        page = Page(browser, balancer.admin)
        page.wait_live()
        page.wait_ready(3)
        owners = "return document.querySelectorAll('#owners path').length"
        browser.wait("the ring", lambda: browser.run(owners) == 3)
        browser.wait("figures", lambda: page.text("#figure-rate") == "0")
        status, headers, _ = balancer.raw(balancer.admin, "GET", "/")
        policy = headers["content-security-policy"]
        assert status == 200 and policy.startswith("default-src 'none'; script-src 'sha256-"), headers
        names = browser.run("return performance.getEntries().map(entry => entry.name)")
        places = [name for name in names if ":" in name]
        assert places and all(place.startswith(f"http://{balancer.admin}/") for place in places), places
        assert browser.console() == []
        # On the public listener the path is the replicas'.
        _, headers, text = balancer.raw(balancer.public, "GET", "/")
        assert "content-security-policy" not in headers and json.loads(text)["status"] == "failure", text


def replicas_come_and_go_by_curl_and_by_the_page(browser, binary):
    with Balancer(binary) as balancer:
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        status, _ = balancer.ask("POST", "/add", {"n": 1, "hostnames": ["By curl"]})
        assert status == 200
        page.wait_name("By curl")
        page.wait_event("By curl", "joined the ring")

        page.fill("add", n="2", names="By page, Other-1")
        page.press("add")
        page.wait_result("add", "6 replicas now")
        # Then names are counted anew.
        page.fill("add", names="A, B")
        assert page.one("#add [name=n]").get_attribute("value") == "2"
        page.wait_ready(6)
        wait_until("a request reaches it", lambda: any(
            "routed to By page" in balancer.routed(request) for request in range(100)))

        # A mistake is told in the balancer's words, next to where it was made.
        page.fill("add", n="1", names="By page")
        page.press("add")
        page.wait_result("add", "a replica named 'By page' exists already (400 bad-request)")
        page.fill("remove", n="1", names="Nobody")
        page.press("remove")
        page.confirm()
        page.wait_result("remove", "there is no replica named 'Nobody'")

        page.row_button("Other-1", "weight")
        page.one("#ask-input").clear()
        page.one("#ask-input").send_keys("101")
        page.one("#ask-yes").click()
        page.wait_text("#ask-error", "100")
        page.one("#ask-input").clear()
        page.one("#ask-input").send_keys("50")
        page.confirm()
        page.wait_text("#replicas-result", "50")
        assert next(r for r in balancer.replicas() if r["name"] == "Other-1")["weight"] == 50

        page.row_button("By curl", "remove")
        page.one("#ask-no").click()
        assert len(balancer.replicas()) == 6, "asked, and told not to"
        page.row_button("By curl", "remove")
        page.confirm()
        browser.wait("it is gone", lambda: page.row_of("By curl") is None)
        page.wait_event("By curl", "left the ring")
        page.fill("remove", n="2", names="By page, Other-1")
        page.press("remove")
        page.confirm()
        page.wait_result("remove", "3 replicas now")
        page.wait_ready(3)


def what_was_before_the_page_came_is_shown_at_once(browser, binary):
    with Balancer(binary) as balancer, Load(balancer.public, 100):
        def seconds():
            return [second for second in balancer.ask("GET", "/statistics")[1]["seconds"]
                    if second["requests_per_second"] > 0]
        wait_until("some seconds of load", lambda: len(seconds()) >= 3)
        page = Page(browser, balancer.admin)
        page.wait_live()
        # Drawn with the next frame; three seconds more would be longer than that takes.
        points = "return (document.querySelector('#rate-chart path.rate')?.getAttribute('d') ?? '').split('L').length"
        wait_until("the past is drawn, and not only the first figures", lambda: browser.run(points) >= 3)
        assert "no requests" not in page.text("#rate-chart")
        assert browser.console() == []


def a_replica_is_drained_and_gets_the_weight_back_that_it_had(browser, binary):
    with Balancer(binary) as balancer:
        balancer.ask("PUT", "/replicas/Server%202", {"weight": 40})
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        button = "#rows tr[data-number='2'] [data-action=drain]"
        assert page.text(button) == "Drain"
        page.row_button("Server 2", "drain")
        page.confirm()
        page.wait_text("#replicas-result", "'Server 2' is drained")
        assert balancer.replicas()[1]["weight"] == 0
        browser.wait("the way back", lambda: page.text(button) == "Undrain")
        assert page.one(button).get_attribute("aria-label") == "Undrain Server 2"
        page.row_button("Server 2", "drain")
        assert "It had weight 40" in page.text("#ask-text")
        page.confirm()
        page.wait_text("#replicas-result", "The weight of 'Server 2' is 40")
        assert balancer.replicas()[1]["weight"] == 40


def it_works_below_a_path_of_an_edge(browser, binary):
    with Edge("/ops/lb") as edge:
        # The edge asks with the balancer's address as the host, so that only the option makes it ours.
        with Balancer(binary, "--admin-origin", f"http://{edge.address}") as balancer:
            edge.target = balancer.admin
            for path in ["/ops/lb/", "/ops/lb"]:
                page = Page(browser, edge.address, path)
                page.wait_live()
                page.wait_ready(3)
                name = f"Below {path.count('/')}"
                page.fill("add", names=name)
                page.press("add")
                page.wait_name(name)
                page.row_button(name, "remove")
                page.confirm()
                browser.wait("it is gone", lambda: page.row_of(name) is None)
                names = browser.run("return performance.getEntries().map(entry => entry.name)")
                places = [name for name in names if ":" in name]
                assert all(place.startswith(f"http://{edge.address}/ops/lb") for place in places), places
        with Balancer(binary) as balancer:
            edge.target = balancer.admin
            page = Page(browser, edge.address, "/ops/lb/")
            page.wait_live()
            page.fill("add", names="Refused")
            page.press("add")
            page.wait_result("add", "--admin-origin")


def the_ring_is_changed_in_the_page(browser, binary):
    with Balancer(binary) as balancer:
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        page.press("change")
        page.wait_result("change", "Nothing is changed")
        page.fill("change", slots="1000")
        page.press("change")
        page.confirm()
        page.wait_result("change", "quadratic")
        page.fill("change", slots="512", virtual_nodes="9", key="path")
        page.press("change")
        assert "65539 → 512" in page.text("#ask-text"), page.text("#ask-text")
        page.confirm()
        page.wait_result("change", "Done: version")
        ring = balancer.ask("GET", "/ring")[1]
        assert (ring["slots"], ring["virtual_nodes"], ring["key"]) == (512, 9, "path"), ring
        page.wait_text("#ring-facts", "512 slots, 9 virtual nodes")
        version, sectors = ring["version"], balancer.ask("GET", "/ring/sectors")[1]
        assert (sectors["version"], sectors["slots"], len(sectors["sectors"])) == (version, 512, 720)
        page.wait_event(f"Snapshot {version} published")
        # By hand in the page, the picture and the table name the same replica.
        browser.run("document.getElementById('ring').focus()")
        page.one("#ring").send_keys(Keys.ARROW_RIGHT)
        page.wait_text("#ring-middle", "Server 1")
        page.one("#ring").send_keys(Keys.ARROW_LEFT)
        page.wait_text("#ring-middle", "Server 3")


def what_another_changes_in_the_ring_is_not_undone(browser, binary):
    with Balancer(binary) as balancer:
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        value = "return document.querySelector('#change [name=' + arguments[0] + ']').value"
        page.one("#change [name=slots]").click()
        assert balancer.ask("PUT", "/ring", {"placement": "rendezvous"})[0] == 200
        browser.wait("it shows", lambda: browser.run(value, "placement") == "rendezvous")
        page.fill("change", slots="512")
        assert balancer.ask("PUT", "/ring", {"slots": 1009, "virtual_nodes": 12})[0] == 200
        browser.wait("it shows", lambda: browser.run(value, "virtual_nodes") == "12")
        assert browser.run(value, "slots") == "512", "what the user entered stays"
        page.press("change")
        asked = page.text("#ask-text")
        assert asked.startswith("slots 1009 → 512. "), asked
        page.confirm()
        page.wait_result("change", "Done: version")
        ring = balancer.ask("GET", "/ring")[1]
        assert (ring["placement"], ring["slots"], ring["virtual_nodes"]) == ("rendezvous", 512, 12), ring


def an_ejected_replica_is_hatched_in_the_ring(browser, binary):
    with Balancer(binary) as balancer:
        fill = "return document.querySelector(\"#owners [data-number='1']\")?.getAttribute('fill')"
        first = balancer.replicas()[0]
        pid = int(first["instance"].split("pid ")[1])
        state = lambda: balancer.replicas()[0]["state"]  # noqa: E731
        wait_until("it is ready", lambda: state() == "ready")
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        browser.wait("a colour", lambda: (browser.run(fill) or "").startswith("rgb("))
        os.kill(pid, signal.SIGSTOP)
        try:
            browser.wait("hatching", lambda: browser.run(fill) == "url(#hatch-1)")
            assert state() == "ejected"
            # The same for a page that has never seen it ready.
            browser.driver.refresh()
            browser.wait("hatching", lambda: browser.run(fill) == "url(#hatch-1)")
        finally:
            os.kill(pid, signal.SIGCONT)
        browser.wait("a colour", lambda: (browser.run(fill) or "").startswith("rgb("))
        assert state() == "ready"


def a_killed_replica_is_seen_dying_and_being_replaced(browser, binary):
    with Balancer(binary) as balancer, Load(balancer.public, 100):
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        browser.wait("load", lambda: "ms" in page.text("#figure-p99"))
        assert page.text("#figure-rate") not in ("–", "0")
        place = page.row_of("Server 2")[3]
        os.kill(int(place.split("pid ")[1]), signal.SIGKILL)
        page.wait_event("Server 2 died", "signal 9")
        rows = page.wait_ready(3)
        name = next(row[1] for row in rows if row[0] == 2)
        assert name != "Server 2", rows
        page.wait_event(name, "is being started")
        page.wait_event(name, "joined the ring")
        # The events tell of the failure; beside a replica that is well it would be a riddle.
        note = lambda: page.text("#rows tr[data-number='2'] .note")  # noqa: E731
        browser.wait("no note", lambda: note() == "")
        browser.picture("killed")

        page.row_button(name, "kill")
        browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        browser.wait("no dialog", lambda: not page.shown("#ask"))
        page.row_button("Server 3", "kill")
        page.confirm()
        page.wait_text("#replicas-result", "'Server 3' is being killed")
        page.wait_event("Server 3 died")
        browser.wait("a replacement", lambda: page.row_of("Server 3") is None)
        rows = page.wait_ready(3)
        assert [row[1] for row in rows][:2] == ["Server 1", name], "told not to"
        # One that does not answer is shown as ejected, and comes back.
        pid = int(page.row_of("Server 1")[3].split("pid ")[1])
        os.kill(pid, signal.SIGSTOP)
        try:
            page.wait_event("Server 1 was ejected")
            browser.wait("it shows", lambda: page.row_of("Server 1")[2] == "ejected")
            browser.picture("ejected")
        finally:
            os.kill(pid, signal.SIGCONT)
        page.wait_event("Server 1 recovered")
        page.wait_name("Server 1")
        assert browser.console() == []


def a_lost_connection_is_told_and_comes_back(browser, binary):
    with Balancer(binary) as balancer:
        public, admin = balancer.public, balancer.admin
        page = Page(browser, admin)
        page.wait_ready(3)
        page.wait_live()
        assert not page.shown("#banner")
        balancer.stop()
        browser.wait("the banner", lambda: page.shown("#banner") and "Connection lost" in page.text("#banner"))
        assert page.text("#link") == "Connection lost"
        page.press("add")
        page.wait_result("add", "cannot be reached")
        browser.picture("lost")
    with Balancer(binary, "--replicas", "2", public=public, admin=admin) as balancer:
        browser.wait("no banner", lambda: not page.shown("#banner"))
        page.wait_live()
        page.wait_ready(2)
        balancer.ask("POST", "/add", {"n": 1, "hostnames": ["After"]})
        page.wait_name("After")
        page.wait_event("After joined the ring")
        # A stopped clock is no answer either.
        os.kill(balancer.process.pid, signal.SIGSTOP)
        try:
            browser.wait("the banner", lambda: page.shown("#banner"))
        finally:
            os.kill(balancer.process.pid, signal.SIGCONT)
        browser.wait("no banner", lambda: not page.shown("#banner"))
        page.wait_ready(3)


def a_failure_is_told_though_its_dialog_was_closed(browser, binary):
    with Balancer(binary) as balancer:
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        page.row_button("Server 3", "kill")
        assert page.text("#ask-no") == "Cancel"
        os.kill(balancer.process.pid, signal.SIGSTOP)
        page.one("#ask-yes").click()
        page.wait_text("#ask-no", "Close")
        page.one("#ask-no").click()
        browser.wait("no dialog", lambda: not page.shown("#ask"))
        assert page.text("#replicas-result") == ""
        balancer.process.kill()
        page.wait_text("#replicas-result", "Kill Server 3: The balancer cannot be reached.")


def more_tabs_than_connections_starve_none(browser, binary):
    with Balancer(binary) as balancer:
        driver = browser.driver
        page = Page(browser, balancer.admin)
        page.wait_live()
        first = driver.current_window_handle
        try:
            for _ in range(5):
                driver.switch_to.new_window("tab")
                page = Page(browser, balancer.admin)
            # At the latest when the first has given up its connection, which it does after half a minute.
            browser.wait("a live sixth", lambda: page.text("#link") == "Live", patience=60)
        finally:
            for handle in driver.window_handles:
                if handle != first:
                    driver.switch_to.window(handle)
                    driver.close()
            driver.switch_to.window(first)
        page.wait_live()
        balancer.ask("POST", "/add", {"n": 1, "hostnames": ["After"]})
        page.wait_name("After")


def a_locked_page_finds_out_that_no_token_is_wanted(browser, binary):
    with Balancer(binary, token=TOKEN) as balancer:
        public, admin = balancer.public, balancer.admin
        page = Page(browser, admin)
        browser.wait("the question", lambda: page.shown("#ask"))
        page.one("#ask-input").send_keys("half a to")
        balancer.stop()
    with Balancer(binary, public=public, admin=admin):
        page.wait_live()
        page.wait_ready(3)
        browser.wait("no question", lambda: not page.shown("#ask") and not page.shown("#banner"))


def the_token_is_asked_for(browser, binary):
    with Balancer(binary, token=TOKEN) as balancer:
        page = Page(browser, balancer.admin)
        browser.wait("the question", lambda: page.shown("#ask"))
        browser.picture("token")
        assert page.rows() == [] and page.text("#link") == "Locked"
        for wrong in ["wrong-token", "wröng ✓"]:
            page.one("#ask-input").clear()
            page.one("#ask-input").send_keys(wrong)
            page.one("#ask-yes").click()
            page.wait_text("#ask-error", "does not accept this token")
        page.one("#ask-no").click()
        page.one("#banner-action").click()
        page.one("#ask-input").send_keys(TOKEN, Keys.ENTER)
        page.wait_live()
        page.wait_ready(3)
        assert not page.shown("#ask") and not page.shown("#banner")
        page.fill("add", names="With token")
        page.press("add")
        page.wait_name("With token")
        # It is kept for this tab, and forgotten on request.
        browser.driver.refresh()
        page.wait_ready(4)
        left = browser.run("return [localStorage.length, document.cookie, location.search]")
        assert left == [0, "", ""], left
        page.one("#forget").click()
        # In one step, for the page is loaded again meanwhile.
        browser.wait("the question", lambda: browser.run("return document.querySelector('#ask[open]') !== null"))
        assert browser.run("return sessionStorage.length") == 0
        assert page.rows() == [] and page.text("#figure-ready") == "–", "nothing is left of what it gave"


def all_is_done_by_keyboard(browser, binary):
    with Balancer(binary) as balancer:
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        page.tab_to("add names")
        outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", "the focus is seen"
        browser.driver.switch_to.active_element.send_keys("By keys", Keys.ENTER)
        page.wait_name("By keys")
        page.tab_to("remove names")
        browser.driver.switch_to.active_element.send_keys("By keys", Keys.ENTER)
        browser.wait("the dialog", lambda: page.shown("#ask"))
        assert page.focused() == "ask-no", "not on what cannot be undone"
        page.tab_to("ask-yes")
        browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
        page.wait_result("remove", "3 replicas now")
        assert len(balancer.replicas()) == 3
        browser.wait("the focus is back", lambda: page.focused() == "remove names")


def markup_is_only_text(browser, binary):
    with Balancer(binary) as balancer:
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        browser.console()
        page.fill("add", names=MARKUP)
        page.press("add")
        page.wait_result("add", MARKUP)
        # An endpoint may be any text, and what was asked for is told in the events.
        page.one("#add summary").click()
        page.fill("add", names="A", endpoints=MARKUP)
        page.press("add")
        page.wait_result("add", "'endpoints' is for --runtime fixed")
        page.wait_event("refused (400)", MARKUP)
        # Names are kept simple by the balancer, but a long one with all that is allowed is shown whole.
        odd = "a_-B " + "x" * 58
        balancer.ask("POST", "/add", {"n": 1, "hostnames": [odd]})
        page.wait_name(odd)
        assert browser.run("return [document.title, document.images.length]") == ["ringherd", 0]
        # The two refusals, which a browser mentions, and nothing of a policy that had to step in.
        lines = browser.console()
        assert len(lines) == 2 and all("400 (Bad Request)" in line for line in lines), lines
        assert fits(browser, 360), "a long name is wrapped"


def before(upstream, health_path):
    """Options of a balancer with TLS before that address."""
    return ["--upstream", upstream, "--health-path", health_path, "--tls-listen", "127.0.0.1:0", "--tls-self-signed"]


def it_works_over_tls_through_another_balancer(browser, binary):
    # The admin address itself speaks no TLS; the edge in front of it may be a balancer.
    with Balancer(binary) as balancer, Balancer(binary, *before(balancer.admin, "/healthz")) as edge:
        wait_until("the edge passes on", lambda: edge.raw(edge.public, "GET", "/healthz")[0] == 200)
        page = Page(browser, edge.secure, scheme="https")
        page.wait_live()
        page.wait_ready(3)
        protocols = browser.run("return [...new Set(performance.getEntries().map(e => e.nextHopProtocol))]"
                                ".filter(p => p !== undefined && p !== '')")
        assert protocols == ["h2"], protocols
        assert browser.run("return isSecureContext && location.protocol") == "https:"
        page.fill("add", names="Over TLS")
        page.press("add")
        page.wait_name("Over TLS")
        page.wait_event("Over TLS", "joined the ring")
        page.row_button("Over TLS", "remove")
        page.confirm()
        browser.wait("it is gone", lambda: page.row_of("Over TLS") is None)
        browser.picture("tls")
        assert browser.console() == []


def a_page_of_a_replica_over_tls_has_http2_and_its_websocket(browser, binary):
    folder = tempfile.TemporaryDirectory()
    log = pathlib.Path(folder.name) / "access.log"
    with folder, EchoSite() as site, \
            Balancer(binary, *before(site.address, "/"), "--access-log", str(log)) as balancer:
        wait_until("the replica answers", lambda: balancer.raw(balancer.public, "GET", "/")[0] == 200)
        browser.driver.get("about:blank")
        browser.console()
        browser.driver.get(f"https://{balancer.secure}/")
        assert browser.driver.title == "echo"
        assert browser.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
        # More than there may be streams at a time, each with a body.
        sent = browser.run("""
            const one = async n => {
                const body = new Uint8Array(n * 1000).fill(n);
                const answer = await fetch('/' + n, {method: 'POST', body});
                const back = new Uint8Array(await answer.arrayBuffer());
                return answer.status === 200 && answer.headers.get('x-seen-proto') === 'https'
                    && back.length === body.length && back.every(byte => byte === n);
            };
            return Promise.all([...Array(250).keys()].map(one)).then(all => all.filter(good => good).length);""")
        assert sent == 250, sent
        # The WebSocket takes a stream of the connection that there is.
        heard = browser.run("""
            return new Promise(done => {
                const socket = new WebSocket(`wss://${location.host}/chat`), heard = [];
                socket.binaryType = 'arraybuffer';
                socket.onopen = () => { socket.send('grüß dich'); socket.send(new Uint8Array(100000).fill(7)); };
                socket.onmessage = ({data}) => {
                    heard.push(typeof data === 'string' ? data : [data.byteLength, new Uint8Array(data)[99999]]);
                    if (heard.length === 2) socket.close(1000, 'enough');
                };
                socket.onclose = ({code, reason, wasClean}) => done([...heard, code, reason, wasClean]);
            });""")
        assert heard == ["grüß dich", [100000, 7], 1000, "enough", True], heard
        chat = json.loads(wait_until("the end of the tunnel is logged", lambda: next(
            (line for line in log.read_text().splitlines() if '"/chat"' in line), None)))
        # HTTP/1.1 has it as a GET that gets 101.
        assert (chat["method"], chat["status"]) == ("CONNECT", 200), chat
        assert chat["sent"] > 100000 and chat["bytes"] > 100000, chat
        assert browser.console() == []


# Has the page told of the deploy in `window.deploy`, and remembers what it asks for.
DEPLOY = """
const [parse, fetched] = [JSON.parse, window.fetch];
window.asked = [];
JSON.parse = (text) => {
    const value = parse(text);
    if (value?.pools && window.deploy) value.pools[0].deploy = { id: 1, state: window.deploy.state };
    if (value?.replicas && window.deploy) value.replicas[0].revision = 'v2';
    return value;
};
window.fetch = async (url, options) => {
    const path = new URL(url).pathname;
    if (path.endsWith('/log')) return new Response(window.words);
    if (!path.startsWith('/deploy')) return fetched(url, options);
    if (options.method !== 'GET') window.asked.push(`${options.method} ${path} ${options.body}`);
    return new Response(JSON.stringify(window.deploy));
};
"""


def a_deploy_is_shown_and_steered(browser, binary):
    def deploy(state, steps, **more):
        numbers = [{"number": number, "step": step, "serving": MARKUP, "beside": None}
                   for number, step in enumerate(steps, 1)]
        browser.run("window.deploy = arguments[0]", {
            "id": 1, "from": "base", "to": "v2", "order": "start-first", "state": state, "ended": False, "reason": "", "failed": None,
            "canary": None, "numbers": numbers, "old": {"requests": 200, "errors": 2, "p99_seconds": 0.02},
            "new": {"requests": 0, "errors": 0, "p99_seconds": None}, "took_seconds": 1.5,
            "ended_seconds_ago": None, **more})

    with Balancer(binary) as balancer:
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        assert not page.shown("#deploy") and not page.shown("#revision-heading")
        browser.run(DEPLOY)
        deploy("judging", ["passed", "judging", "pending"])
        page.wait_text("#deploy-head", "base → v2: judging, 1.5 s")
        assert page.shown("#revision-heading")
        assert page.text("#deploy-counts") == "1 pending, 1 judging, 1 passed"
        assert page.text("#deploy-old-figures") == "200 requests, 1.0% failed, p99 20.0 ms"
        assert page.text("#deploy-new-figures") == "0 requests, – failed, p99 –"
        assert page.shown("#deploy-abort") and not page.shown("#deploy-promote")
        assert len(browser.run("return [...document.querySelectorAll('#deploy-steps li')]")) == 3
        deploy("waiting", ["passed", "pending", "pending"], canary=1)
        page.wait_text("#deploy-head", "waiting, a canary of 1 in 3")
        browser.picture("deploy")
        page.one("#deploy-promote").click()
        page.confirm()
        page.one("#deploy-abort").click()
        page.confirm()
        assert browser.run("return window.asked") == ["POST /deploy/promote {}", "DELETE /deploy {}"]
        assert not page.shown("#deploy-words")
        browser.run("window.words = arguments[0]", f"no database\n\tat {MARKUP}\n")
        deploy("reverted", ["reverted"] * 3, ended=True, reason="5 % of requests failed", failed=MARKUP,
               ended_seconds_ago=1)
        page.wait_text("#deploy-reason", f"5 % of requests failed (seen at {MARKUP})")
        page.wait_text("#deploy-words-lines", f"no database\n\tat {MARKUP}")
        assert page.shown("#deploy-words") and MARKUP in page.text("#deploy-words-title")
        browser.picture("deploy-words")
        assert not page.shown("#deploy-abort") and not page.shown("#deploy-promote")
        for width in [320, 768]:
            assert fits(browser, width)
        deploy("succeeded", ["passed"] * 3, ended=True, ended_seconds_ago=301)
        browser.wait("the panel goes", lambda: not page.shown("#deploy"))
        assert browser.console() == []


POOLS = """
[pool.web.replicas]
count = 2
[pool.api.replicas]
count = 1
[[route]]
pool = "web"
[[route]]
path = "/api"
pool = "api"
"""


def each_pool_is_shown_and_changed_by_itself(browser, binary):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "ringherd.toml"
        file.write_text(POOLS)
        with Balancer(binary, "--config", str(file)) as balancer:
            page = Page(browser, balancer.admin)
            page.wait_ready(2)
            assert page.shown("#pool-label") and page.shown("#pools")
            page.one("#pool option[value=api]").click()
            page.wait_ready(1)
            assert browser.run("return location.hash") == "#pool=api"
            with Load(balancer.public, 50, path="/api"):
                browser.wait("its own load", lambda: browser.run(
                    "return document.querySelector('#rows .rate').textContent") not in ["", "0"])
                of_pools = ("return [...document.querySelectorAll('#pool-rows tr')].map(row => "
                            "row.querySelectorAll('td')[1].textContent)")
                browser.wait("the load in the overview", lambda: browser.run(of_pools)[1] not in ["–", "0"])
                assert browser.run(of_pools)[0] == "0", "nobody asks for the other"
                assert page.text("#figure-rate") not in ["–", "0"]
                browser.picture("pools")
                page.one("#pool-rows tr:first-child button").click()
                browser.wait("no load of the other", lambda: page.text("#figure-rate") == "0")
                page.wait_ready(2)
                page.one("#pool-rows tr:last-child button").click()
                page.wait_ready(1)
            page.fill("add", names="A2")
            page.press("add")
            page.wait_name("A2")
            page.wait_event("api: A2", "joined")
            _, pools = balancer.ask("GET", "/pools")
            assert [pool["replicas"] for pool in pools["pools"]] == [2, 2], pools
            browser.driver.refresh()
            page.wait_ready(2)
            assert page.row_of("A2"), "the URL names the pool"
            page.one("#pool option[value=web]").click()
            browser.wait("the other pool", lambda: not page.row_of("A2") and len(page.rows()) == 2)
            for width in [320, 768]:
                assert fits(browser, width)
            assert browser.console() == []


# Writes what is given to it, and from then on a thousand lines in a second.
CHATTER = """
cat "$1"
(i=0; while sleep 0.05; do for _ in $(seq 50); do i=$((i+1)); echo "tick $i"; done; done) &
exec "$2" replica --listen "127.0.0.1:$3" > /dev/null
"""


def the_output_of_a_replica_is_read_and_followed(browser, binary):
    with tempfile.TemporaryDirectory() as folder:
        script, first, file = (pathlib.Path(folder) / name for name in ["chatter", "first", "ringherd.toml"])
        script.write_text(CHATTER)
        first.write_text(f"{MARKUP}\n\n\x1b[2J\ta tab\n")
        settings = f"\n[pool.api.replicas]\ncommand = 'sh {script} {first} {binary} {{port}}'\n"
        file.write_text(POOLS.replace("\n[pool.api.replicas]\n", settings))
        with Balancer(binary, "--config", str(file), token=TOKEN) as balancer:
            page = Page(browser, balancer.admin)
            browser.wait("the question", lambda: page.shown("#ask"))
            page.one("#ask-input").send_keys(TOKEN, Keys.ENTER)
            page.wait_ready(2)
            page.one("#pool option[value=api]").click()
            page.wait_ready(1)
            browser.console()
            name = page.rows()[0][1]

            def open_log():
                page.one("#rows [data-action=log]").send_keys(Keys.ENTER)
                browser.wait("the panel", lambda: page.shown("#log"))

            def last():
                return int(browser.run(
                    "return document.querySelector('#log-lines').lastChild?.textContent.match(/tick (\\d+)/)?.[1] ?? 0"))

            open_log()
            assert page.focused() == "log-lines" and page.text("#log-title") == f"Output of {name}"
            assert page.one("#rows [data-action=log]").get_attribute("aria-label") == f"Log {name}"
            page.wait_text("#log-state", "Following.")
            lines = "return document.querySelector('#log-lines').childElementCount"
            browser.wait("many lines", lambda: browser.run(lines) == 500)
            seen = last()
            browser.wait("it follows", lambda: last() > seen + 200)
            assert browser.run(lines) == 500, "the page keeps no more"
            at_end = ("const l = document.querySelector('#log-lines');"
                      " return l.scrollHeight - l.scrollTop - l.clientHeight < 24")
            assert browser.run(at_end), "the view goes with the end"
            browser.picture("log")
            # A reader who looks back is left where they are.
            page.one("#log-lines").send_keys(Keys.HOME)
            browser.wait("the beginning", lambda: browser.run(
                "return document.querySelector('#log-lines').scrollTop") < 24)
            seen = last()
            browser.wait("more lines", lambda: last() > seen + 100)
            assert not browser.run(at_end)
            page.one("#log-lines").send_keys(Keys.ESCAPE)
            browser.wait("the panel goes", lambda: not page.shown("#log"))
            assert browser.run("return document.activeElement.dataset.action") == "log", "the focus is back"
            assert browser.run(lines) == 0

            # What it writes is text. It ends with the replica, and may be read again after that.
            script.write_text(CHATTER.replace("while sleep 0.05", "while sleep 3600"))
            balancer.ask("POST", f"/pools/api/replicas/{name.replace(' ', '%20')}/kill", {})
            browser.wait("it is replaced", lambda: page.rows() and page.rows()[0][1] != name)
            page.wait_ready(1)
            open_log()
            page.wait_text("#log-lines", MARKUP)
            assert page.text("#log-lines div:nth-child(3)") == "\\u{1b}[2J\ta tab"
            assert browser.run("return [document.title, document.images.length]") == ["ringherd", 0]
            name = page.rows()[0][1]
            for width in [320, 768]:
                assert fits(browser, width)
            browser.picture("log-narrow")
            browser.size(1280, 900)
            balancer.ask("POST", f"/pools/api/replicas/{name}/kill", {})
            page.wait_text("#log-state", "has ended")
            page.one("#log-again").click()
            page.wait_text("#log-state", "has ended")
            page.wait_text("#log-lines", MARKUP)
            assert page.text("#log-title") == f"Output of {name}", page.text("#log-title")
            page.one("#log-close").click()
            assert not page.shown("#log")
            open_log()
            page.one("#pool option[value=web]").click()
            browser.wait("it goes with its pool", lambda: not page.shown("#log"))
            assert browser.console() == []


def fits(browser, width):
    browser.size(width, 740)
    cut = ("return [...document.querySelectorAll('.chart text')].filter(t => t.getBBox().x < 0)"
           ".concat([...document.querySelectorAll('.figures > div')].filter(d => d.scrollWidth > d.clientWidth))"
           ".map(n => n.textContent)")
    browser.wait("whole labels", lambda: browser.run(cut) == [])
    return browser.wait(f"room on {width} pixels", lambda: browser.run(
        "return innerWidth === arguments[0] && document.documentElement.scrollWidth <= innerWidth", width))


def fits_phones_and_the_dark(browser, binary):
    with Balancer(binary, "--replicas", "12") as balancer, Load(balancer.public, 200):
        page = Page(browser, balancer.admin)
        page.wait_ready(12)
        browser.wait("load", lambda: "ms" in page.text("#figure-p99"))
        light = browser.run("return getComputedStyle(document.body).backgroundColor")
        browser.picture("light")
        browser.size(1280, 900, dark=True)
        dark = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert light != dark, "it follows the system"
        browser.picture("dark")
        for width in [320, 360, 768, 1024, 1181]:
            assert fits(browser, width)
        assert fits(browser, 360)
        browser.picture("phone")
        browser.run("document.getElementById('replicas').scrollIntoView()")
        browser.picture("phone-replicas")
        heights = browser.run("return [...document.querySelectorAll('main button')].filter(b => b.offsetParent).map(b => b.offsetHeight)")
        assert min(heights) >= 40, "a finger hits every button"
        browser.size(360, 740, dark=True)
        browser.picture("phone-dark")
        assert browser.console() == []


TESTS = [
    loads_without_errors_and_asks_nobody_else,
    replicas_come_and_go_by_curl_and_by_the_page,
    what_was_before_the_page_came_is_shown_at_once,
    a_replica_is_drained_and_gets_the_weight_back_that_it_had,
    it_works_below_a_path_of_an_edge,
    the_ring_is_changed_in_the_page,
    what_another_changes_in_the_ring_is_not_undone,
    an_ejected_replica_is_hatched_in_the_ring,
    a_killed_replica_is_seen_dying_and_being_replaced,
    a_lost_connection_is_told_and_comes_back,
    a_failure_is_told_though_its_dialog_was_closed,
    more_tabs_than_connections_starve_none,
    a_locked_page_finds_out_that_no_token_is_wanted,
    the_token_is_asked_for,
    all_is_done_by_keyboard,
    markup_is_only_text,
    a_deploy_is_shown_and_steered,
    each_pool_is_shown_and_changed_by_itself,
    the_output_of_a_replica_is_read_and_followed,
    it_works_over_tls_through_another_balancer,
    a_page_of_a_replica_over_tls_has_http2_and_its_websocket,
    fits_phones_and_the_dark,
]


def picture(browser, binary, file):
    """Two minutes of a balancer's life, with a death in them, in one picture."""
    with Balancer(binary) as balancer, Load(balancer.public, 300):
        page = Page(browser, balancer.admin)
        page.wait_ready(3)
        began = time.monotonic()

        def wait_for(second):
            time.sleep(max(0, began + second - time.monotonic()))

        wait_for(30)
        with Load(balancer.public, 250):
            wait_for(80)
        balancer.ask("POST", "/add", {"n": 2, "hostnames": ["S4", "S5"]})
        balancer.ask("PUT", "/replicas/S5", {"weight": 50})
        wait_for(105)
        balancer.ask("POST", "/replicas/Server%202/kill", {})
        wait_for(122)
        page.wait_ready(5)
        browser.size(1280, browser.run("return document.documentElement.scrollHeight"))
        browser.run("return new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        browser.driver.save_screenshot(file)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--binary", default=str(target / "debug" / "ringherd"))
    parser.add_argument("--screenshots", type=pathlib.Path, default=ROOT / "target" / "browser")
    parser.add_argument("--picture", metavar="FILE")
    parser.add_argument("tests", nargs="*", metavar="TEST", choices=[[], *(test.__name__ for test in TESTS)])
    return parser.parse_args()


def main():
    args = arguments()
    failed = []
    with Browser(args.screenshots) as browser:
        if args.picture:
            picture(browser, args.binary, args.picture)
            return
        for test in [test for test in TESTS if not args.tests or test.__name__ in args.tests]:
            began = time.monotonic()
            try:
                test(browser, args.binary)
                outcome = "ok"
            except Exception:
                failed.append(test.__name__)
                outcome = "FAILED"
                traceback.print_exc()
                browser.picture(f"failed-{test.__name__}")
            print(f"test {test.__name__} ... {outcome} ({time.monotonic() - began:.1f} s)", flush=True)
    print(f"browser: {len(failed)} failed; screenshots in {args.screenshots}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
