"""
What a guarded call costs, beside what others charge for the same work.

    python -m benchmarks

`work` is what is called; `library` says how this library guards it, `rivals` how the others do.
`subject` makes sure that a guarded function does what it is measured for, `runtimes` runs and times
it, and `row` alternates between the contenders of one row. `paths` has a row for each guard, path
and runtime, `deadlines`, `scale` and `footprint` have those of another kind, and `limits` says what
has to be reached. `report`, `page` and `chart` tell the result. `opcodes` is a program of its own:
it counts instead of timing.
"""
