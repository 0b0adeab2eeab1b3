"""Facts about any model file; no file is trusted.

inspect : one file opened: all that is known about it, its tensors and its attributes
facts : what is known, as data, as text and as CSV
exports : what a TorchScript export states about itself, by families
checkpoints : training checkpoints and safetensors
worker : the process in which model files are opened
"""
