"""
The pure state machines: time comes in as `now`, nothing goes out but values.

No clock, lock, thread, loop, log or I/O in here. The shells around it own those.
"""
