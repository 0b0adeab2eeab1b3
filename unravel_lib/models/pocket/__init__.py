"""The pocket model, which is bundled: `pocket.ts`. `examples/pocket/` is what it was made with."""

from pathlib import Path

POCKET = Path(__file__).parent / "pocket.ts"
