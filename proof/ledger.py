"""`mutation.json`: which mistakes were made in each module, and which nobody noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from proof.mistakes import SOURCE, Mistake, mistakes

FILE = Path(__file__).parent / "mutation.json"


class Ledger:
    """What has been found so far: of modules whose text is another now, nothing."""

    def __init__(self) -> None:
        kept: dict[str, Any] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
        self._kept = {
            name: each for name, each in kept.items() if each["text"] == digest(SOURCE / name)
        }
        self._noticed: dict[str, bool] = {}

    def name(self, path: Path) -> str:
        """Return how a module is called."""
        return path.relative_to(SOURCE).as_posix()

    def asks(self, mistake: Mistake, again: bool) -> bool:
        """Whether a mistake has not been made yet; or has, and was not noticed."""
        kept = self._kept.get(self.name(mistake.path))
        if kept is None or mistake.name in kept["left"]:
            return not again
        return again and mistake.name in kept["not noticed"]

    def note(self, mistake: Mistake, noticed: bool) -> None:
        """Remember what became of a mistake."""
        self._noticed[mistake.name] = noticed

    def noticed(self, mistake: Mistake) -> bool | None:
        """Return what became of a mistake of this time."""
        return self._noticed.get(mistake.name)

    def keep(self, paths: Iterable[Path]) -> None:
        """Write down what is known of some modules."""
        for path in paths:
            names = [each.name for each in mistakes(path)]
            kept = self._kept.get(self.name(path), {"left": names, "not noticed": []})
            before = dict.fromkeys(names, True)
            before |= dict.fromkeys(kept["not noticed"], False)
            left = set(kept["left"]) - self._noticed.keys()
            told = {name: self._noticed.get(name, before[name]) for name in names}
            self._kept[self.name(path)] = {
                "text": digest(path),
                "possible": len(names),
                "left": [name for name in names if name in left],
                "not noticed": [name for name in names if name not in left and not told[name]],
            }
        text = json.dumps(dict(sorted(self._kept.items())), indent=1, ensure_ascii=False) + "\n"
        FILE.write_text(text, encoding="utf-8")

    def figures(self, reasons: dict[str, str]) -> dict[str, Any]:
        """Return the shares of `_core` and of the package, and who survived without a reason."""
        core = {name: each for name, each in self._kept.items() if name.startswith("_core/")}
        figures: dict[str, Any] = {}
        for what, some in (("_core", core), ("the package", self._kept)):
            possible = sum(each["possible"] for each in some.values())
            made = possible - sum(len(each["left"]) for each in some.values())
            survived = [name for each in some.values() for name in each["not noticed"]]
            figures |= {
                f"made in {what}": made,
                f"not made yet in {what}": possible - made,
                f"noticed in {what}": made - len(survived),
                f"percent noticed in {what}": share(made - len(survived), made),
                f"survivors with a reason in {what}": sum(name in reasons for name in survived),
            }
        every = [name for each in self._kept.values() for name in each["not noticed"]]
        return figures | {"survivors without": sum(name not in reasons for name in every)}


def share(some: int, of: int) -> float:
    """Return a share in percent."""
    return round(100 * some / of, 1) if of else 100.0


def digest(path: Path) -> str:
    """Return by what a text is known again; nothing if it is gone."""
    if not path.exists():
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
