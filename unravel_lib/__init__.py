"""UnRAVEl: speculative composition in the latent space of RAVE models.

The rooms, from the ground up. `errors` names what can go wrong; `files` finds inputs and writes outputs whole;
`sidecar` describes a written file in a small JSON beside it; `cli` holds what the four scripts share (`process` tunes
memory and threads). `audio` reads, resamples and writes sound; `latents` reads and writes latents files; `archive`
looks into a model file without running it; `model` runs it (`contract` says what it promises); `inspection` tells what
is in it (`families` knows the marks of TorchScript exports, `checkpoints` the other files, `inspection_report` writes
it down). `stats` measures latents (`encodings` reads them by pieces, `moments`, `quantiles` and `ranks` do the sums,
`summary` holds what they tell), `distributions` draws new frames from the measure, `patterns` arranges them in time
(`pattern_contract` says what a pattern is, `pieces` packs its long arrays), `tempo` turns frames into BPM, `export`
writes latent audio, `plots` draws; `composition` puts these together for `generation`, which is what generator.py does.
`pocket` builds `pocket.ts`, the bundled small model. Imports point downward only.
"""

__version__ = "1.0.0"
