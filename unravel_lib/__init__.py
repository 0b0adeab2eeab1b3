"""UnRAVEl: speculative composition in the latent space of RAVE models.

The packages, each importing only from those above it: `errors`, `text`; `files` (found, written whole, described);
`audio` (sound files) and `latents` (latents files); `models` (model files checked, loaded and run) and `statistics`
(what is known about latents); `music` (distributions, patterns, tempo, composition) and `inspection` (facts about
model files); `plots`; `cli` (what the four scripts share).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unravel_lib.latents.blocks import Repeat as Repeat
    from unravel_lib.music.distribution import distribution as distribution
    from unravel_lib.music.pattern import pattern as pattern

__version__ = "1.0.0"

_NAMES = {"pattern": "music.pattern", "distribution": "music.distribution", "Repeat": "latents.blocks"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562): `import unravel_lib` alone takes no time."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_NAMES]
