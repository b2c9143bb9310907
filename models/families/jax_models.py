"""Networks in JAX and Flax, traced by jax2onnx: name to (builder, example shapes)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from torch_models import CHANNELS, CONTEXT, HORIZON, VOCABULARY

DIM = 8
SEED = 7


def weights(*shapes):
    """Seeded arrays, scaled by their first axis."""
    keys = jax.random.split(jax.random.key(SEED), len(shapes))
    return [jax.random.normal(k, s) / np.sqrt(s[0]) for k, s in zip(keys, shapes)]


def lstm_scan():
    into, back, out = weights((CHANNELS, 4 * DIM), (DIM, 4 * DIM), (DIM, HORIZON))

    def step(carry, x):
        hidden, cell = carry
        i, f, g, o = jnp.split(x @ into + hidden @ back, 4, axis=-1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (hidden, cell), hidden

    def forecast(x):
        zero = jnp.zeros((x.shape[0], DIM))
        (hidden, _), _ = jax.lax.scan(step, (zero, zero), x.transpose(1, 0, 2))
        return hidden @ out

    return forecast


def gru_unrolled():
    into, back, out = weights((CHANNELS, 3 * DIM), (DIM, 3 * DIM), (DIM, HORIZON))

    def forecast(x):
        hidden = jnp.zeros((x.shape[0], DIM))
        for t in range(6):
            a, b = x[:, t] @ into, hidden @ back
            r = jax.nn.sigmoid(a[:, :DIM] + b[:, :DIM])
            z = jax.nn.sigmoid(a[:, DIM : 2 * DIM] + b[:, DIM : 2 * DIM])
            hidden = (1 - z) * jnp.tanh(a[:, 2 * DIM :] + r * b[:, 2 * DIM :]) + z * hidden
        return hidden @ out

    return forecast


def tcn():
    first, second, out = weights((3, CHANNELS, DIM), (3, DIM, DIM), (DIM, HORIZON))

    def forecast(x):
        for kernel, dilation in ((first, 1), (second, 2)):
            x = jax.lax.conv_general_dilated(
                x, kernel, (1,), [(2 * dilation, 0)], rhs_dilation=(dilation,),
                dimension_numbers=("NWC", "WIO", "NWC"),
            )  # fmt: skip
            x = jax.nn.relu(x)
        return x[:, -1] @ out

    return forecast


def causal_attention():
    q, k, v, out = weights(*[(CHANNELS, DIM)] * 3, (DIM, HORIZON))

    def forecast(x):
        scores = jnp.einsum("btd,bsd->bts", x @ q, x @ k) / np.sqrt(DIM)
        scores = jnp.where(jnp.tril(jnp.ones((CONTEXT, CONTEXT), bool)), scores, -1e9)
        return jnp.einsum("bts,bsd->btd", jax.nn.softmax(scores, -1), x @ v)[:, -1] @ out

    return forecast


def rotary():
    (into,) = weights((CHANNELS, DIM))

    def scores(x):
        q = x @ into
        angle = jnp.arange(CONTEXT)[:, None] * 1e4 ** (-jnp.arange(0, DIM, 2) / DIM)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        even, odd = q[..., ::2], q[..., 1::2]
        turned = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(q.shape)
        return jnp.einsum("btd,bsd->bts", turned, turned)

    return scores


def bag_of_tokens():
    table, place, out = weights((VOCABULARY, DIM), (CONTEXT, DIM), (DIM, VOCABULARY))

    def logits(tokens):
        x = jnp.take(table, tokens, axis=0) + place
        x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return jax.nn.log_softmax(x.max(axis=1) @ out)

    return logits


def quantiles():
    into, out = weights((CONTEXT, 16), (16, HORIZON * 3))

    def forecast(x):
        y = (jax.nn.silu(x @ into) @ out).reshape(x.shape[0], HORIZON, 3)
        steps = jnp.concatenate([y[..., :1], jax.nn.softplus(y[..., 1:])], -1)
        return jnp.cumsum(steps, axis=-1)

    return forecast


def mixture():
    into, out = weights((CONTEXT, 16), (16, 12))

    def density(x):
        logit, mean, scale = jnp.split(jnp.tanh(x @ into) @ out, 3, -1)
        scale = jnp.exp(jnp.clip(scale, -5, 5))
        log = logit - 0.5 * (mean / scale) ** 2 - jnp.log(scale)
        return (jax.nn.softmax(logit) * mean).sum(-1), jax.scipy.special.logsumexp(log, axis=-1)

    return density


def state_space():
    decay, into, out = weights((DIM,), (CHANNELS, DIM), (DIM, HORIZON))

    def forecast(x):
        power = jax.nn.sigmoid(decay) ** (CONTEXT - 1 - jnp.arange(CONTEXT)[:, None])
        return (x @ into * power).sum(1) @ out

    return forecast


def order():
    def pick(x):
        best, place = jax.lax.top_k(x, 3)
        return best, place, jnp.sort(x, axis=-1), jnp.argmax(x, -1)

    return pick


class FlaxMlp(nnx.Module):
    def __init__(self, rngs):
        self.into, self.out = (
            nnx.Linear(a, b, rngs=rngs) for a, b in ((CONTEXT, 16), (16, HORIZON))
        )
        self.norm = nnx.LayerNorm(16, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs, deterministic=True)

    def __call__(self, x):
        return self.out(self.drop(nnx.gelu(self.norm(self.into(x)))))


class FlaxAttention(nnx.Module):
    def __init__(self, rngs):
        self.into, self.out = nnx.Linear(CHANNELS, DIM, rngs=rngs), nnx.Linear(DIM, 5, rngs=rngs)
        self.mix = nnx.MultiHeadAttention(2, DIM, decode=False, rngs=rngs)
        self.norm = nnx.GroupNorm(DIM, num_groups=2, rngs=rngs)

    def __call__(self, x):
        x = self.into(x)
        return self.out(self.norm(x + self.mix(x))[:, -1])


class FlaxTied(nnx.Module):
    def __init__(self, rngs):
        self.table, self.norm = nnx.Embed(VOCABULARY, DIM, rngs=rngs), nnx.RMSNorm(DIM, rngs=rngs)

    def __call__(self, tokens):
        return self.table.attend(self.norm(self.table(tokens)))


CASES = {
    "lstm_scan_jax": (lstm_scan, ("batch", CONTEXT, CHANNELS)),
    "gru_unrolled_jax": (gru_unrolled, ("batch", CONTEXT, CHANNELS)),
    "tcn_jax": (tcn, ("batch", CONTEXT, CHANNELS)),
    "causal_attention_jax": (causal_attention, ("batch", CONTEXT, CHANNELS)),
    "rotary_jax": (rotary, ("batch", CONTEXT, CHANNELS)),
    "bag_of_tokens_jax": (bag_of_tokens, jax.ShapeDtypeStruct((2, CONTEXT), jnp.int32)),
    "quantiles_jax": (quantiles, ("batch", CONTEXT)),
    "mixture_jax": (mixture, ("batch", CONTEXT)),
    "state_space_jax": (state_space, ("batch", CONTEXT, CHANNELS)),
    "order_jax": (order, ("batch", CONTEXT)),
    "mlp_flax": (lambda: FlaxMlp(nnx.Rngs(0)), ("batch", CONTEXT)),
    "attention_flax": (lambda: FlaxAttention(nnx.Rngs(0)), ("batch", CONTEXT, CHANNELS)),
    "tied_flax": (
        lambda: FlaxTied(nnx.Rngs(0)), jax.ShapeDtypeStruct((2, CONTEXT), jnp.int32)
    ),
}  # fmt: skip
