"""Sound files to and from arrays [channels, samples], block by block; no models.

Modules
-------
read : open a sound file of any kind, as blocks that are checked
ffmpeg : the containers and codecs that FFmpeg reads, and the frames of an MP3
containers : what a file's container states: recordings, lengths, damage
level : loudness, peak, normalising, fades, loops without a seam
descriptors : loudness, brightness and attack of each frame
write : write a WAV
blocks : sound that passes in blocks: overlapping windows, other lengths, channels and sample rates
"""

EXTENSIONS = (".wav", ".mp3", ".ogg", ".aac", ".opus", ".aif", ".aiff", ".flac", ".m4a")  # of sound files in folders
SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}  # of the subtypes that are written
LOWEST_TARGET = -60  # LUFS to which sound can be brought
