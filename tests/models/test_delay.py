"""The delay that a streaming network states is the one by which it follows its offline twin.

The networks here are made as cached_conv makes RAVE's: every convolution remembers its past, states its delay, and may
have been given the delay of the one before.
"""

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch.nn import functional

from unravel_lib.models import delay

HALF, NONE, ALL = "centred", "causal", "anticausal"


class Held(torch.nn.Module):
    """Puts zeros in front; with `crop` the end falls off, which is a delay."""

    def __init__(self, padding: int, crop: bool = False) -> None:
        super().__init__()
        self.padding, self.crop = padding, crop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.pad(x, (self.padding, 0))
        return y[..., : x.shape[-1]] if self.crop else y


class Conv(torch.nn.Conv1d):
    original_name = "CachedConv1d"

    def __init__(self, kernel: int, stride: int = 1, mode: str = HALF, passed_on: int = 0) -> None:
        super().__init__(1, 1, kernel, stride, bias=False)
        torch.nn.init.uniform_(self.weight, 0.1, 1, generator=torch.Generator().manual_seed(kernel))
        self.ahead = {HALF: kernel // 2, NONE: 0, ALL: kernel - 1}[mode]
        wait = -(self.ahead + passed_on) % stride
        self.cumulative_delay = (self.ahead + wait + passed_on) // stride
        self.cache = Held(kernel - 1)
        self.downsampling_delay = Held(wait, crop=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(self.cache(self.downsampling_delay(x)))

    def offline(self, x: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(x, (self.cache.padding - self.ahead, self.ahead))
        return functional.conv1d(padded, self.weight, None, self.stride)


class Line(torch.nn.Sequential):
    original_name = "CachedSequential"

    def offline(self, x: torch.Tensor) -> torch.Tensor:
        for part in self:
            x = part.offline(x)
        return x


class Side(torch.nn.Module):
    """Branches side by side, of which only the first is used here."""

    original_name = "AlignBranches"

    def __init__(self, delays: list[int], *branches: torch.nn.Module) -> None:
        super().__init__()
        self.branches = torch.nn.ModuleList(branches)
        self.paddings = torch.nn.ModuleList(Held(max(delays) - one, crop=True) for one in delays)
        self.cumulative_delay = max(delays)

    def forward(self, x: torch.Tensor) -> Any:
        return self.branches[0](self.paddings[0](x))

    def offline(self, x: torch.Tensor) -> Any:
        return self.branches[0].offline(x)  # type: ignore[operator]


def with_delays(*convs: tuple[int, int], mode: str = HALF) -> Line:
    """A line of (kernel, stride), each given the delay of the one before."""
    made: list[Conv] = []
    for kernel, stride in convs:
        made.append(Conv(kernel, stride, mode, made[-1].cumulative_delay if made else 0))
    return Line(*made)


NETWORKS = {
    "not given": Line(Conv(7), Conv(9), Conv(3)),
    "given the delay": with_delays((7, 1), (9, 4), (9, 4)),
    "given the delay, as much as half of the kernel": with_delays((5, 1), (5, 1), (5, 2), (5, 1)),
    "given the delay, causal": with_delays((7, 1), (9, 4), (5, 1), mode=NONE),
    "given the delay, anticausal": with_delays((7, 1), (5, 1), mode=ALL),
    "a residual": Line(Conv(7), Side([4, 0], Line(Conv(5), Conv(5)), Line()), Conv(3)),
    "noise in parallel": Line(Conv(7), Side([3, 64], Conv(7), with_delays((9, 4), (9, 4)))),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_stated_delay_is_that_of_the_offline_twin(name: str) -> None:
    way = delay._Path(Fraction(1))
    delay._walk(NETWORKS[name], way)
    assert way.samples.denominator == 1
    x = torch.rand(1, 1, 4096, generator=torch.Generator().manual_seed(1))
    late = functional.pad(x, (-int(way.samples) % int(way.ratio), 0))  # makes the delay a whole number of steps
    with torch.no_grad():
        plain, streamed = NETWORKS[name].offline(x), NETWORKS[name](late)  # type: ignore[operator]
    shift = -(-int(way.samples) // int(way.ratio))
    inner = slice(50, 200)
    torch.testing.assert_close(streamed[..., shift:][..., inner], plain[..., inner])
