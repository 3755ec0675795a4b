"""What has to be reached, by the key of the row."""

from benchmarks.row import Limit

MICROSECOND = 1000.0
KILOBYTE = 1024.0

LIMITS: dict[str, list[Limit]] = {
    "breaker closed sync": [Limit(0.90, "circuitbreaker")],
    "breaker closed asyncio": [Limit(0.90, "circuitbreaker")],
    "breaker open sync": [Limit(1.00, "circuitbreaker")],
    "command closed sync": [Limit(0.45, "nopanic")],
    "command closed asyncio": [Limit(0.45, "nopanic")],
    "command open sync": [Limit(0.45, "nopanic")],
    "timed closed sync": [Limit(0.55, "nopanic"), Limit(0.90, "ThreadPoolExecutor")],
    "timed closed asyncio": [Limit(0.55, "nopanic"), Limit(1.30, "asyncio.timeout")],
    "deadline sync": [Limit(MICROSECOND)],
    "deadline asyncio": [Limit(1.30, "asyncio.timeout")],
    "deadline trio": [Limit(1.20, "trio.move_on_after")],
    "http sync": [Limit(1.05, "httpx2"), Limit(1.00, "interlock-cb")],
    "http asyncio": [Limit(1.05, "httpx2"), Limit(1.00, "interlock-cb")],
    "hand-off sync": [Limit(0.80, "ThreadPoolExecutor")],
    "collector": [Limit(1.00, "nobody looks", contender="collected", noise=True)],
    "opentelemetry": [Limit(1.00, "nobody looks", contender="instrumented", noise=True)],
    "buckets": [Limit(1.10, "10 buckets", contender="1,000 buckets")],
    "calls": [Limit(1.10, "no calls before", contender="1,000,000 calls before")],
    "names": [Limit(1.10, "1 name", contender="100,000 names")],
    # A call may take longer by as much as throughput may sink: to 0.65 of one thread's.
    "threads": [Limit(1 / 0.65, "1 thread", contender="8 threads")],
    "memory": [
        Limit(3 * KILOBYTE, contender="new"),
        Limit(4 * KILOBYTE, contender="after 1,000,000 calls"),
    ],
    "scrape": [Limit(2.00, "plain series")],
    "header": [
        Limit(10 * MICROSECOND, contender="10 MB of digits"),
        Limit(10 * MICROSECOND, contender="10 MB of digits, gRPC"),
    ],
    "import": [Limit(1.20, "attrs, anyio")],
}


def limits(key: str) -> list[Limit]:
    """Return the limits of a row."""
    return LIMITS.get(key, [])
