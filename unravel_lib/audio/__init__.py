"""Sound files to and from arrays [channels, samples], block by block; no models.

Modules
-------
read : open a sound file of any kind
audio_file : an open sound file: its facts and its samples, checked
level : loudness, peak, normalising, fades
read_libsndfile : what libsndfile reads (WAV, AIFF, FLAC, Ogg, MP3, ...)
read_ffmpeg : what only FFmpeg reads (AAC, M4A, ...)
containers : several recordings in one file; files that are cut short
libsndfile : calls of libsndfile that python-soundfile does not make public
write : write a WAV
resample : change the sample rate and the number of channels
windows : process long signals in overlapping windows
"""
