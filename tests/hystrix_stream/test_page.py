"""The live page in a real browser, fed by a real server, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from resilience import Command, Override
from tests.support.browser import chromium
from tests.support.operations import Operations, heard

HOSTILE = (
    '<img src=x onerror="window.hacked=1">',
    "</script><script>window.hacked=1</script>",
    '"><svg onload=window.hacked=1>',
    "&lt;b&gt;&amp;",
    "javascript:window.hacked=1",
    "{{constructor.constructor('window.hacked=1')()}}",
    "__proto__",
    "constructor",
    "../../control",
    "x" * 1000,
    "\U0001f525 ünï 混ぜ",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start one browser for all tests."""
    with chromium() as browser:
        yield browser


class Watch:
    """A page that is open, and what it complained of."""

    def __init__(self, page: Page, operations: Operations) -> None:
        self.page = page
        self.operations = operations
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                said.type == "error"
                and "Failed to load resource" not in said.text
                and self.complaints.append(said.text)
            ),
        )

    def look(self) -> None:
        """Let a second pass, and the page see it."""
        self.operations.second()
        heard(self.page, f"serverNow >= {self.operations.clock.now / 1e9 - 0.001}")

    def names(self) -> list[str]:
        """The commands that are shown, from the top."""
        return self.page.locator("tbody tr:not([hidden]) .name").all_text_contents()

    def row(self, name: str) -> Any:
        return self.page.locator("tbody tr", has=self.page.locator(".name", has_text=name)).first

    def focused(self) -> str:
        return self.page.evaluate("document.activeElement.textContent")


@contextmanager
def watching(browser: Browser, operations: Operations, **options: Any) -> Iterator[Watch]:
    """Open the page; at the end it has complained of nothing."""
    with operations.served() as address:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, **options)
        try:
            watch = Watch(page, operations)
            page.goto(address)
            heard(page, "columns.length > 0")
            yield watch
            assert watch.complaints == []
        finally:
            page.close()


def used(operations: Operations, name: str, **fields: Any) -> Command:
    """Make a command that was called once."""
    cmd = operations.command(name, **fields)
    cmd.call(len, "abc")
    return cmd


def fail(cmd: Command, times: int = 1) -> None:
    """Make calls that fail."""
    for _ in range(times):
        with suppress(Exception):
            cmd.acquire().fail(ConnectionError("refused by 10.0.3.17"))


def test_a_row_tells_all_that_an_operator_asks(browser: Browser) -> None:
    """State, errors, rate, latency, slots, transition, reason and the next trial, in words."""
    operations = Operations()
    cmd = used(operations, "payments", max_concurrency=4, sleep_window=5)
    with watching(browser, operations) as watch:
        row = watch.row("payments")
        expect(row.locator(".word")).to_have_text("closed")
        expect(row.locator(".moved")).to_have_text("")
        operations.calls(cmd, 4, takes=0.02)
        operations.clock.advance(1)
        fail(cmd, 6)
        watch.look()
        expect(row.locator(".word")).to_have_text("open")
        expect(row.locator(".next")).to_have_text("next trial in 4 s")
        expect(row.locator(".moved")).to_have_text(
            "closed → open 1 s ago: 5 of 10 calls failed, the limit is 50 %"
        )
        expect(row.locator(".share")).to_have_text("50 % of 10")
        expect(row.locator(".rate")).to_have_text("5/s")
        expect(row.locator(".refusals")).to_have_text("0.5/s refused")
        expect(row.locator(".p50")).to_contain_text(" ms")
        expect(row.locator(".p99")).to_contain_text("p99 ")
        expect(row.locator(".flight")).to_have_text("0 of 4")
        expect(row.locator(".spark")).to_have_attribute(
            "aria-label", "now 2/s answered, 2.5/s failed, 0.5/s refused"
        )
        assert row.locator(".spark .failed").get_attribute("d")
        for _ in range(4):
            watch.look()
        expect(row.locator(".next")).to_have_text("a trial may begin")
        with cmd.acquire():
            watch.look()
            expect(row.locator(".word")).to_have_text("half-open")
        watch.look()
        expect(row.locator(".word")).to_have_text("closed")
        expect(row.locator(".moved")).to_contain_text("half-open → closed 1 s ago: ")
        expect(watch.page).to_have_title("Circuits")


def test_slots_are_shown_against_their_limit(browser: Browser) -> None:
    """A full bulkhead says so in a word, and no limit as well."""
    operations = Operations()
    full, free = (
        used(operations, "full", max_concurrency=2),
        used(operations, "free", max_concurrency=None),
    )
    with watching(browser, operations) as watch:
        held = [full.acquire(), full.acquire(), free.acquire()]
        watch.look()
        expect(watch.row("full").locator(".flight")).to_have_text("2 of 2, full")
        expect(watch.row("free").locator(".flight")).to_have_text("1, no limit")
        assert watch.names() == ["full", "free"]
        for permit in held:
            permit.succeed()


def test_trouble_comes_first_and_other_orders_on_demand(browser: Browser) -> None:
    """Open above half-open above errors above calm; a heading sorts by its column, and back."""
    operations = Operations()
    cmds = {name: used(operations, name) for name in ("ant", "bee", "cat", "dog")}
    with watching(browser, operations) as watch:
        assert watch.names() == ["ant", "bee", "cat", "dog"]
        fail(cmds["dog"], 20)
        operations.calls(cmds["bee"], 40, takes=0.3)
        operations.calls(cmds["cat"], 60, takes=0.01)
        fail(cmds["cat"], 3)
        watch.look()
        assert watch.names() == ["dog", "cat", "ant", "bee"]
        expect(watch.page).to_have_title("1 open · Circuits")
        tallies = watch.page.locator("#tallies li").all_text_contents()
        assert tallies == ["4 commands", "1 open", "1 with errors"]
        for heading, order in (
            ("Command", "ascending"),
            ("Command", "descending"),
            ("Rate", "descending"),
            ("Median, p99", "descending"),
            ("Errors", "descending"),
            ("State", "descending"),
        ):
            watch.page.get_by_role("button", name=heading, exact=True).click()
            head = watch.page.locator("thead th", has_text=heading)
            expect(head).to_have_attribute("aria-sort", order)
            expect(watch.page.locator("thead th[aria-sort]")).to_have_count(1)
            expected = {
                "Commandascending": ["ant", "bee", "cat", "dog"],
                "Commanddescending": ["dog", "cat", "bee", "ant"],
                "Ratedescending": ["cat", "bee", "dog", "ant"],
                "Median, p99descending": ["bee", "cat"],
                "Errorsdescending": ["dog", "cat", "ant", "bee"],
                "Statedescending": ["dog", "cat", "ant", "bee"],
            }[heading + order]
            assert watch.names()[: len(expected)] == expected


def test_a_filter_goes_by_name_and_by_state(browser: Browser) -> None:
    """Words are looked for in names and states, all of them; trouble alone is one click."""
    operations = Operations()
    cmds = {name: used(operations, name) for name in ("http:a", "http:b", "db")}
    with watching(browser, operations) as watch:
        fail(cmds["http:b"], 20)
        cmds["db"].shadow()
        watch.look()
        box = watch.page.get_by_role("searchbox")
        for words, names in (
            ("http", ["http:b", "http:a"]),
            ("HTTP open", ["http:b"]),
            ("closed", ["db", "http:a"]),
            ("shadow", ["db"]),
            ("nothing of it", []),
            ("", ["http:b", "db", "http:a"]),
        ):
            box.fill(words)
            assert watch.names() == names
        box.fill("nobody")
        expect(watch.page.locator("#empty")).to_have_text("Nothing matches.")
        expect(watch.page.locator("#shown")).to_have_text("0 of 3 shown")
        watch.look()
        assert watch.names() == []
        box.fill("")
        watch.page.get_by_label("Only trouble").check()
        assert watch.names() == ["http:b", "db"]


def test_it_can_be_used_from_the_keyboard(browser: Browser) -> None:
    """Slash filters, arrows move, Enter opens details and Escape closes them; focus stays put."""
    operations = Operations(authorize=lambda control: True)
    cmds = {name: used(operations, name) for name in ("ant", "bee", "cat")}
    with watching(browser, operations) as watch:
        press = watch.page.keyboard.press
        press("/")
        expect(watch.page.get_by_role("searchbox")).to_be_focused()
        press("b")
        assert watch.names() == ["bee"]
        press("Escape")
        assert watch.names() == ["ant", "bee", "cat"]
        press("ArrowDown")
        assert watch.focused() == "ant"
        press("ArrowDown")
        assert watch.focused() == "bee"
        fail(cmds["cat"], 20)  # another row comes first: the focus stays with its own
        watch.look()
        assert (watch.names()[0], watch.focused()) == ("cat", "bee")
        press("Enter")
        dialog = watch.page.get_by_role("dialog", name="bee")
        expect(dialog).to_be_visible()
        watch.look()
        press("Tab")
        press("Tab")
        press("Enter")
        expect(watch.page.locator("#said")).to_have_text("Done: forced closed.")
        assert cmds["bee"].override is Override.CLOSED
        press("Escape")
        expect(dialog).to_be_hidden()
        assert watch.focused() == "bee"
        press("End")
        assert watch.focused() == watch.names()[-1]
        press("Home")
        assert watch.focused() == watch.names()[0]
        tabbable = watch.page.locator("tbody [tabindex='0']")
        expect(tabbable).to_have_count(1)


def test_details_and_controls(browser: Browser) -> None:
    """A click opens everything about a command; a control is done at once, and seen at once."""
    operations = Operations(authorize=lambda control: control.name != "mine")
    cmd, mine = used(operations, "users"), used(operations, "mine")
    with watching(browser, operations) as watch:
        fail(cmd, 20)
        watch.look()
        watch.row("users").click()
        dialog = watch.page.get_by_role("dialog", name="users")
        expect(dialog).to_contain_text("ConnectionError: refused by 10.0.3.17")
        expect(dialog).to_contain_text("opens at 50 %")
        said = watch.page.locator("#said")
        for label, override, words in (
            ("Force open", Override.OPEN, "Done: forced open."),
            ("Force closed", Override.CLOSED, "Done: forced closed."),
            ("Shadow", Override.SHADOW, "Done: shadow."),
            ("Clear", None, "Done: it goes by its live state."),
        ):
            button = dialog.get_by_role("button", name=label, exact=True)
            button.click()
            expect(said).to_have_text(words)
            assert cmd.override is override
            if override is not None:
                expect(button).to_have_attribute("aria-pressed", "true")
        cmd.force_open()
        watch.look()
        expect(watch.row("users").locator(".word")).to_have_text("forced open")
        operations.registry.remove("users")
        dialog.get_by_role("button", name="Clear").click()
        expect(said).to_have_text("Not done: no command is named 'users'.")
        watch.look()
        expect(dialog).to_be_hidden()
        watch.row("mine").click()
        watch.page.get_by_role("button", name="Force open").click()
        expect(said).to_have_text("Not done: you may not do that.")
        assert mine.override is None


def test_read_only_there_are_no_controls(browser: Browser) -> None:
    """Without `authorize` the details show none."""
    operations = Operations()
    used(operations, "users")
    with watching(browser, operations) as watch:
        watch.row("users").click()
        expect(watch.page.get_by_role("dialog", name="users")).to_be_visible()
        expect(watch.page.get_by_role("button", name="Force open")).to_have_count(0)


def test_names_and_errors_are_text(browser: Browser) -> None:
    """Whatever a name or an error says, it is shown as it is, and nothing of it is carried out."""
    operations = Operations(authorize=lambda control: True)
    cmds = [used(operations, name, volume_threshold=2) for name in HOSTILE]
    for name, cmd in zip(HOSTILE, cmds, strict=True):
        with suppress(Exception):
            cmd.acquire().fail(ValueError(name))
    with watching(browser, operations) as watch:
        watch.look()
        assert sorted(watch.names()) == sorted(HOSTILE)
        for name in HOSTILE:
            row = watch.page.locator("tbody tr").nth(watch.names().index(name))
            row.click()
            expect(watch.page.locator("#title")).to_have_text(name)
            watch.page.keyboard.press("Escape")
        assert watch.page.evaluate("window.hacked") is None
        assert watch.page.locator("img").count() == 0
        width = watch.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 1280


def test_nothing_comes_from_anywhere_else(browser: Browser) -> None:
    """The page asks its own server for itself and its stream, and its policy stops a script."""
    operations = Operations()
    used(operations, "users")
    asked: list[str] = []
    with operations.served() as address:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        heard(page, "columns.length > 0")
        refused = page.evaluate(
            """() => new Promise((done) => {
                const told = (event) => done(event.effectiveDirective);
                document.addEventListener("securitypolicyviolation", told);
                fetch("https://elsewhere.example/").catch(() => {});
            })"""
        )
        with pytest.raises(Error, match="TrustedHTML"):
            page.evaluate("document.body.innerHTML = '<b>markup</b>'")
        page.close()
    assert refused == "connect-src"
    assert asked == [f"{address}/", f"{address}/live.stream"]


def test_a_thousand_commands(browser: Browser) -> None:
    """A thousand commands are shown, found and sorted; what is too much is counted."""
    operations = Operations(max_commands=1000)
    cmds = [used(operations, f"tenant-{number:04}") for number in range(1100)]
    with watching(browser, operations) as watch:
        expect(watch.page.locator("tbody tr")).to_have_count(1000)
        expect(watch.page.locator("#tallies")).to_contain_text("1,100 commands")
        expect(watch.page.locator("#tallies")).to_contain_text("100 calmest not shown")
        fail(cmds[1050], 20)  # it was one of those not shown
        watch.look()
        assert watch.names()[0] == "tenant-1050"
        watch.page.get_by_role("searchbox").fill("0998")
        assert watch.names() == ["tenant-0998"]
        watch.page.get_by_role("searchbox").fill("")
        watch.page.keyboard.press("Escape")
        watch.page.keyboard.press("ArrowDown")
        watch.page.keyboard.press("End")
        expect(watch.page.locator("tbody tr").last).to_be_in_viewport()


def test_one_command(browser: Browser) -> None:
    """One command is a page too, and so is none."""
    operations = Operations()
    with watching(browser, operations) as watch:
        expect(watch.page.locator("#empty")).to_have_text("There is no command yet.")
        used(operations, "only")
        watch.look()
        assert watch.names() == ["only"]
        expect(watch.page.locator("#tallies")).to_have_text("1 commandall calm")
        expect(watch.page.locator("#empty")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser: Browser, scheme: Any) -> None:
    """It goes by what the system prefers, and every text stands out from its ground."""
    operations = Operations(authorize=lambda control: True)
    cmds = [used(operations, name) for name in ("open", "half", "calm")]
    fail(cmds[0], 20)
    fail(cmds[1], 20)
    with watching(browser, operations, color_scheme=scheme) as watch:
        for _ in range(5):
            watch.look()
        with cmds[1].acquire():
            watch.look()
            worst = watch.page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst
        light = watch.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (light == "rgb(251, 251, 250)") is (scheme == "light")


CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a ?? 1];
  };
  const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) =>
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (node) => getComputedStyle(node).backgroundColor;
  let worst = {ratio: 99};
  for (const node of document.querySelectorAll("header *, .tools *, table *, footer *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!own || !node.checkVisibility() || node.closest(".hidden")) continue;
    let below = node;
    while (parse(ground(below))[3] === 0) below = below.parentElement;
    const a = luminance(parse(getComputedStyle(node).color)), b = luminance(parse(ground(below)));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst.ratio) worst = {ratio, text: node.textContent, of: node.className};
  }
  return worst;
}"""


def test_it_is_readable_without_colour(browser: Browser) -> None:
    """Each state has a word and a shape of its own."""
    operations = Operations()
    cmds = [used(operations, name) for name in ("open", "half", "calm")]
    fail(cmds[0], 20)
    fail(cmds[1], 20)
    with watching(browser, operations) as watch:
        for _ in range(5):
            watch.look()
        with cmds[1].acquire():
            watch.look()
            rows = [watch.row(name) for name in ("open", "half", "calm")]
            words = [row.locator(".word").inner_text() for row in rows]
            shapes = [row.locator("use").get_attribute("href") for row in rows]
        assert words == ["open", "half-open", "closed"]
        assert shapes == ["#open", "#half_open", "#closed"]


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_lost_server_is_told_and_found_again(browser: Browser) -> None:
    """Figures that are old are marked as such; a page that is not shown reads nothing."""
    operations = Operations()
    used(operations, "users")
    with watching(browser, operations) as watch:
        link = watch.page.locator("#link")
        expect(link).to_have_text("live, every 1 s")
        site = operations.app._site
        watch.page.evaluate(HIDE, True)
        expect(link).to_have_text("paused")
        heard(watch.page, "source === null")
        while site._streams:
            watch.page.wait_for_timeout(5)
        site._max_streams = 0
        watch.page.evaluate(HIDE, False)
        expect(link).to_have_text("refused, trying again")
        site._max_streams = 5
        watch.page.evaluate("connect()")
        watch.look()
        expect(link).to_have_text("live, every 1 s")


def test_a_narrow_page_is_a_list_of_cards(browser: Browser) -> None:
    """On a telephone nothing is cut off at the side."""
    operations = Operations()
    fail(used(operations, "payments"), 20)
    with watching(browser, operations) as watch:
        watch.page.set_viewport_size({"width": 380, "height": 700})
        watch.look()
        assert watch.page.evaluate("document.documentElement.scrollWidth") <= 380
        expect(watch.row("payments").locator(".word")).to_be_visible()
