"""The pocket model: `codec` is the model itself, `build` fits it and writes `pocket.ts`."""
