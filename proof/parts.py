"""The parts of the evidence: what each of them shows, and how much `make test` plays of it."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """One module of this package."""

    what: str
    """What is shown, in a few words."""
    small: str
    """What `make test` plays."""
    full: str
    """What `make proof` plays."""


PARTS = {
    "machine": Part(
        "Hypothesis against the model of a circuit: calls, failures, cancellations, late results, "
        "time forwards and back, overrides, reconfiguration, forks",
        "200,000 events",
        "1,000,000 events with each of three seeds, each event in each state at least 1,000 times",
    ),
    "driver": Part(
        "A plain loop over random bytes against the same model",
        "5,000,000 events",
        "100,000,000 events",
    ),
    "cancels": Part(
        "Calls that are cancelled at random, on each event loop, and a count of who is inside",
        "100,000 calls on each",
        "1,000,000 calls on each: no slot and no trial missing, nobody left waiting",
    ),
    "signals": Part(
        "KeyboardInterrupt by a timer in sync calls: decorated, `call`, `with cmd.acquire()`",
        "5,000 strikes each",
        "50,000 strikes each: no slot, no trial and no lock held once what is left is collected",
    ),
    "sweep": Part(
        "Nine kinds of exception at every suspension of every async entry point, and at every line "
        "of the library in every sync one",
        "all of it",
        "all of it, on each Python of the machine",
    ),
    "fuzz": Part(
        "Hostile values for every setting, hostile names, and what becomes of both in a scrape",
        "100,000 values",
        "10,000,000 values: typed errors alone",
    ),
    "forks": Part(
        "Forks while threads are at work, and exits with calls in flight",
        "50 times",
        "1,000 times: nobody hangs, nothing is said on stderr",
    ),
    "soak": Part(
        "Threads, asyncio and trio on one registry, for a long time",
        "60 seconds",
        "30 minutes and at least 100,000,000 calls: flat memory (at most 0.5 MiB an hour), no "
        "thread, task or descriptor left",
    ),
    "rivals": Part(
        "Other libraries in the same situations",
        "nothing",
        "every situation with every library",
    ),
    "schedules": Part(
        "Every pair of operations on two threads, one stopped before each of its lines in turn",
        "every pair, at one line of 60",
        "every pair, at every line, from five states: each equals some order of the steps",
    ),
    "threes": Part(
        "Three threads in the ten situations that matter most, two of them stopped before each of "
        "their lines",
        "one line of 60 of each thread",
        "every pair of lines, in every order of the threads: each equals some order of the steps",
    ),
    "orders": Part(
        "Three threads in the same situations, switched in front of instructions that make a "
        "difference (frontrun)",
        "nothing",
        "every situation, with at most two switches that nothing forces, for five minutes",
    ),
    "symbolic": Part(
        "The laws of the arithmetic, with numbers that a solver looks for (CrossHair)",
        "nothing",
        "60 examples of each law",
    ),
    "mutants": Part(
        "Concurrency mistakes, planted one by one: locks not taken, `finally` skipped, "
        "generations not looked at, tokens laid back twice, waiters not woken",
        "nothing",
        "each of the chosen ones, looked for by the tests and the schedules",
    ),
    "mutation": Part(
        "Mistakes of every common kind in the whole package, planted one by one",
        "those in lines of `_core` that differ from the last commit, for 20 seconds",
        "all of them: at least 98 % noticed in `_core`, 92 % in the package",
    ),
    "shams": Part(
        "Nothing planted, where a mistake could be: what fails only because it is played so",
        "nothing",
        "the tests of one of 40 places: none fails",
    ),
    "unlocked": Part(
        "CPython without the GIL: eight threads at once, and exact counts",
        "40,000 calls, on any Python",
        "10,000,000 calls, where such a Python is found",
    ),
}
