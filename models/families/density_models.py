"""Networks that forecast distributions: parameters, quantiles, mixtures, flows."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from torch_models import CHANNELS, CONTEXT, HORIZON

DIM = 8
QUANTILES = (0.1, 0.5, 0.9)


class Grn(nn.Module):
    """Gated residual network."""

    def __init__(self, inner: int, outer: int, context: int = 0):
        super().__init__()
        self.into = nn.Linear(inner, DIM)
        self.context = nn.Linear(context, DIM, bias=False) if context else None
        self.mid = nn.Linear(DIM, DIM)
        self.gate = nn.Linear(DIM, 2 * outer)
        self.skip = nn.Linear(inner, outer) if inner != outer else nn.Identity()
        self.norm = nn.LayerNorm(outer)

    def forward(self, x, context=None):
        hidden = self.into(x)
        if context is not None:
            hidden = hidden + self.context(context).unsqueeze(1)
        hidden = F.glu(self.gate(self.mid(F.elu(hidden))), dim=-1)
        return self.norm(hidden + self.skip(x))


class Selection(nn.Module):
    """Variables weighted by a network that sees all of them."""

    def __init__(self, variables: int):
        super().__init__()
        self.weight = Grn(variables * DIM, variables, DIM)
        self.each = nn.ModuleList(Grn(DIM, DIM) for _ in range(variables))

    def forward(self, parts, context):
        flat = torch.cat(parts, dim=-1)
        weight = F.softmax(self.weight(flat, context), dim=-1).unsqueeze(-2)
        values = torch.stack([grn(part) for grn, part in zip(self.each, parts)], dim=-1)
        return (values * weight).sum(dim=-1)


class TemporalFusion(nn.Module):
    """Temporal Fusion Transformer: static id, known and observed inputs, quantiles out."""

    def __init__(self):
        super().__init__()
        self.series = nn.Embedding(10, DIM)
        self.hour = nn.Embedding(24, DIM)
        self.real = nn.ModuleList(nn.Linear(1, DIM) for _ in range(2))
        self.past, self.future = Selection(3), Selection(2)
        self.contexts = nn.ModuleList(Grn(DIM, DIM) for _ in range(3))
        self.encoder = nn.LSTM(DIM, DIM, batch_first=True)
        self.decoder = nn.LSTM(DIM, DIM, batch_first=True)
        self.query, self.key = nn.Linear(DIM, 2 * 4), nn.Linear(DIM, 2 * 4)
        self.value, self.mix = nn.Linear(DIM, 4), nn.Linear(4, DIM, bias=False)
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, len(QUANTILES))

    def forward(self, target, known, hour, series):
        batch, length = target.shape
        static = self.series(series)
        select, hidden, cell = (grn(static.unsqueeze(1)).squeeze(1) for grn in self.contexts)
        hours = self.hour(hour)
        covariate = self.real[1](known.unsqueeze(-1))
        past = [self.real[0](target.unsqueeze(-1)), covariate[:, :length], hours[:, :length]]
        past = self.past(past, select)
        future = self.future([covariate[:, length:], hours[:, length:]], select)
        encoded, state = self.encoder(past, (hidden.unsqueeze(0), cell.unsqueeze(0)))
        decoded, _ = self.decoder(future, state)
        x = self.norm(torch.cat([encoded, decoded], 1) + torch.cat([past, future], 1))
        total = x.shape[1]
        q = self.query(x).view(batch, total, 2, 4).transpose(1, 2)
        k = self.key(x).view(batch, total, 2, 4).transpose(1, 2)
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(4)
        places = torch.arange(total)
        scores = scores.masked_fill(places[None, :] > places[:, None], -1e9)
        attention = scores.softmax(dim=-1)
        mixed = torch.matmul(attention, self.value(x).unsqueeze(1)).mean(dim=1)
        x = self.norm(x + self.mix(mixed))
        return self.head(x[:, length:]), attention.mean(dim=1)


class DeepAr(nn.Module):
    """One step: lags and an id through two LSTM layers to a Student t, state in and out."""

    def __init__(self):
        super().__init__()
        self.series = nn.Embedding(10, 4)
        self.lstm = nn.LSTM(4 + 4 + 2, DIM, num_layers=2, batch_first=True)
        self.head = nn.Linear(DIM, 3)

    def forward(self, lags, marks, series, hidden, cell):
        scale = lags.abs().mean(dim=1, keepdim=True).clamp(min=1e-10)
        static = torch.cat((self.series(series), scale.log()), dim=-1)
        static = static.unsqueeze(1).expand(-1, marks.shape[1], -1)[..., :4]
        x = torch.cat(((lags / scale).unsqueeze(1), static, marks), dim=-1)
        x, (hidden, cell) = self.lstm(x, (hidden, cell))
        df, loc, spread = self.head(x).split(1, dim=-1)
        df, spread = 2.0 + F.softplus(df), F.softplus(spread) * scale.unsqueeze(1)
        return df, loc * scale.unsqueeze(1), spread, hidden, cell


class NegativeBinomial(nn.Module):
    """Counts: mean and dispersion, with the log-probability of the count that came."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(CONTEXT, DIM), nn.ReLU(), nn.Linear(DIM, 2))

    def forward(self, counts, last):
        x = torch.log1p(counts.float())
        mean, shape = F.softplus(self.body(x)).chunk(2, dim=-1)
        logits = mean.log() - shape.log()
        rate = shape * F.logsigmoid(-logits) + last * F.logsigmoid(logits)
        return mean, shape, rate, torch.expm1(-mean), torch.log2(shape + 1.0)


class MqRnn(nn.Module):
    """LSTM encoder, a global and a local decoder, quantiles that cannot cross."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(CHANNELS, DIM, batch_first=True)
        self.globally = nn.Linear(DIM + HORIZON * 2, (HORIZON + 1) * 4)
        self.locally = nn.Linear(4 * 2 + 2, len(QUANTILES))

    def forward(self, x, future):
        hidden = self.encoder(x)[0][:, -1]
        contexts = F.relu(self.globally(torch.cat([hidden, future.flatten(1)], 1)))
        contexts = contexts.view(-1, HORIZON + 1, 4)
        shared = contexts[:, -1:].expand(-1, HORIZON, -1)
        steps = self.locally(torch.cat([contexts[:, :-1], shared, future], dim=-1))
        return torch.cumsum(
            torch.cat([steps[..., :1], F.softplus(steps[..., 1:])], dim=-1), dim=-1
        )


class MixtureDensity(nn.Module):
    """Weights, means and scales of a mixture; its mean and variance; its density at y."""

    PARTS = 4

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(CONTEXT, 16), nn.Tanh(), nn.Linear(16, 3 * self.PARTS))

    def forward(self, x, y):
        logits, mean, scale = torch.split(self.body(x), self.PARTS, dim=-1)
        weight = torch.softmax(logits, dim=-1)
        scale = F.elu(scale) + 1.0 + 1e-6
        average = (weight * mean).sum(dim=-1, keepdim=True)
        variance = (weight * (scale.square() + (mean - average) ** 2)).sum(-1, keepdim=True)
        z = (y - mean) / scale
        log = -0.5 * z**2 - scale.log() - 0.5 * math.log(2 * math.pi)
        density = torch.logsumexp(torch.log_softmax(logits, dim=-1) + log, dim=-1)
        cumulative = (weight * 0.5 * (1 + torch.erf(z / math.sqrt(2)))).sum(dim=-1)
        return average, variance, density, cumulative


class RealNvp(nn.Module):
    """Coupling layers with alternating masks, noise to paths and the log-determinant."""

    def __init__(self):
        super().__init__()
        mask = torch.arange(HORIZON) % 2
        self.register_buffer("masks", torch.stack([mask, 1 - mask, mask]).float())
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * HORIZON, 16), nn.LeakyReLU(), nn.Linear(16, 2 * HORIZON))
            for _ in range(3)
        )

    def forward(self, noise, condition):
        x, total = noise, noise.new_zeros(noise.shape[0])
        for mask, net in zip(self.masks, self.nets):
            shift, scale = net(torch.cat([x * mask, condition], dim=-1)).chunk(2, dim=-1)
            scale = torch.tanh(scale) * (1 - mask)
            x = mask * x + (1 - mask) * (x * scale.exp() + shift)
            total = total + scale.sum(dim=1)
            x = torch.flip(x, dims=[1])
        return x, total


class ImplicitQuantile(nn.Module):
    """The quantile level as an input, through a cosine embedding."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(CONTEXT, DIM)
        self.level = nn.Linear(16, DIM)
        self.head = nn.Sequential(nn.PReLU(), nn.Linear(DIM, HORIZON))

    def forward(self, x, level):
        angles = torch.arange(1, 17).float() * math.pi * level.unsqueeze(-1)
        levels = F.relu(self.level(torch.cos(angles)))
        return self.head(self.body(x).unsqueeze(1) * (1 + levels))


class SplineQuantile(nn.Module):
    """A piecewise linear quantile function, evaluated at given levels."""

    KNOTS = 5

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(CONTEXT, 1 + 2 * self.KNOTS)

    def forward(self, x, level):
        start, slope, knot = self.body(x).split([1, self.KNOTS, self.KNOTS], dim=-1)
        slope = F.softplus(slope)
        slope = slope - F.pad(slope, (1, 0))[..., :-1]
        knots = torch.cumsum(F.softmax(knot, dim=-1), dim=-1)
        knots = F.pad(knots, (1, 0), value=0.0)[..., :-1]
        reach = torch.relu(level.unsqueeze(-1) - knots.unsqueeze(1))
        bins = (level.unsqueeze(-1) >= knots.unsqueeze(1)).sum(dim=-1) - 1
        return start + (slope.unsqueeze(1) * reach).sum(-1), torch.gather(knots, 1, bins)


class GaussianProcess(nn.Module):
    """Sparse process: kernel to inducing points, mean and variance by solved weights."""

    POINTS = 6

    def __init__(self):
        super().__init__()
        self.points = nn.Parameter(torch.randn(self.POINTS, CONTEXT))
        self.length = nn.Parameter(torch.rand(CONTEXT) + 1.0)
        kernel = self.kernel(self.points) + 1e-2 * torch.eye(self.POINTS)
        self.register_buffer("inverse", torch.linalg.inv(kernel).detach())
        self.weight = nn.Parameter(torch.randn(self.POINTS, 1))

    def kernel(self, x):
        distance = torch.cdist(x / self.length, self.points / self.length)
        root = math.sqrt(5) * distance
        matern = (1 + root + 5 * distance**2 / 3) * torch.exp(-root)
        return matern

    def forward(self, x):
        k = self.kernel(x)
        mean = k @ self.weight
        spread = 1.0 - torch.einsum("bi,ij,bj->b", k, self.inverse, k)
        return mean, spread.clamp_min(1e-6).sqrt()


class Kan(nn.Module):
    """A Kolmogorov-Arnold layer: cubic B-splines by the recursion of Cox and de Boor."""

    GRID, ORDER = 4, 3

    def __init__(self):
        super().__init__()
        places = torch.arange(-self.ORDER, self.GRID + self.ORDER + 1) * (2 / self.GRID) - 1
        self.register_buffer("grid", places.expand(CONTEXT, -1).contiguous())
        self.base = nn.Linear(CONTEXT, HORIZON, bias=False)
        self.spline = nn.Parameter(torch.randn(HORIZON, CONTEXT, self.GRID + self.ORDER) * 0.1)

    def forward(self, x):
        grid, y = self.grid, x.unsqueeze(-1)
        bases = ((y >= grid[:, :-1]) & (y < grid[:, 1:])).to(x.dtype)
        for k in range(1, self.ORDER + 1):
            left = (y - grid[:, : -(k + 1)]) / (grid[:, k:-1] - grid[:, : -(k + 1)])
            right = (grid[:, k + 1 :] - y) / (grid[:, k + 1 :] - grid[:, 1:-k])
            bases = left * bases[:, :, :-1] + right * bases[:, :, 1:]
        flat = bases.view(x.size(0), -1)
        return self.base(F.silu(x)) + F.linear(flat, self.spline.view(HORIZON, -1))
