"""
The evidence: each part is one module, played small by `make test` and in full by `make proof`.

A part has a function `run(…) -> dict`: the defaults of its arguments are the full size, what it
returns are the figures, and it raises where a promise is broken. `python -m proof` plays parts,
keeps their figures in `proof/results.json` and writes the page that shows them.
"""

import logging

# Many circuits open here, and where nobody has configured logging each would say so on stderr.
logging.getLogger("resilience").addHandler(logging.NullHandler())
