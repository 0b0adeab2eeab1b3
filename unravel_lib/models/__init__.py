"""Model files checked, loaded and run; with `audio.blocks` and `inspection` the only code that imports torch.

screening : all that looks at a model file before PyTorch does: its kind, whether it is whole and harmless
torchscript : TorchScript modules: loading, methods, attributes, calls
contract : rate, compression, dims, channels and conditions of a model, and the shapes of encode and decode
behaviour : how a model behaves when it is called, and how many frames around a frame its result depends on; measured
state : the state of a model, saved at load time and restored
delay : the delay that a streaming export states
runner : one direction of a model, run call by call
model : a loaded model, run on whole files in constant memory
codec : whole recordings encoded and decoded, from and to files or arrays
pocket/pocket.ts : the pocket model, which is bundled; `examples/pocket/` is what it was made with
"""

from pathlib import Path

POCKET = Path(__file__).parent / "pocket" / "pocket.ts"
