"""Forecasting networks of the literature in PyTorch, as their published code writes them."""

import torch
from torch import nn
from torch.nn import functional as F

from torch_models import CHANNELS, CONTEXT, HEADS, HORIZON

DIM = 8


class RevIn(nn.Module):
    """Reversible instance normalization: statistics over time, kept for the way back."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(CHANNELS) + 0.5)
        self.bias = nn.Parameter(torch.randn(CHANNELS) * 0.1)

    def normalize(self, x):
        mean = x.mean(dim=1, keepdim=True).detach()
        spread = torch.sqrt(x.var(dim=1, keepdim=True, unbiased=False) + 1e-5).detach()
        return (x - mean) / spread * self.weight + self.bias, mean, spread

    def restore(self, x, mean, spread):
        return (x - self.bias) / (self.weight + 1e-10) * spread + mean


class MovingAverage(nn.Module):
    """The trend of a series: edges repeated, then pooled."""

    def __init__(self, width: int = 5):
        super().__init__()
        self.width = width
        self.pool = nn.AvgPool1d(width, stride=1, padding=0)

    def forward(self, x):
        front = x[:, :1].repeat(1, (self.width - 1) // 2, 1)
        back = x[:, -1:].repeat(1, self.width // 2, 1)
        padded = torch.cat([front, x, back], dim=1)
        return self.pool(padded.permute(0, 2, 1)).permute(0, 2, 1)


class DLinear(nn.Module):
    """One linear map a channel for the trend and one for the rest (`individual`)."""

    def __init__(self):
        super().__init__()
        self.average = MovingAverage()
        self.trend = nn.ModuleList(nn.Linear(CONTEXT, HORIZON) for _ in range(CHANNELS))
        self.season = nn.ModuleList(nn.Linear(CONTEXT, HORIZON) for _ in range(CHANNELS))

    def forward(self, x):
        trend = self.average(x)
        season, trend = (x - trend).permute(0, 2, 1), trend.permute(0, 2, 1)
        out = torch.zeros([x.size(0), CHANNELS, HORIZON], dtype=x.dtype)
        for i in range(CHANNELS):
            out[:, i, :] = self.season[i](season[:, i, :]) + self.trend[i](trend[:, i, :])
        return out.permute(0, 2, 1)


class NLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(CONTEXT, HORIZON)

    def forward(self, x):
        last = x[:, -1:, :].detach()
        return self.linear((x - last).permute(0, 2, 1)).permute(0, 2, 1) + last


class NHits(nn.Module):
    """Blocks that see the series pooled and forecast a few knots, interpolated."""

    def __init__(self):
        super().__init__()
        self.pools = (4, 2, 1)
        knots = (2, 4, 8)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(CONTEXT // pool, 16), nn.ReLU(), nn.Linear(16, CONTEXT + k))
            for pool, k in zip(self.pools, knots)
        )

    def forward(self, x):
        residual, forecast = x, torch.zeros_like(x[:, :HORIZON])
        for i, (pool, layer) in enumerate(zip(self.pools, self.layers)):
            pooled = F.max_pool1d(residual.unsqueeze(1), pool, stride=pool, ceil_mode=True)
            theta = layer(pooled.squeeze(1))
            backcast, knots = theta[:, :CONTEXT], theta[:, CONTEXT:]
            mode = "linear" if i else "nearest"
            forecast = forecast + F.interpolate(
                knots[:, None, :], size=HORIZON, mode=mode
            ).squeeze(1)
            residual = residual - backcast
        return forecast


class PatchTst(nn.Module):
    """Channels apart, patches as tokens, batch normalization between the layers."""

    PATCH, STRIDE = 4, 2

    def __init__(self):
        super().__init__()
        self.norm = RevIn()
        self.pad = nn.ReplicationPad1d((0, self.STRIDE))
        patches = (CONTEXT - self.PATCH) // self.STRIDE + 2
        self.embed = nn.Linear(self.PATCH, DIM)
        self.place = nn.Parameter(torch.randn(1, patches, DIM) * 0.1)
        self.attention = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        self.mid = nn.BatchNorm1d(DIM)
        self.feed = nn.Sequential(nn.Linear(DIM, 16), nn.GELU(), nn.Linear(16, DIM))
        self.head = nn.Sequential(nn.Flatten(start_dim=-2), nn.Linear(DIM * patches, HORIZON))

    def forward(self, x):
        x, mean, spread = self.norm.normalize(x)
        x = self.pad(x.permute(0, 2, 1)).unfold(-1, self.PATCH, self.STRIDE)
        batch, channels, patches, width = x.shape
        x = self.embed(x.reshape(batch * channels, patches, width)) + self.place
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = self.mid(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.feed(x)
        x = self.head(x.reshape(batch, channels, patches, DIM).permute(0, 1, 3, 2))
        return self.norm.restore(x.permute(0, 2, 1), mean, spread)


class ITransformer(nn.Module):
    """A channel is a token; calendar marks are tokens too."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(CONTEXT, DIM)
        layer = nn.TransformerEncoderLayer(DIM, HEADS, 16, 0.0, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(
            layer, 2, norm=nn.LayerNorm(DIM), enable_nested_tensor=False
        )
        self.head = nn.Linear(DIM, HORIZON)

    def forward(self, x, marks):
        mean = x.mean(1, keepdim=True).detach()
        x = x - mean
        spread = torch.sqrt(torch.var(x, dim=1, keepdim=True, unbiased=False) + 1e-5)
        x = x / spread
        tokens = self.embed(torch.cat([x.permute(0, 2, 1), marks.permute(0, 2, 1)], 1))
        out = self.head(self.encoder(tokens)).permute(0, 2, 1)[:, :, : x.shape[2]]
        out = out * spread[:, 0, :].unsqueeze(1).repeat(1, HORIZON, 1)
        return out + mean[:, 0, :].unsqueeze(1).repeat(1, HORIZON, 1)


class TimesBlock(nn.Module):
    """The series folded by its periods into images, mixed by amplitude."""

    PERIODS = (4, 5, 8)

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(DIM, DIM, k, padding=k // 2) for k in (1, 3))

    def forward(self, x):
        batch, length, dim = x.shape
        results, weights = [], []
        for period in self.PERIODS:
            padded = F.pad(x, (0, 0, 0, -length % period))
            image = padded.reshape(batch, -1, period, dim).permute(0, 3, 1, 2).contiguous()
            image = F.gelu(torch.stack([conv(image) for conv in self.convs], dim=-1).mean(-1))
            folded = image.permute(0, 2, 3, 1).reshape(batch, -1, dim)
            results.append(folded[:, :length, :])
            angle = torch.arange(length) * (6.2831853 / period)
            power = torch.einsum("btd,t->bd", x, angle.cos()) ** 2
            weights.append((power + torch.einsum("btd,t->bd", x, angle.sin()) ** 2).mean(-1))
        weight = torch.stack(weights, dim=-1).softmax(dim=1)
        weight = weight.unsqueeze(1).unsqueeze(1).repeat(1, length, dim, 1)
        return torch.sum(torch.stack(results, dim=-1) * weight, -1) + x


class TimesNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Conv1d(CHANNELS, DIM, 3, padding=1, padding_mode="circular", bias=False)
        self.extend = nn.Linear(CONTEXT, CONTEXT + HORIZON)
        self.block = TimesBlock()
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, CHANNELS)

    def forward(self, x):
        x = self.embed(x.permute(0, 2, 1))
        x = self.extend(x).permute(0, 2, 1)
        return self.head(self.norm(self.block(x)))[:, -HORIZON:, :]


class Informer(nn.Module):
    """Encoder with a distilling convolution; decoder fed the known part and zeros."""

    def __init__(self):
        super().__init__()
        self.token = nn.Conv1d(CHANNELS, DIM, 3, padding=1, padding_mode="circular", bias=False)
        make = lambda: nn.TransformerEncoderLayer(  # noqa: E731
            DIM, HEADS, 16, 0.0, activation="gelu", batch_first=True
        )
        self.first, self.second = make(), make()
        self.distil = nn.Sequential(
            nn.Conv1d(DIM, DIM, 3, padding=1, padding_mode="circular"),
            nn.BatchNorm1d(DIM),
            nn.ELU(),
            nn.MaxPool1d(kernel_size=3, stride=2, padding=1),
        )
        self.decoder = nn.TransformerDecoderLayer(DIM, HEADS, 16, 0.0, batch_first=True)
        self.head = nn.Linear(DIM, CHANNELS)

    def forward(self, x):
        known = x[:, -HORIZON:]
        memory = self.first(self.token(x.permute(0, 2, 1)).transpose(1, 2))
        memory = self.second(self.distil(memory.permute(0, 2, 1)).transpose(1, 2))
        queries = torch.cat([known, torch.zeros_like(known)], dim=1).float()
        queries = self.token(queries.permute(0, 2, 1)).transpose(1, 2)
        mask = nn.Transformer.generate_square_subsequent_mask(2 * HORIZON)
        return self.head(self.decoder(queries, memory, tgt_mask=mask))[:, -HORIZON:, :]


class AutoCorrelation(nn.Module):
    """Values delayed by the lags that correlate most, by their softmax weight."""

    LAGS = 3

    def forward(self, q, k, v):
        length = q.shape[1]
        shifts = [torch.roll(k, lag, dims=1) for lag in range(length)]
        correlation = torch.stack([(q * shift).mean(dim=(1, 2)) for shift in shifts], dim=-1)
        weights, delays = torch.topk(correlation, self.LAGS, dim=-1)
        weights = torch.softmax(weights, dim=-1)
        doubled = v.repeat(1, 2, 1)
        start = torch.arange(length).view(1, length, 1).expand(v.shape[0], length, v.shape[2])
        mixed = torch.zeros_like(v)
        for i in range(self.LAGS):
            index = start + delays[:, i].view(-1, 1, 1)
            mixed = mixed + torch.gather(doubled, 1, index) * weights[:, i].view(-1, 1, 1)
        return mixed


class Autoformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.into = nn.Linear(CHANNELS, 3 * DIM)
        self.correlate = AutoCorrelation()
        self.average = MovingAverage()
        self.feed = nn.Sequential(
            nn.Conv1d(DIM, 16, 1, bias=False), nn.GELU(), nn.Conv1d(16, DIM, 1, bias=False)
        )
        self.head = nn.Linear(CONTEXT, HORIZON)

    def forward(self, x):
        q, k, v = self.into(x).chunk(3, dim=-1)
        x = v + self.correlate(q, k, v)
        trend = self.average(x)
        x = x - trend
        x = x + self.feed(x.transpose(-1, 1)).transpose(-1, 1)
        bias = torch.mean(x, dim=1).unsqueeze(1).repeat(1, x.shape[1], 1)
        return self.head((x - bias + trend).transpose(1, 2))


class Scinet(nn.Module):
    """Even and odd steps that scale and shift each other, two levels deep."""

    def __init__(self):
        super().__init__()
        make = lambda: nn.Sequential(  # noqa: E731
            nn.ReplicationPad1d((3, 3)),
            nn.Conv1d(CHANNELS, DIM, 5),
            nn.LeakyReLU(0.01),
            nn.Conv1d(DIM, CHANNELS, 3),
            nn.Tanh(),
        )
        self.parts = nn.ModuleList(nn.ModuleList(make() for _ in range(4)) for _ in range(3))
        self.head = nn.Conv1d(CONTEXT, HORIZON, 1, bias=False)

    def level(self, x, which):
        phi, psi, rho, eta = self.parts[which]
        even, odd = x[:, :, ::2], x[:, :, 1::2]
        d, c = odd.mul(torch.exp(phi(even))), even.mul(torch.exp(psi(odd)))
        return c + eta(d), d - rho(c)

    def weave(self, even, odd):
        even, odd = even.permute(2, 0, 1), odd.permute(2, 0, 1)
        rows = [part for i in range(even.shape[0]) for part in (even[i], odd[i])]
        return torch.stack(rows, dim=0).permute(1, 2, 0)

    def forward(self, x):
        even, odd = self.level(x.permute(0, 2, 1), 0)
        even, odd = self.weave(*self.level(even, 1)), self.weave(*self.level(odd, 2))
        return self.head(self.weave(even, odd).permute(0, 2, 1) + x)


class TimeMixer(nn.Module):
    """The series at three scales, seasons mixed upwards, trends downwards."""

    def __init__(self):
        super().__init__()
        self.average = MovingAverage()
        sizes = (CONTEXT, CONTEXT // 2, CONTEXT // 4)
        self.down = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.up = nn.ModuleList(nn.Linear(b, a) for a, b in zip(sizes, sizes[1:]))
        self.heads = nn.ModuleList(nn.Linear(size, HORIZON) for size in sizes)

    def forward(self, x):
        series = x.permute(0, 2, 1)
        scales = [series]
        for _ in self.down:
            scales.append(F.avg_pool1d(scales[-1], 2))
        trends = [self.average(s.permute(0, 2, 1)).permute(0, 2, 1) for s in scales]
        seasons = [s - t for s, t in zip(scales, trends)]
        for i, layer in enumerate(self.down):
            seasons[i + 1] = seasons[i + 1] + F.gelu(layer(seasons[i]))
        for i in reversed(range(len(self.up))):
            trends[i] = trends[i] + F.gelu(self.up[i](trends[i + 1]))
        parts = [h(s + t) for h, s, t in zip(self.heads, seasons, trends)]
        return torch.stack(parts, dim=-1).sum(-1).permute(0, 2, 1)


class LstNet(nn.Module):
    """Convolution, GRU, GRU over every fourth step, and an autoregressive highway."""

    SKIP = 4

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, DIM, (5, CHANNELS))
        self.gru = nn.GRU(DIM, DIM)
        self.skip = nn.GRU(DIM, 4)
        self.head = nn.Linear(DIM + self.SKIP * 4, CHANNELS)
        self.highway = nn.Linear(8, 1)

    def forward(self, x):
        batch = x.size(0)
        c = F.relu(self.conv(x.view(-1, 1, CONTEXT, CHANNELS))).squeeze(3)
        _, r = self.gru(c.permute(2, 0, 1).contiguous())
        steps = c.shape[2] // self.SKIP
        s = c[:, :, -steps * self.SKIP :].contiguous().view(batch, DIM, steps, self.SKIP)
        s = s.permute(2, 0, 3, 1).contiguous().view(steps, batch * self.SKIP, DIM)
        _, s = self.skip(s)
        out = self.head(torch.cat((r.squeeze(0), s.view(batch, self.SKIP * 4)), 1))
        z = x[:, -8:, :].permute(0, 2, 1).contiguous().view(-1, 8)
        return torch.sigmoid(out + self.highway(z).view(-1, CHANNELS))


class EsRnn(nn.Module):
    """Holt-Winters smoothing step by step, then an LSTM over what is left."""

    SEASON = 4

    def __init__(self):
        super().__init__()
        self.rates = nn.Parameter(torch.randn(2))
        self.seasons = nn.Parameter(torch.randn(self.SEASON) * 0.1)
        self.lstm = nn.LSTM(1, DIM, batch_first=True)
        self.head = nn.Linear(DIM, HORIZON)

    def forward(self, x):
        alpha, gamma = torch.sigmoid(self.rates)
        x = x.abs() + 1.0
        seasons = [s.expand(x.shape[0]) for s in self.seasons.exp()]
        level = x[:, 0] / seasons[0]
        levels = []
        for t in range(CONTEXT):
            new = alpha * x[:, t] / seasons[t] + (1 - alpha) * level
            seasons.append(gamma * x[:, t] / new + (1 - gamma) * seasons[t])
            level = new
            levels.append(level)
        season = torch.stack(seasons, dim=1)
        clean = torch.log(x / (torch.stack(levels, dim=1) * season[:, :CONTEXT]))
        hidden, _ = self.lstm(clean.unsqueeze(-1))
        ahead = season[:, -self.SEASON :].repeat(1, HORIZON // self.SEASON)
        return torch.exp(self.head(hidden[:, -1])) * level.unsqueeze(1) * ahead


class Kalman(nn.Module):
    """A linear Gaussian state-space model filtered over the window, then rolled out."""

    STATE = 3

    def __init__(self):
        super().__init__()
        self.move = nn.Parameter(torch.eye(self.STATE) + torch.randn(self.STATE, self.STATE) * 0.05)
        self.see = nn.Parameter(torch.randn(1, self.STATE))
        self.noise = nn.Parameter(torch.randn(self.STATE) * 0.1)

    def forward(self, x):
        batch = x.shape[0]
        state = torch.zeros(batch, self.STATE, 1)
        spread = torch.eye(self.STATE).repeat(batch, 1, 1)
        drift = torch.eye(self.STATE) * F.softplus(self.noise)
        for t in range(x.shape[1]):
            state = self.move @ state
            spread = self.move @ spread @ self.move.t() + drift
            surprise = x[:, t].view(-1, 1, 1) - self.see @ state
            total = self.see @ spread @ self.see.t() + 0.1
            gain = spread @ self.see.t() / total
            state = state + gain @ surprise
            spread = (torch.eye(self.STATE) - gain @ self.see) @ spread
        means, scales = [], []
        for _ in range(HORIZON):
            state, spread = self.move @ state, self.move @ spread @ self.move.t() + drift
            means.append((self.see @ state).flatten(1))
            scales.append(torch.sqrt((self.see @ spread @ self.see.t()).flatten(1)))
        return torch.cat(means, 1), torch.cat(scales, 1)
