"""Model files checked, loaded and run; with `audio.blocks` and `inspection` the only code that imports torch.

screening : all that looks at a model file before PyTorch does: its kind, whether it is whole and harmless
torchscript : TorchScript modules: loading, methods, attributes, weights, calls
contract : rate, compression, dims, channels and conditions of a model, and the shapes of encode and decode
runner : a module that is called again and again, from the state in which it was loaded, in float32 or in bfloat16
behaviour : how a model behaves when it is called, and how many frames around a frame its result depends on; measured
delay : the delay that a streaming export states
model : a loaded model, run on whole files in constant memory
codec : whole recordings encoded and decoded, from and to files or arrays
pocket/pocket.ts : the pocket model, which is bundled; `examples/pocket/` is what it was made with
"""

from pathlib import Path

POCKET = Path(__file__).parent / "pocket" / "pocket.ts"
