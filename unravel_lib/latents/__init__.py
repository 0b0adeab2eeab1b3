"""Latents on disk and in memory, without torch.

npy           latents files: read, checked, written whole
latent_audio  latents as a multichannel float WAV: its header, read back
blocks        long arrays as a sequence of loops: counted, re-blocked, sampled
formats       what a long array is written as: latents file, latent audio, held latent audio
"""
