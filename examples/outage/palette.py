"""
Colours that mean the same on the screen and in the picture.

Calm ones for what went well and warm ones for what did not, each lighter or darker than the next,
so that the colour-blind and the grey printer can tell them apart; a label is never far.
"""

import attrs


@attrs.frozen
class Palette:
    """
    The colours for one kind of background.

    Attributes:
        ground: The background.
        ink: Text and what matters most.
        quiet: Text and lines that explain.
        faint: Lines that only guide the eye.
        names: The colour of each outcome, phase of the service and state of the circuit.
        inverse: Those of them that are written on in the colour of the ground.
    """

    ground: str
    ink: str
    quiet: str
    faint: str
    names: dict[str, str]
    inverse: frozenset[str]

    def __getitem__(self, name: str) -> str:
        """Return the colour of an outcome, a phase or a state."""
        return self.names[name]

    def text(self, name: str) -> str:
        """Return the colour of what is written on the colour of that name."""
        return self.ground if name in self.inverse else self.ink


LIGHT = Palette(
    ground="#ffffff",
    ink="#1f2328",
    quiet="#59636e",
    faint="#d8dee4",
    names={
        "success": "#2f7ebc",
        "short_circuited": "#b9d3e8",
        "bulkhead_full": "#8262b5",
        "timeout": "#f2b134",
        "failure": "#c8401f",
        "healthy": "#dcebf7",
        "slow": "#fbe3a9",
        "failing": "#f3bfae",
        "refusing": "#59636e",
        "closed": "#2f7ebc",
        "half_open": "#f2b134",
        "open": "#c8401f",
    },
    inverse=frozenset({"refusing", "closed", "open"}),
)

DARK = Palette(
    ground="#0d1117",
    ink="#e6edf3",
    quiet="#9198a1",
    faint="#30363d",
    names={
        "success": "#3f8fd6",
        "short_circuited": "#2f4a66",
        "bulkhead_full": "#b7a0e6",
        "timeout": "#f5c04e",
        "failure": "#e5633f",
        "healthy": "#24476b",
        "slow": "#6b521a",
        "failing": "#7a3220",
        "refusing": "#9198a1",
        "closed": "#3f8fd6",
        "half_open": "#f5c04e",
        "open": "#e5633f",
    },
    inverse=frozenset({"refusing", "closed", "open"}),
)
