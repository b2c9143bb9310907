"""Convolutional networks in PyTorch, over series, spectrograms and images, and on graphs."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from torch_models import CHANNELS, CONTEXT, HORIZON

DIM = 8


class WaveNet(nn.Module):
    """Gated causal convolutions with growing dilation, residuals and skips."""

    def __init__(self):
        super().__init__()
        self.into = nn.Conv1d(CHANNELS, DIM, 1)
        self.dilations = (1, 2, 4)
        self.filters = nn.ModuleList(nn.Conv1d(DIM, DIM, 2, dilation=d) for d in self.dilations)
        self.gates = nn.ModuleList(nn.Conv1d(DIM, DIM, 2, dilation=d) for d in self.dilations)
        self.skips = nn.ModuleList(nn.Conv1d(DIM, DIM, 1) for _ in self.dilations)
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(DIM, DIM, 1), nn.ReLU(), nn.Conv1d(DIM, 2, 1))

    def forward(self, x):
        x, total = self.into(x), 0
        for filt, gate, skip in zip(self.filters, self.gates, self.skips):
            y = torch.tanh(filt(x)) * torch.sigmoid(gate(x))
            x = x[:, :, -y.size(2) :] + y
            s = skip(y)
            total = s if isinstance(total, int) else total[:, :, -s.size(2) :] + s
        return self.head(total)


class NormedTcn(nn.Module):
    """Blocks of weight-normed causal convolutions, cut by Chomp."""

    def __init__(self):
        super().__init__()
        widths = (CHANNELS, DIM, DIM)
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv1d(a, b, 3, padding=2 * 2**i, dilation=2**i))
            for i, (a, b) in enumerate(zip(widths, widths[1:]))
        )
        self.down = nn.Conv1d(CHANNELS, DIM, 1)
        self.head = nn.Linear(DIM, HORIZON)

    def forward(self, x):
        residual = self.down(x)
        for i, conv in enumerate(self.convs):
            x = F.relu(conv(x)[:, :, : -(2 * 2**i)].contiguous())
        return self.head(F.relu(x + residual)[:, :, -1])


class MqCnn(nn.Module):
    """Dilated causal stack, a context a step of the horizon, quantiles."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(c, DIM, 2, dilation=d) for c, d in
                                   ((CHANNELS, 1), (DIM, 2), (DIM, 4)))  # fmt: skip
        self.globally = nn.Linear(DIM, HORIZON * 4)
        self.locally = nn.Linear(4 + 2, 3)

    def forward(self, x, future):
        x = x.transpose(1, 2)
        for conv in self.convs:
            x = F.elu(conv(F.pad(x, (conv.dilation[0], 0))))
        contexts = self.globally(x[..., -1]).unflatten(-1, (HORIZON, 4))
        out = self.locally(torch.cat([contexts, future], dim=-1))
        return torch.sort(out, dim=-1).values


class Inception(nn.Module):
    """InceptionTime: bottleneck, three widths, a pooled branch, a residual."""

    def __init__(self):
        super().__init__()
        self.neck = nn.Conv1d(CHANNELS, 4, 1, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv1d(4, 4, k, padding="same", bias=False) for k in (9, 5, 2)
        )
        self.pool = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(CHANNELS, 4, 1, bias=False))
        self.norm = nn.BatchNorm1d(16)
        self.skip = nn.Sequential(nn.Conv1d(CHANNELS, 16, 1), nn.BatchNorm1d(16))
        self.head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 5))

    def forward(self, x):
        neck = self.neck(x)
        y = torch.cat([conv(neck) for conv in self.convs] + [self.pool(x)], dim=1)
        return F.log_softmax(self.head(F.relu(F.relu(self.norm(y)) + self.skip(x))), dim=1)


class ResNet1d(nn.Module):
    """Strided blocks with squeeze and excitation."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(CHANNELS, DIM, 7, 2, 3, bias=False), nn.BatchNorm1d(DIM), nn.ReLU6(),
            nn.MaxPool1d(3, 2, 1),
        )  # fmt: skip
        self.conv1 = nn.Conv1d(DIM, 16, 3, 2, 1, bias=False)
        self.conv2 = nn.Conv1d(16, 16, 3, 1, 1, groups=4, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm1d(16), nn.BatchNorm1d(16)
        self.down = nn.Sequential(nn.Conv1d(DIM, 16, 1, 2, bias=False), nn.BatchNorm1d(16))
        self.squeeze = nn.Sequential(
            nn.Linear(16, 4), nn.Hardswish(), nn.Linear(4, 16), nn.Hardsigmoid()
        )
        self.head = nn.Linear(32, HORIZON)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        y = y * self.squeeze(y.mean(-1)).unsqueeze(-1)
        y = F.relu(y + self.down(x))
        pooled = torch.cat([F.adaptive_avg_pool1d(y, 1), F.adaptive_max_pool1d(y, 1)], 1)
        return self.head(pooled.squeeze(-1))


class UNet1d(nn.Module):
    """Down by pooling, up by transposed convolution and by interpolation, skips between."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(1, 4, 3, padding=1, padding_mode="reflect")
        self.second, self.third = nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose1d(8, 8, 3, stride=2, padding=1, output_padding=1)
        self.mix1, self.mix2 = nn.Conv1d(16, 8, 3, padding=1), nn.Conv1d(12, 4, 3, padding=1)
        self.norm = nn.InstanceNorm1d(8, affine=True)
        self.head = nn.Conv1d(4, 1, 1)

    def forward(self, x):
        a = F.silu(self.first(x))
        b = F.silu(self.norm(self.second(F.max_pool1d(a, 2))))
        c = F.mish(self.third(F.avg_pool1d(b, 2)))
        b = F.silu(self.mix1(torch.cat([self.up(c), b], 1)))
        b = F.interpolate(b, size=a.shape[-1], mode="linear", align_corners=False)
        return self.head(F.silu(self.mix2(torch.cat([b, a], 1))))


class ConvLstm(nn.Module):
    """Frames through a convolutional cell, then upsampled."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Conv2d(1 + 4, 16, 3, padding=1)
        self.peep = nn.Parameter(torch.randn(3, 4, 6, 6) * 0.1)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.head = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, frames):
        batch, steps, _, rows, cols = frames.shape
        h = c = torch.zeros(batch, 4, rows, cols)
        for t in range(steps):
            gates = self.cell(torch.cat([frames[:, t], h], dim=1))
            i, f, o, g = torch.split(gates, 4, dim=1)
            f = torch.sigmoid(f + self.peep[0] * c)
            c = f * c + torch.sigmoid(i + self.peep[1] * c) * torch.tanh(g)
            h = torch.sigmoid(o + self.peep[2] * c) * torch.tanh(c)
        return self.head(F.relu(self.up(h)))


class Spectrogram(nn.Module):
    """A small image network: depthwise blocks, group norm, bilinear and shuffled upsampling."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.1))
        self.deep = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.point, self.norm = nn.Conv2d(8, 16, 1), nn.GroupNorm(4, 16)
        self.shuffle = nn.PixelShuffle(2)
        self.head = nn.Linear(4 * 4, 5)
        self.slope = nn.PReLU(16)

    def forward(self, x):
        x = self.stem(x)
        y = self.slope(self.norm(self.point(self.deep(x))))
        y = self.shuffle(y)
        z = F.interpolate(x[:, :4], scale_factor=2, mode="bilinear", align_corners=True)
        z = F.interpolate(y + z, scale_factor=0.5, mode="bicubic", align_corners=False)
        z = F.adaptive_avg_pool2d(F.pad(z, (1, 1, 1, 1), mode="reflect"), (2, 2))
        return self.head(torch.flatten(z, 1)), F.pixel_unshuffle(y, 2)


class GraphWaveNet(nn.Module):
    """Graph convolution with a learned adjacency between gated temporal convolutions."""

    NODES = 5

    def __init__(self):
        super().__init__()
        self.near, self.far = nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.randn(3, 5))
        self.into = nn.Conv2d(CHANNELS, DIM, (1, 1))
        self.filter, self.gate = (nn.Conv2d(DIM, DIM, (1, 2), dilation=2) for _ in range(2))
        self.mix = nn.Conv2d(3 * DIM, DIM, (1, 1))
        self.norm = nn.BatchNorm2d(DIM)
        self.head = nn.Conv2d(DIM, HORIZON, (1, 1))

    def forward(self, x):
        adjacency = F.softmax(F.relu(torch.mm(self.near, self.far)), dim=1)
        x = self.into(x)
        y = torch.tanh(self.filter(x)) * torch.sigmoid(self.gate(x))
        hops = [y]
        for _ in range(2):
            hops.append(torch.einsum("ncvl,vw->ncwl", (hops[-1], adjacency)).contiguous())
        y = self.mix(torch.cat(hops, dim=1)) + x[:, :, :, -y.size(3) :]
        return self.head(F.relu(self.norm(y)))[..., -1:]


class GraphConvolution(nn.Module):
    """Messages along a list of edges, added at their targets, normalized by degree."""

    def __init__(self):
        super().__init__()
        self.into, self.edge = nn.Linear(CHANNELS, DIM), nn.Linear(2 * DIM, DIM)
        self.head = nn.Linear(DIM, 2)

    def forward(self, x, edges):
        source, target = edges[0], edges[1]
        x = F.relu(self.into(x))
        degree = torch.zeros(x.size(0)).scatter_add(0, target, torch.ones(target.size(0)))
        scale = degree.clamp(min=1).pow(-0.5)
        scale = scale.masked_fill(torch.isinf(scale), 0.0)
        message = F.relu(self.edge(torch.cat([x.index_select(0, source), x[target]], dim=-1)))
        message = message * (scale[source] * scale[target]).view(-1, 1)
        summed = torch.zeros_like(x).index_add(0, target, message)
        index = target.view(-1, 1).expand_as(message)
        largest = torch.zeros_like(x).scatter_reduce(0, index, message, reduce="amax")
        return self.head(summed + largest)
