"""Latents on disk and in memory, without torch.

formats : `.npy` and latent audio: read, checked, written atomically
files : either kind of file, read once with its sidecar; encodings, and what their sidecars agree on
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Latents = np.ndarray[tuple[Any, ...], np.dtype[np.floating[Any] | np.integer[Any]]]  # [dims, frames], any real dtype
Frames = npt.NDArray[np.float64]  # [frames, dims]
