"""Gradient descent in JAX, shared by the networks."""

import jax
import jax.numpy as jnp
import optax

HUBER_WIDTH = 0.5


def huber(error):
    """Quadratic within HUBER_WIDTH of zero, linear beyond."""
    size = jnp.abs(error)
    return jnp.where(
        size < HUBER_WIDTH, error**2, 2 * HUBER_WIDTH * size - HUBER_WIDTH**2
    ).mean()


def fit(params, predict, inputs, targets, key, *, steps, batch, learning_rate):
    """AdamW with a cosine schedule on random minibatches.

    `predict(params, context, calendar, key)` gives scaled means; its key is for
    dropout.
    """
    context, calendar = jnp.asarray(inputs["context"]), jnp.asarray(inputs["calendar"])
    targets = jnp.asarray(targets)
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(learning_rate, steps), weight_decay=1e-2
    )

    def loss(params, rows, key):
        return huber(predict(params, context[rows], calendar[rows], key) - targets[rows])

    def step(carry, index):
        params, state = carry
        pick, drop = jax.random.split(jax.random.fold_in(key, index))
        rows = jax.random.randint(pick, (batch,), 0, len(targets))
        gradient = jax.grad(loss)(params, rows, drop)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def run(params):
        start = (params, optimizer.init(params))
        return jax.lax.scan(step, start, jnp.arange(steps))[0][0]

    return run(params)


def dense(key, rows: int, cols: int, gain: float = 1.0):
    """A weight matrix that keeps the variance of its input, times gain squared."""
    return jax.random.normal(key, (rows, cols)) * gain / jnp.sqrt(rows)


def dropout(key, rate: float, values):
    if key is None:
        return values
    return values * jax.random.bernoulli(key, 1 - rate, values.shape) / (1 - rate)
