"""The arithmetic of ``numerics: 'torch'`` in NumPy: PyTorch's contiguous CPU path, operation by operation.

``generate.py`` refuses to write data that this recipe does not reproduce bit for bit, so the files prove that the
recipe, which the kernels implement, is the right one.
"""

import numpy as np

F32 = np.float32


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a·b + c of f32 numbers, rounded once.

    The product of two f32 is exact in f64. The sum is rounded to odd (its last bit is set where digits were lost),
    which makes the second rounding, to f32, the only one that counts (Boldo and Melquiond, 2008).
    """
    product = a.astype(np.float64) * b.astype(np.float64)
    addend = np.broadcast_to(c.astype(np.float64), product.shape)
    total = product + addend
    virtual = total - product
    lost = (product - (total - virtual)) + (addend - virtual)
    even = (total.view(np.int64) & 1) == 0
    towards = np.where(lost > 0, np.inf, -np.inf)
    odd = np.where(np.isfinite(total) & (lost != 0) & even, np.nextafter(total, towards), total)
    return odd.astype(F32)


def batch_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per channel of x (N, C, L): the mean, the sum of squared deviations, both f32, and the biased variance."""
    n = x.shape[0] * x.shape[2]
    mean = (x.sum(axis=(0, 2), dtype=np.float64) / n).astype(F32)
    deviation = x - mean[None, :, None]
    square = deviation * deviation
    var_sum = square.sum(axis=(0, 2), dtype=np.float64).astype(F32)
    return mean, var_sum, var_sum / F32(n)


def training_invstd(variance: np.ndarray, eps: float) -> np.ndarray:
    """f32(1 / √(f64(variance) + eps))."""
    return (1 / np.sqrt(variance.astype(np.float64) + eps)).astype(F32)


def evaluation_invstd(running_var: np.ndarray, eps: float) -> np.ndarray:
    """The same in f32 throughout."""
    return F32(1) / np.sqrt(running_var + F32(eps))


def updated_mean(mean: np.ndarray, running: np.ndarray, momentum: float) -> np.ndarray:
    """f32(f32(p·mean) + f32(q·running)), p = f32(momentum), q = f32(1 − p)."""
    p = F32(momentum)
    return p * mean + (F32(1) - p) * running


def updated_var(var_sum: np.ndarray, n: int, running: np.ndarray, momentum: float) -> np.ndarray:
    """f32(f64(p)·f64(f32(var_sum / f32(n − 1))) + f64(f32(q·running)))."""
    p = F32(momentum)
    unbiased = var_sum / F32(n - 1)
    kept = (F32(1) - p) * running
    return (np.float64(p) * unbiased.astype(np.float64) + kept.astype(np.float64)).astype(F32)


def normalized(x: np.ndarray, mean: np.ndarray, invstd: np.ndarray, weight, bias) -> np.ndarray:
    """fma(x, alpha, beta), alpha = f32(invstd·weight), beta = fma(−mean, alpha, bias)."""
    alpha = invstd * (np.ones_like(mean) if weight is None else weight)
    beta = fma(-mean, alpha, np.zeros_like(mean) if bias is None else bias)
    return fma(x, alpha[None, :, None], beta[None, :, None])


def step(x: np.ndarray, state: dict, *, batch_stats: bool, tracked: bool, eps: float, momentum: float) -> dict:
    """One forward pass. ``state`` has weight, bias, running_mean, running_var, ``None`` where the layer has none."""
    with np.errstate(all="ignore"):
        n = x.shape[0] * x.shape[2]
        running = {key: state[key] for key in ("running_mean", "running_var")}
        if n == 0:
            return {"y": x, **running}
        if batch_stats:
            mean, var_sum, variance = batch_statistics(x)
            invstd = training_invstd(variance, eps)
            if tracked:
                running = {
                    "running_mean": updated_mean(mean, state["running_mean"], momentum),
                    "running_var": updated_var(var_sum, n, state["running_var"], momentum),
                }
        else:
            mean = state["running_mean"]
            invstd = evaluation_invstd(state["running_var"], eps)
        return {"y": normalized(x, mean, invstd, state["weight"], state["bias"]), **running}
