"""One run of the generator: loops are drawn, a pattern arranges them, files are written. Prints and parses nothing."""

import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unravel_lib.errors import OutputError, UsageError
from unravel_lib.files.atomic import NAME_BYTES, make_folder, refuse_overwriting, sha256_of
from unravel_lib.files.sidecar import Sidecar
from unravel_lib.latents import latent_audio
from unravel_lib.latents.blocks import Array, count_frames
from unravel_lib.music import distributions
from unravel_lib.music.registry import Material, Pattern
from unravel_lib.statistics.summary import Statistics
from unravel_lib.text import printable


@dataclass(frozen=True)
class Composition:
    """What the musician asked for, with all defaults settled; `facts` tell model, rates, dims and seed."""

    statistics: Statistics
    facts: Sidecar
    distribution: str
    pattern: Pattern
    pattern_options: dict[str, Any]
    num_latents: int
    num_loops: int
    seed: int
    embeddings: bool = False
    hold: bool = False
    subtype: latent_audio.Subtype = "DOUBLE"

    @property
    def sample_rate(self) -> float:
        """Of the model, in Hz."""
        assert self.facts.sample_rate is not None
        return self.facts.sample_rate

    @property
    def compression(self) -> int:
        """Audio samples per frame."""
        assert self.facts.compression is not None
        return self.facts.compression

    @property
    def label(self) -> str:
        """What the run is, for names of files and folders: `swapper_correlation-based_iqr_seed123`."""
        view = "_iqr" if self.statistics.iqr else ""
        return f"{self.pattern.name}_{self.distribution}{view}_seed{self.seed}"

    def name(self, index: int) -> str:
        """File name of the output number `index`; latents files and latent audio never share a sidecar's name."""
        end = "_embeddings.npy" if self.embeddings else "_hold.wav" if self.hold else ".wav"
        return f"{self.label}_{index:04d}{end}"

    def material(self, index: int) -> Material:
        """Draw the loops of the output number `index`.

        Loop A, loop B and the pattern have a random generator each, spawned from the file's, which is spawned from
        the seed: file 0 is the same however many are asked for, and loop A whatever the pattern.
        """
        for_a, for_b, for_pattern = np.random.SeedSequence(self.seed, spawn_key=(index,)).spawn(3)
        loop = self._draw(for_a)
        loop_b = self._draw(for_b) if "loop_b" in self.pattern.given else loop
        return Material(loop, loop_b, self.num_loops, self.statistics.scale, for_pattern)

    def _draw(self, seed: np.random.SeedSequence) -> Array:
        return distributions.draw(self.distribution, self.statistics, np.random.default_rng(seed), self.num_latents)

    def pieces(self, material: Material) -> Iterator[Array]:
        """The long array of a file, piece by piece."""
        return self.pattern.pieces(material, self.pattern_options)

    def prepared(self, index: int, room: int) -> tuple[Material, int]:
        """Draw the loops of the output number `index` and tell how many frames it has.

        The pattern says how many, before anything is drawn, or makes its pieces once without writing them.

        Raises
        ------
        UsageError
            None at all; or larger than a WAV file can be, with the way out.
        OutputError
            More than the `room` in bytes that is left on the disk.
        """
        promised = self.pattern.n_frames(self.num_latents, self.statistics.dims, self.num_loops)
        if promised is not None:
            self._refuse_size(promised, room)
            return self.material(index), promised
        material = self.material(index)
        limit = self._bytes_to_frames(room)
        n_frames = count_frames(self.pieces(material), limit if self.embeddings else min(limit, self._wav_limit))
        self._refuse_size(n_frames, room)
        return material, n_frames

    def _refuse_size(self, n_frames: int, room: int) -> None:
        dims, limit, wav_limit = self.statistics.dims, self._bytes_to_frames(room), self._wav_limit
        if n_frames == 0:
            raise UsageError(f"pattern {self.pattern.name} makes no frames from this loop: check its options")
        if not self.embeddings and n_frames > wav_limit:
            ways = ["fewer `num_loops` or `num_latents`", "`embeddings`"]
            ways += ["`wav_subtype` FLOAT"] if self.subtype == "DOUBLE" else []
            ways += ["no `hold`"] if self.hold else []
            raise UsageError(
                f"{self.name(0)} with more than {wav_limit:,} frames of {dims} dims would be larger than 4 GiB, where "
                f"WAV ends: take {' or '.join(ways)}"
            )
        if n_frames > limit:
            raise OutputError(
                f"{self.name(0)} with more than {limit:,} frames of {dims} dims is larger than the space left on the "
                "disk: take fewer `num_loops` or `num_latents`, or another `output`"
            )

    @property
    def _wav_limit(self) -> int:
        return self._bytes_to_frames(latent_audio.RIFF_BYTES - latent_audio.HEADER_BYTES + 8)

    def _bytes_to_frames(self, size: int) -> int:
        return size // self.n_bytes(1, header=False)

    def n_bytes(self, n_frames: int, header: bool = True) -> int:
        """Size of a file of so many frames."""
        held = self.compression if self.hold else 1
        width = 4 if self.embeddings else latent_audio.VALUE_BYTES[self.subtype]
        return n_frames * held * width * self.statistics.dims + (latent_audio.HEADER_BYTES if header else 0)

    def write(
        self, path: Path, material: Material, n_frames: int, sidecar: Sidecar, watch: latent_audio.Watcher | None = None
    ) -> None:
        """Write a file and its sidecar; `n_frames` are those counted before, `watch` sees all frames."""
        pieces, dims = self.pieces(material), self.statistics.dims
        if self.embeddings:
            latent_audio.write_embeddings(path, pieces, dims, n_frames, watch, sidecar)
        elif self.hold:
            rate = max(1, int(self.sample_rate))
            hold = self.compression
            latent_audio.write_latent_audio(path, pieces, dims, n_frames, rate, self.subtype, hold, watch, sidecar)
        else:
            rate = latent_audio.frame_rate(self.sample_rate, self.compression)
            latent_audio.write_latent_audio(path, pieces, dims, n_frames, rate, self.subtype, 1, watch, sidecar)

    def description(self, index: int, n_frames: int, source: Path) -> Sidecar:
        """The sidecar of the output number `index`; `source` is the statistics file of the run."""
        own = self.pattern.source
        options = {
            "script": "generator",
            "distribution": self.distribution,
            "iqr": self.statistics.iqr,
            "pattern": self.pattern.name if own is None else f"{Path(own).name}:{self.pattern.name}",
            "pattern_sha256": None if own is None else sha256_of(Path(own)),
            "pattern_args": self.pattern_options,
            "num_latents": self.num_latents,
            "num_loops": self.num_loops,
            "file_index": index,
            "statistics_sha256": sha256_of(source),
        }
        if not self.embeddings:
            options |= {"hold": self.hold, "wav_subtype": self.subtype}
        return replace(self.facts, frames=n_frames, seed=self.seed, options=options)


def check_run(output: Path, name: str, overwrite: bool) -> Path:
    """The folder that `run` name means; raises as `run_folder` does where it cannot be had. Makes nothing."""
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name or len(os.fsencode(name)) > NAME_BYTES:
        raise UsageError(f"`run` {printable(name)} is no plain folder name: slashes belong to `output`")
    folder = output / name
    if os.path.lexists(folder) and not (overwrite and folder.is_dir()):
        remedy = ", or add `overwrite`" if folder.is_dir() else ""
        raise OutputError(f"{printable(folder)} exists already: choose another `run`{remedy}")
    return folder


def run_folder(output: Path, name: str | None, overwrite: bool, label: str) -> Path:
    """Make the folder of this run inside `output`, by name, or by date, time and label.

    Making it is what claims it: of two runs that want the same name at the same moment, one gets it, and the other
    gets the next (`..._2`), or is refused where the name was given.

    Raises
    ------
    UsageError
        The name is no plain folder name.
    OutputError
        It exists already and `overwrite` is not given, or it cannot be made.
    """
    try:
        if name is not None:
            folder = check_run(output, name, overwrite)
            make_folder(folder, exist_ok=overwrite)
            return folder
        stem = f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}_{label}"
        for attempt in range(1, 10_000):
            folder = output / (stem if attempt == 1 else f"{stem}_{attempt}")
            try:
                make_folder(folder, exist_ok=False)
            except FileExistsError:
                continue
            return folder
        raise OutputError(f"{printable(output)} is full of runs of this second: take `run` NAME")
    except FileExistsError as error:  # made by another run since it was checked
        raise OutputError(f"{printable(folder)} exists already: choose another `run`") from error
    except OSError as error:
        raise OutputError(f"{printable(folder)} cannot be made: {error.strerror}: choose another `output`") from error


def refuse_to_replace(folder: Path, names: list[str], inputs: list[Path]) -> None:
    """Raise OutputError if writing one of the names in the folder would replace an input of this run."""
    for name in names:
        refuse_overwriting(folder / name, inputs)
