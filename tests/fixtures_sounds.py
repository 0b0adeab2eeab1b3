"""Sound files that only FFmpeg writes."""

import io
from collections.abc import Callable, Mapping

import av
import numpy as np


def ffmpeg_file(
    x: np.ndarray,
    rate: int,
    codec: str,
    format_: str,
    options: Mapping[str, str] | None = None,
    configure: Callable[[av.AudioStream], None] = lambda stream: None,
) -> bytes:
    """Return the bytes of a sound file of [channels, samples]; `options` are those of the format."""
    file = io.BytesIO()
    with av.open(file, "w", format=format_, options=dict(options or {})) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo" if len(x) == 2 else "mono")
        stream.bit_rate = 128_000
        configure(stream)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x, np.float32), "fltp", stream.layout.name)
        frame.sample_rate = rate
        fifo = av.AudioResampler(stream.format, stream.layout, rate, frame_size=stream.frame_size or 1024)
        for piece in [*fifo.resample(frame), *fifo.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()
