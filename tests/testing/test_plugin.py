from __future__ import annotations

import pytest

PLUGIN = "resilience.testing.pytest_plugin"

LEAK = """
    from resilience import command

    kept = []

    def test_it_keeps_a_permit(resilience_registry):
        kept.append(command("orders").acquire())
"""

DEFAULT_LEAK = """
    from resilience import command

    kept = []

    def test_it_keeps_a_permit():
        kept.append(command("orders of nobody").acquire())

    def test_it_finds_one_kept_and_keeps_none():
        with command("orders of nobody").acquire():
            pass

    def test_it_finds_one_kept_and_keeps_two():
        kept.extend(command("orders of nobody").acquire() for _ in range(2))

    def test_it_gives_them_back():
        while kept:
            kept.pop().release()
"""


def play(pytester: pytest.Pytester, source: str, *options: str, ini: str = "") -> pytest.RunResult:
    """Run a test module with the plugin, whether or not the package is installed."""
    pytester.makepyfile(source)
    pytester.makeini(f"[pytest]\n{ini}")
    return pytester.runpytest_inprocess(
        "-p", "no:resilience", "-p", PLUGIN, "-p", "no:randomly", "-p", "no:cacheprovider", *options
    )


def test_the_fixtures_belong_together(pytester: pytest.Pytester) -> None:
    """
    The registry lives by the clock, takes what names none, and is another one for each test.
    """
    done = play(
        pytester,
        """
        import resilience
        from resilience import command

        def test_one(resilience_registry, resilience_clock):
            assert resilience.default_registry is resilience_registry
            users = command("users", volume_threshold=1, sleep_window=5)
            users.acquire().fail()
            resilience_clock.advance(5)
            users.acquire().succeed()
            assert users.state == "closed"

        def test_two(resilience_registry):
            assert not list(resilience_registry)

        def test_three(resilience_clock):
            assert resilience_clock.time() == 1000
        """,
    )
    done.assert_outcomes(passed=3)


def test_a_test_that_keeps_something_fails_with_its_name(pytester: pytest.Pytester) -> None:
    """
    The test and what it holds are named.
    """
    done = play(pytester, LEAK)
    done.assert_outcomes(passed=1, errors=1)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["test_it_keeps_a_permit ended with still held: 1 slot of 'orders'"])


def test_what_a_fixture_gives_back_is_no_leak(pytester: pytest.Pytester) -> None:
    """
    The check comes after the fixtures that use the registry have ended.
    """
    done = play(
        pytester,
        """
        import pytest
        from resilience import command

        @pytest.fixture
        def permit(resilience_registry):
            permit = command("orders").acquire()
            yield permit
            permit.release()

        def test_it(permit):
            assert not permit.settled
        """,
    )
    done.assert_outcomes(passed=1)


def test_a_test_that_failed_is_not_blamed_again(pytester: pytest.Pytester) -> None:
    """
    It was stopped in the middle: what it holds says nothing.
    """
    done = play(pytester, LEAK + "        assert False\n")
    done.assert_outcomes(failed=1)


def test_every_test_is_checked_if_that_is_asked_for(pytester: pytest.Pytester) -> None:
    """
    Then a test fails for what it holds of the default registry beyond what it found.
    """
    done = play(pytester, DEFAULT_LEAK, ini="resilience_leaks = true")
    done.assert_outcomes(passed=4, errors=2)
    done.stdout.fnmatch_lines(["test_it_keeps_a_permit ended with *1 slot of 'orders of nobody'"])
    done.stdout.fnmatch_lines(
        ["test_it_finds_one_kept_and_keeps_two *2 slots of 'orders of nobody'"]
    )


def test_who_uses_nothing_of_it_notices_nothing(pytester: pytest.Pytester) -> None:
    """
    Unless it is asked for, nobody's test is looked at.
    """
    play(pytester, DEFAULT_LEAK).assert_outcomes(passed=4)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_tests_live_in_virtual_time(pytester: pytest.Pytester, backend: str) -> None:
    """
    By `FakeClock.run` in a plain test, and by a loop factory under anyio's plugin.
    """
    done = play(
        pytester,
        f"""
        import anyio
        import pytest

        def test_run(resilience_clock):
            resilience_clock.run(anyio.sleep, 3600, backend="{backend}")
            assert round(resilience_clock.time()) == 4600

        @pytest.fixture
        def anyio_backend(resilience_clock):
            return "asyncio", {{"loop_factory": resilience_clock.new_event_loop}}

        @pytest.mark.anyio
        async def test_loop_factory(resilience_clock):
            await resilience_clock.asleep(3600)
            assert round(resilience_clock.time()) == 4600
        """,
    )
    done.assert_outcomes(passed=2)
