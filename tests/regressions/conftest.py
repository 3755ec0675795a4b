"""What is collected where."""

from __future__ import annotations

import os

# Windows has no fork.
collect_ignore = [] if hasattr(os, "fork") else ["test_forks.py"]
