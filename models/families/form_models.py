"""Forms that PyTorch code takes around its layers, a few of one kind a model."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from torch_models import CHANNELS, CONTEXT, HORIZON

DIM = 8


class Bag(nn.Module):
    """The mean of the rows of some ids."""

    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(20, DIM, mode="mean")
        self.head = nn.Linear(DIM, 3)

    def forward(self, ids):
        return self.head(self.bag(ids))


class Categorical(nn.Module):
    """Tabular: a table a category, numbers normalized, mixed by attention."""

    SIZES = (4, 7, 13)

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, DIM) for n in self.SIZES)
        self.norm = nn.BatchNorm1d(CHANNELS)
        self.number = nn.Parameter(torch.randn(CHANNELS, DIM))
        self.head = nn.Sequential(nn.Linear(DIM * 6, 16), nn.SELU(), nn.Linear(16, 1))

    def forward(self, numbers, categories):
        tokens = [table(categories[:, i]) for i, table in enumerate(self.tables)]
        tokens = torch.stack(tokens, dim=1)
        numbers = self.norm(numbers).unsqueeze(-1) * self.number
        tokens = torch.cat([tokens, numbers], dim=1).unsqueeze(1)
        tokens = F.scaled_dot_product_attention(tokens, tokens, tokens).squeeze(1)
        return torch.sigmoid(self.head(tokens.flatten(1)))


class Calendar(nn.Module):
    """Integer time to features: remainders, sines, one-hot rows, comparisons."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2 + 7 + 1 + 1, HORIZON)

    def forward(self, hours):
        hour, day = hours % 24, torch.div(hours, 24, rounding_mode="floor") % 7
        angle = hour.float() * (2 * torch.pi / 24)
        weekend = ((day == 5) | (day == 6)).float().unsqueeze(-1)
        busy = ((hour >= 8) & ~(hour > 18)).to(torch.float32).unsqueeze(-1)
        rows = [torch.stack([angle.sin(), angle.cos()], -1), F.one_hot(day, 7).float()]
        return self.head(torch.cat([*rows, weekend, busy], dim=-1)).mean(dim=1)


class Sorting(nn.Module):
    """Ranks, quantiles, extremes and picks along a window."""

    def forward(self, x):
        ordered, order = torch.sort(x, dim=1, descending=True)
        rank = torch.argsort(order, dim=1)
        best, places = torch.topk(x, 3, dim=-1, largest=False)
        median = ordered[:, ordered.shape[1] // 2]
        picked = torch.gather(x, 1, places.flip(1))
        trimmed = ordered[:, 2:-2].mean(dim=1)
        low, high = torch.aminmax(x, dim=1)
        first = (x > 0.5).int().argmax(dim=1)
        return rank, best, median, picked, trimmed + high - low, first


class Masks(nn.Module):
    """Missing values: found, filled forward, excluded from statistics."""

    def forward(self, x):
        here = ~torch.isnan(x)
        clean = torch.where(here, x, torch.zeros_like(x))
        count = here.sum(dim=1, keepdim=True).clamp(min=1)
        mean = clean.sum(dim=1, keepdim=True) / count
        variance = (((clean - mean) * here) ** 2).sum(dim=1, keepdim=True) / count
        index = torch.where(here, torch.arange(x.shape[1]), torch.zeros_like(x, dtype=torch.long))
        filled = torch.gather(clean, 1, self.running(index))
        scaled = ((filled - mean) / variance.sqrt().clamp_min(1e-3)).clamp(-5, 5)
        return scaled, here.all(dim=1), here.any(dim=1), x.isfinite().sum(dim=1)

    def running(self, index):
        """Running maximum by doubling."""
        reach = 1
        while reach < CONTEXT:
            moved = F.pad(index[:, :-reach], (reach, 0), value=0)
            index = torch.maximum(index, moved)
            reach *= 2
        return index


class Windows(nn.Module):
    """Lags, differences, rolling statistics and windows by unfold, stride and index."""

    def __init__(self):
        super().__init__()
        self.register_buffer("lags", torch.tensor([1, 2, 7]))

    def forward(self, x):
        length = x.shape[1]
        lagged = x[:, length - self.lags]
        windows = x.unfold(dimension=1, size=4, step=2)
        folded = x[:, :15].view(-1, 5, 3)
        rolled = x - torch.roll(x, 1, dims=1)
        steps = torch.diff(x, dim=1)
        spread = windows.std(dim=-1)
        total = torch.cumsum(x, dim=1)
        product = torch.cumsum(torch.log(x.abs() + 1), dim=1).exp()
        every = F.unfold(x[:, None, None, :], kernel_size=(1, 3), stride=(1, 2))
        return lagged, windows.amax(-1), folded, rolled, steps, spread, total, product, every


class Writes(nn.Module):
    """Assignment into slices, places and masks of a buffer."""

    def forward(self, x, where):
        out = torch.zeros(x.shape[0], CONTEXT + 4)
        out[:, 2:-2] = x
        out[:, 0] = x.mean(dim=1)
        out[:, -1:] += 1.0
        out[:, ::3] *= 2.0
        out[out < -1.0] = -1.0
        out = out.index_fill(1, torch.tensor([4, 6]), 0.5)
        out = out.index_copy(1, torch.tensor([1, 3]), x[:, :2])
        out = out.scatter(1, where, 7.0)
        shift = torch.zeros_like(out).index_put((torch.arange(x.shape[0]), where[:, 0]), x[:, 0])
        return out, out + shift


class Pads(nn.Module):
    """Every mode of padding and of interpolation, on series and images."""

    def forward(self, series, image):
        a = F.pad(series, (3, 2), mode="reflect")
        b = F.pad(series, (3, 2), mode="replicate")
        c = F.pad(series, (3, 2), mode="circular")
        d = F.pad(series, (-1, -2))
        e = F.interpolate(image, size=(5, 9), mode="nearest")
        f = F.interpolate(image, scale_factor=(1.5, 2.0), mode="bilinear")
        g = F.interpolate(image, size=(9, 4), mode="bicubic", align_corners=True)
        h = F.interpolate(image, size=(3, 4), mode="area")
        i = F.interpolate(image, size=(7, 7), mode="bilinear", align_corners=False)
        j = F.pad(image, (2, 1, 1, 2), mode="replicate")
        return a, b, c, d, e, f, g, h, i, j


class Norms(nn.Module):
    """The norms, one behind the other, on channels of a series."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(CHANNELS), nn.InstanceNorm1d(CHANNELS), nn.GroupNorm(1, CHANNELS),
            nn.LocalResponseNorm(2), nn.LayerNorm([CHANNELS, CONTEXT]), nn.RMSNorm(CONTEXT),
        )  # fmt: skip

    def forward(self, x):
        x = self.layers(x)
        unit = F.normalize(x, dim=-1)
        cosine = F.cosine_similarity(x[:, :1], x[:, 1:], dim=-1)
        return x, unit, cosine, torch.linalg.norm(x, dim=-1), x.norm(p=1, dim=1)


class Activations(nn.Module):
    """Every activation that nn has, summed with weights."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(
            [
                nn.ELU(0.5), nn.CELU(1.2), nn.SELU(), nn.GELU(approximate="tanh"), nn.Hardtanh(),
                nn.Hardshrink(), nn.Softshrink(0.2), nn.Hardsigmoid(), nn.Hardswish(), nn.Mish(),
                nn.LogSigmoid(), nn.PReLU(), nn.ReLU6(), nn.SiLU(), nn.Softplus(beta=2),
                nn.Softsign(), nn.Tanhshrink(), nn.Softmin(dim=-1),
            ]
        )  # fmt: skip

    def forward(self, x):
        return torch.stack([part(x * 3) for part in self.parts], dim=1)


class Lengths(nn.Module):
    """A window whose length is open: positions, splits and heads computed from it."""

    def __init__(self):
        super().__init__()
        self.place = nn.Embedding(64, DIM)
        self.into = nn.Linear(CHANNELS, DIM)
        self.head = nn.Linear(2 * DIM, HORIZON)

    def forward(self, x):
        batch, length, _ = x.size()
        half = length // 2
        y = self.into(x) + self.place(torch.arange(length)).unsqueeze(0)
        late, early = y[:, half:].mean(dim=1), y[:, :half].amax(dim=1)
        last = y[:, -3:, :].reshape(batch, -1)
        ramp = torch.linspace(0, 1, 5).repeat(batch, 1)
        weight = torch.arange(length, dtype=torch.float32) / length
        recent = (y * weight.view(1, -1, 1)).sum(1) / weight.sum()
        grid = y.reshape(batch, length, 2, DIM // 2).transpose(1, 2).reshape(batch * 2, length, -1)
        pooled = F.adaptive_avg_pool1d(grid.transpose(1, 2), 1).view(batch, DIM)
        return self.head(torch.cat([late, early + recent], -1)), last, ramp, pooled


class OpenLength(nn.Module):
    """What is computed from an open length: margins, patches, halves, sizes of resampling."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv1d(CHANNELS, CHANNELS, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose1d(CHANNELS, CHANNELS, 4, stride=2, padding=1)

    def forward(self, x):
        batch, length, _ = x.shape
        turned = x.transpose(1, 2)
        whole = F.pad(x, (0, 0, (4 - length % 4) % 4, 0)).reshape(batch, -1, 4, CHANNELS).mean(2)
        patches = length // 2
        recent = x[:, -patches * 2 :].reshape(batch, patches, 2 * CHANNELS)
        low = self.down(turned)
        joined = turned + self.up(low)[..., :length]
        joined = joined + F.interpolate(low, size=length, mode="linear", align_corners=False)
        finer = F.interpolate(joined, scale_factor=2, mode="nearest")
        ages = torch.arange(length - 1, -1, -1)
        weight = 0.5 ** ages.float()
        ramp = torch.linspace(0, 1, length)[None, :, None] * x
        reach = (ages[:, None] - ages[None, :]).clamp(-2, 2) + 2
        mixed = (x @ turned + reach).softmax(-1) @ x
        half = x[:, : math.ceil(length / 2)].sum(1) + (x * weight[None, :, None]).sum(1)
        return whole, recent, finer, ramp, mixed, half


class Multi(nn.Module):
    """nn.MultiheadAttention in its forms: other key sizes, bias rows, weights, both masks."""

    def __init__(self):
        super().__init__()
        self.cross = nn.MultiheadAttention(
            DIM, 2, kdim=CHANNELS, vdim=5, batch_first=True, add_bias_kv=True
        )
        self.own = nn.MultiheadAttention(DIM, 4, add_zero_attn=True)

    def forward(self, query, key, value, padding):
        x, weights = self.cross(query, key, value, key_padding_mask=padding)
        y = x.transpose(0, 1)
        causal = torch.triu(torch.full((y.size(0), y.size(0)), float("-inf")), diagonal=1)
        y, own = self.own(y, y, y, attn_mask=causal, average_attn_weights=False)
        return y.transpose(0, 1), weights, own


class Products(nn.Module):
    """einsum and the products, outer and bilinear ones too."""

    def __init__(self):
        super().__init__()
        self.bilinear = nn.Bilinear(CONTEXT, 4, 5)
        self.core = nn.Parameter(torch.randn(3, 4, 2))

    def forward(self, x, y):
        outer = torch.einsum("bi,bj->bij", x, y)
        traced = torch.einsum("bii->bi", outer[:, :4])
        core = torch.einsum("bi,aic->bac", y, self.core)
        dots = torch.tensordot(outer, self.core, dims=([2], [1]))
        batched = torch.baddbmm(core, core @ core.transpose(-1, -2), core, beta=0.5, alpha=2.0)
        gram = torch.addmm(torch.eye(x.shape[1]), x.t(), x)
        return self.bilinear(x, y), traced, batched, dots, gram, torch.kron(y, self.core[0])
