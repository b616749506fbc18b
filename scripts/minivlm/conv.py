"""A convolution with its batch-norm, its padding rule and the folding of the one into the other."""
import torch
import torch.nn.functional as F
from torch import nn

NORM_EPS = 1e-3
NORM_MOMENTUM = 0.01


class Conv(nn.Conv2d):
    """Convolution, then batch-norm while there is one.

    Its own parameters are `weight` and `bias`, as in the model file; the norm's are below `bn` and vanish with fold()."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, padding="symmetric", bias=False, norm=True):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=bias)
        self.rule = padding
        self.bn = nn.BatchNorm2d(outputs, NORM_EPS, NORM_MOMENTUM) if norm else None
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        if bias:
            nn.init.zeros_(self.bias)

    def forward(self, x):  # [B, inputs, h, w] -> [B, outputs, h', w']
        kernel, stride = self.kernel_size[0], self.stride[0]
        pad = (kernel - 1) // 2
        if self.rule == "same" and kernel > 1:
            top, bottom = same_padding(x.shape[2], kernel, stride)
            left, right = same_padding(x.shape[3], kernel, stride)
            x = F.pad(x, (left, right, top, bottom))
            pad = 0
        y = F.conv2d(x, self.weight, self.bias, stride, pad, 1, self.groups)
        return y if self.bn is None else self.bn(y)

    @torch.no_grad()
    def fold(self) -> None:
        """conv, norm -> conv with bias; the same function in eval mode."""
        if self.bn is None:
            return
        bn, self.bn = self.bn, None
        gain = bn.weight / torch.sqrt(bn.running_var + bn.eps)  # [outputs]
        bias = torch.zeros_like(gain) if self.bias is None else self.bias  # type: ignore[has-type]
        self.bias = nn.Parameter(bn.bias + (bias - bn.running_mean) * gain)
        self.weight = nn.Parameter(self.weight * gain[:, None, None, None])  # type: ignore[has-type]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's rule: as much as ceil(size / stride) outputs need, the smaller half first."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def fold(module: nn.Module) -> nn.Module:
    """Folds every batch-norm below `module`, in place."""
    for part in module.modules():
        if isinstance(part, Conv):
            part.fold()
    return module


def pool(x):  # [B, c, h, w] -> [B, c, ceil(h/2), ceil(w/2)]
    """The pyramid's way down."""
    return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
