"""Sound files to and from arrays [channels, samples], block by block; no models.

Modules
-------
read : open a sound file of any kind, as blocks that are checked
containers : what a file's container states: recordings, lengths, damage
mp3 : the frames of an MP3
level : loudness, peak, normalising, fades, loops without a seam
descriptors : loudness, brightness and attack of each frame
write : write a WAV
blocks : sound that passes in blocks: overlapping windows, other lengths, channels and sample rates
"""
