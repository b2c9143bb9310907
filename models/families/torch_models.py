"""Tiny forecasting networks in PyTorch, as their papers draw them."""

import torch
from torch import nn
from torch.nn import functional as F

CONTEXT = 16
HORIZON = 8
CHANNELS = 3
DIM = 16
HEADS = 2
VOCABULARY = 32


class Mlp(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Linear(CONTEXT, DIM),
            nn.ReLU(),
            nn.Linear(DIM, DIM),
            nn.GELU(),
            nn.LayerNorm(DIM),
            nn.Linear(DIM, HORIZON),
        )


class LibraryEncoder(nn.Module):
    """nn.TransformerEncoder over a window of channels, the mean as summary."""

    def __init__(self, layers: int = 2, norm_first: bool = False):
        super().__init__()
        self.into = nn.Linear(CHANNELS, DIM)
        self.place = nn.Parameter(torch.randn(CONTEXT, DIM) * 0.1)
        layer = nn.TransformerEncoderLayer(
            DIM, HEADS, 2 * DIM, dropout=0.0, activation="gelu",
            batch_first=True, norm_first=norm_first,
        )  # fmt: skip
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(DIM, HORIZON)

    def forward(self, x):
        return self.head(self.encoder(self.into(x) + self.place).mean(dim=1))


class Attention(nn.Module):
    """Attention as written by hand: one product for query, key and value."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.out = nn.Linear(DIM, DIM)

    def split(self, x):
        batch, length, _ = x.shape
        parts = self.qkv(x).view(batch, length, 3, HEADS, DIM // HEADS)
        return parts.permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x, mask=None):
        q, k, v = self.split(x)
        return self.mix(q, k, v, mask)

    def mix(self, q, k, v, mask):
        scores = q @ k.transpose(-2, -1) / (DIM // HEADS) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask, float("-inf"))
        mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2)
        return self.out(mixed.reshape(mixed.shape[0], mixed.shape[1], DIM))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(DIM)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(DIM)
        self.feed = nn.Sequential(nn.Linear(DIM, 2 * DIM), nn.GELU(), nn.Linear(2 * DIM, DIM))

    def forward(self, x, mask=None):
        x = x + self.attention(self.norm1(x), mask)
        return x + self.feed(self.norm2(x))


class HandEncoder(nn.Module):
    """Token ids in, one row of logits out."""

    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, DIM)
        self.place = nn.Embedding(CONTEXT, DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, VOCABULARY)

    def forward(self, tokens):
        x = self.token(tokens) + self.place(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, -1])


class CausalDecoder(HandEncoder):
    """The same under a causal mask, logits for every position."""

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.token(tokens) + self.place(torch.arange(length))
        mask = torch.ones(length, length, dtype=torch.bool).triu(1)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))


class RmsNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + 1e-6) * self.weight


class SdpaDecoder(nn.Module):
    """Causal attention through scaled_dot_product_attention, sinusoid places."""

    def __init__(self):
        super().__init__()
        self.into = nn.Linear(CHANNELS, DIM)
        rate = torch.exp(-torch.arange(0, DIM, 2) / DIM * 6.0)
        angle = torch.arange(CONTEXT)[:, None] * rate
        self.register_buffer("place", torch.cat([angle.sin(), angle.cos()], dim=1))
        self.attention = Attention()
        self.norm = RmsNorm()
        self.gate = nn.Linear(DIM, 2 * DIM)
        self.up = nn.Linear(DIM, 2 * DIM)
        self.down = nn.Linear(2 * DIM, DIM)
        self.head = nn.Linear(DIM, CHANNELS)

    def forward(self, x):
        x = self.into(x) + self.place[: x.shape[1]]
        q, k, v = self.attention.split(x)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention.out(mixed.transpose(1, 2).flatten(2))
        y = self.norm(x)
        return self.head(x + self.down(F.silu(self.gate(y)) * self.up(y)))


class CachedDecoder(nn.Module):
    """One step of a decoder; each layer's keys and values come in and go out."""

    LAYERS = 2

    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(self.LAYERS))
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, VOCABULARY)

    def forward(self, token, *past):
        x = self.token(token)
        present = []
        for index, block in enumerate(self.blocks):
            q, k, v = block.attention.split(block.norm1(x))
            k = torch.cat([past[2 * index], k], dim=2)
            v = torch.cat([past[2 * index + 1], v], dim=2)
            present += [k, v]
            x = x + block.attention.mix(q, k, v, None)
            x = x + block.feed(block.norm2(x))
        return self.head(self.norm(x)[:, -1]), *present


class Recurrent(nn.Module):
    def __init__(self, kind, bidirectional: bool):
        super().__init__()
        self.layers = kind(CHANNELS, DIM, 2, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(DIM * (2 if bidirectional else 1), HORIZON)

    def forward(self, x):
        return self.head(self.layers(x)[0][:, -1])


class StatefulLstm(nn.Module):
    """Hidden and cell state as inputs and outputs, for one step at a time."""

    def __init__(self):
        super().__init__()
        self.layers = nn.LSTM(CHANNELS, DIM, 2, batch_first=True)
        self.head = nn.Linear(DIM, HORIZON)

    def forward(self, x, hidden, cell):
        y, (hidden, cell) = self.layers(x, (hidden, cell))
        return self.head(y[:, -1]), hidden, cell


class CausalConv(nn.Module):
    def __init__(self, into: int, out: int, dilation: int):
        super().__init__()
        self.pad = 2 * dilation
        self.conv = nn.Conv1d(into, out, 3, dilation=dilation)
        self.skip = nn.Conv1d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x):
        return torch.relu(self.conv(F.pad(x, (self.pad, 0))) + self.skip(x))


class Tcn(nn.Module):
    """Dilated causal convolutions; only the last column is read."""

    def __init__(self):
        super().__init__()
        widths = (CHANNELS, DIM, DIM, DIM)
        self.stack = nn.Sequential(
            *(CausalConv(a, b, 2**i) for i, (a, b) in enumerate(zip(widths, widths[1:])))
        )
        self.norm = nn.BatchNorm1d(DIM)
        self.head = nn.Linear(DIM, HORIZON)

    def forward(self, x):
        return self.head(self.norm(self.stack(x))[:, :, -1])


class NBeats(nn.Module):
    """Trend, seasonal and generic blocks, each leaving its residual."""

    def __init__(self):
        super().__init__()
        back = torch.arange(CONTEXT) / CONTEXT
        ahead = torch.arange(HORIZON) / CONTEXT + 1
        self.register_buffer("trend", self.powers(torch.cat([back, ahead])))
        self.register_buffer("season", self.waves(torch.cat([back, ahead])))
        sizes = (len(self.trend), len(self.season), CONTEXT + HORIZON)
        self.bodies = nn.ModuleList(
            nn.Sequential(
                nn.Linear(CONTEXT, DIM), nn.ReLU(),
                nn.Linear(DIM, DIM), nn.ReLU(),
                nn.Linear(DIM, size),
            )
            for size in sizes
        )  # fmt: skip

    @staticmethod
    def powers(t):
        return torch.stack([t**k for k in range(3)])

    @staticmethod
    def waves(t):
        angles = [2 * torch.pi * k * t for k in (1, 2)]
        return torch.stack([f(a) for a in angles for f in (torch.cos, torch.sin)])

    def forward(self, x):
        forecast = 0
        for body, basis in zip(self.bodies, (self.trend, self.season, None)):
            theta = body(x)
            both = theta if basis is None else theta @ basis
            backcast, ahead = both.split([CONTEXT, HORIZON], dim=1)
            x = x - backcast
            forecast = forecast + ahead
        return forecast


class TideBlock(nn.Module):
    def __init__(self, into: int, out: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(into, DIM), nn.ReLU(), nn.Linear(DIM, out))
        self.skip = nn.Linear(into, out)
        self.norm = nn.LayerNorm(out)

    def forward(self, x):
        return self.norm(self.body(x) + self.skip(x))


class Tide(nn.Module):
    """Past values and covariates of past and future to a forecast by step."""

    COVARIATES = 2

    def __init__(self):
        super().__init__()
        self.covariate = TideBlock(self.COVARIATES, 2)
        self.encoder = TideBlock(CONTEXT + 2 * (CONTEXT + HORIZON), DIM)
        self.decoder = TideBlock(DIM, HORIZON * 4)
        self.temporal = TideBlock(4 + 2, 1)
        self.skip = nn.Linear(CONTEXT, HORIZON)

    def forward(self, x, covariates):
        small = self.covariate(covariates)
        encoded = self.encoder(torch.cat([x, small.flatten(1)], dim=1))
        steps = self.decoder(encoded).unflatten(1, (HORIZON, 4))
        joined = torch.cat([steps, small[:, CONTEXT:]], dim=2)
        return self.temporal(joined).squeeze(2) + self.skip(x)


class MixerBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm([CONTEXT, CHANNELS])
        self.time = nn.Linear(CONTEXT, CONTEXT)
        self.norm2 = nn.LayerNorm([CONTEXT, CHANNELS])
        self.feature = nn.Sequential(nn.Linear(CHANNELS, DIM), nn.ReLU(), nn.Linear(DIM, CHANNELS))

    def forward(self, x):
        mixed = torch.relu(self.time(self.norm1(x).transpose(1, 2))).transpose(1, 2)
        x = x + mixed
        return x + self.feature(self.norm2(x))


class TsMixer(nn.Module):
    """Mixes over time, then over channels; scaled by its own window."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(MixerBlock(), MixerBlock())
        self.head = nn.Linear(CONTEXT, HORIZON)

    def forward(self, x):
        mean = x.mean(dim=1, keepdim=True)
        spread = torch.sqrt(x.var(dim=1, keepdim=True, unbiased=False) + 1e-5)
        y = self.blocks((x - mean) / spread)
        return self.head(y.transpose(1, 2)).transpose(1, 2) * spread + mean
