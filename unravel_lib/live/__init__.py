"""A walk over recordings, without end, as a TorchScript module for nn~: `unravel_lib.live(statistics)` makes it.

graph : the moments of recordings, and where jumps from each lead to; no torch
module : the module, which nn~, Max and SuperCollider load
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The package, which can be called: it has the name of the public function, in whose place it stands."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `unravel_lib.live.module.live`."""
        from unravel_lib.live.module import live

        return live(*args, **options)


sys.modules[__name__].__class__ = _Callable
