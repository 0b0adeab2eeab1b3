"""UnRAVEl: speculative composition in the latent space of RAVE models.

    import unravel_lib as unravel

    load_model                      a model file, or the bundled pocket model
    encode, decode                  sound <-> latents [dims, frames], from files or arrays
    encode_file, decode_file        the same from file to file, with sidecars, as encoder.py and decoder.py do
    read_latents, write_latents     latents files
    write_latent_audio              latents as a multichannel WAV for Pure Data
    measure, Encoding               statistics of latents
    describe                        loudness, brightness and attack of each frame of a sound
    draw, DISTRIBUTIONS             new frames [frames, dims] from statistics
    arrange, PATTERNS, Repeat       loops -> long arrays
    TRANSFORMS                      what a loop can become as it passes
    Composition                     all of them, as generator.py combines them
    live                            statistics -> a module for nn~ that plays on without end
    distribution, pattern, transform    decorators for one's own
    tempo                           frames <-> BPM

The packages, each importing only from those before it: `text`, `tempo`; `errors`; `files` (inputs, atomic writes,
sidecars); `audio` (sound files), `process` (another process at work) and `latents` (latents files); `models` (model
files checked, loaded and run) and `statistics` (what is known about latents); `music` (distributions, patterns,
transforms, composition) and `inspection` (facts about model files); `plots`, `page` and `live` (to look at, to listen
to, to play); `cli` (what the four scripts share) and `generator` (what only generator.py uses).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unravel_lib import tempo as tempo
    from unravel_lib.audio.descriptors import describe as describe
    from unravel_lib.latents.files import read_latents as read_latents
    from unravel_lib.latents.formats import save_latents as write_latents  # noqa: F401
    from unravel_lib.latents.formats import write_latent_audio as write_latent_audio
    from unravel_lib.live.module import live as live
    from unravel_lib.models.codec import decode as decode
    from unravel_lib.models.codec import decode_file as decode_file
    from unravel_lib.models.codec import encode as encode
    from unravel_lib.models.codec import encode_file as encode_file
    from unravel_lib.models.model import load as load_model  # noqa: F401
    from unravel_lib.music.catalogue import DISTRIBUTIONS as DISTRIBUTIONS
    from unravel_lib.music.catalogue import PATTERNS as PATTERNS
    from unravel_lib.music.catalogue import TRANSFORMS as TRANSFORMS
    from unravel_lib.music.catalogue import distribution as distribution
    from unravel_lib.music.catalogue import pattern as pattern
    from unravel_lib.music.catalogue import transform as transform
    from unravel_lib.music.composition import Composition as Composition
    from unravel_lib.music.distributions import draw as draw
    from unravel_lib.music.patterns import Repeat as Repeat
    from unravel_lib.music.patterns import arrange as arrange
    from unravel_lib.statistics.measure import Encoding as Encoding
    from unravel_lib.statistics.measure import measure as measure

__version__ = "1.1.0"

_MODULES = {
    "audio.descriptors": ("describe",),
    "latents.files": ("read_latents",),
    "latents.formats": ("write_latent_audio", "write_latents"),
    "live": ("live",),
    "models.codec": ("decode", "decode_file", "encode", "encode_file"),
    "models.model": ("load_model",),
    "tempo": ("tempo",),
    "music.catalogue": ("DISTRIBUTIONS", "PATTERNS", "TRANSFORMS", "distribution", "pattern", "transform"),
    "music.composition": ("Composition",),
    "music.distributions": ("draw",),
    "music.patterns": ("Repeat", "arrange"),
    "statistics.measure": ("Encoding", "measure"),
}
_NAMES = {name: module for module, names in _MODULES.items() for name in names}
_INSIDE = {"load_model": "load", "write_latents": "save_latents"}  # names that are others in their modules
__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that `import unravel_lib` alone is fast."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_NAMES[name]}")
    return module if name in ("tempo", "live") else getattr(module, _INSIDE.get(name, name))


def __dir__() -> list[str]:
    return __all__
