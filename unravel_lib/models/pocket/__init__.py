"""The pocket model: `codec` is the model itself, `build` fits it and writes `pocket.ts`."""

from pathlib import Path

POCKET = Path(__file__).parent / "pocket.ts"
