"""torch, which all is held to. Where it is not installed (there may be no build of it
for a new Python), what asks for it is skipped, and says so."""

import pytest

__all__ = [
    "ACT2FN",
    "Conv1D",
    "FlopCounterMode",
    "T5Attention",
    "installed",
    "load_file",
    "prune",
    "save_file",
    "torch",
]


class Missing:
    def __call__(self, *_):
        return self._skip()

    def __getattr__(self, name):
        if name == "no_grad":  # a decorator; its test asks for more
            return lambda: lambda test: test
        return self._skip()

    def _skip(self):
        pytest.skip("torch is not installed", allow_module_level=True)


try:
    import torch
    from safetensors.torch import load_file, save_file
    from torch.nn.utils import prune
    from torch.utils.flop_counter import FlopCounterMode
    from transformers.activations import ACT2FN
    from transformers.models.t5.modeling_t5 import T5Attention
    from transformers.pytorch_utils import Conv1D

    installed = True
except ImportError:
    installed = False
    torch = prune = load_file = save_file = Missing()
    ACT2FN = Conv1D = FlopCounterMode = T5Attention = Missing()
