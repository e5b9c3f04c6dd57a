"""A small Gaussian process: Matérn 5/2, a relevance for each feature, cheap to extend.

It exists because a suggestion may cost a millisecond. The inverse covariance is kept, and new
points extend it, a block at a time, in n² steps each; gradients of the evidence for all relevances
take one matrix product (not one a feature), so that a step of fitting costs little more than the
inverse itself.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np

from acumen.learners.search.genes import Matrix, Vector

ROOT5 = math.sqrt(5.0)
JITTER = 1e-8
# Priors of log relevance (over the number of features), log scale and log noise: mean, deviation.
RELEVANCE = (math.log(2.0), 1.5)
SCALE = (0.0, 1.0)
NOISE = (math.log(1e-3), 2.0)
ALONE = 1 << 18  # multiplications
BLOCK = 64
LOWEST = -10.0  # of the logarithms of scale and noise: below, the inverse loses its digits
DOUBT = 2.0  # how far below the prior a relevance may lie
STEP_FIRST, STEP_MOST = 0.3, 1.0


def product(one: Matrix, two: Matrix) -> Matrix:
    """The matrix product, in pieces that BLAS computes in this thread.

    From 2^18 multiplications on (of a vector: 2^13), OpenBLAS wakes its threads, which then wait in
    a loop: on a busy machine that takes ten times as long as these small products do.
    """
    rows = max(2, ALONE // max(1, two.size))
    found = np.empty((len(one), two.shape[1]))
    for start in range(0, len(one), rows):
        np.matmul(one[start : start + rows], two, out=found[start : start + rows])
    return found


def inverse(covariance: Matrix) -> tuple[Matrix, float]:
    """Inverse of a positive definite matrix and the logarithm of its determinant.

    By halves (Schur's complement), down to what LAPACK does in this thread; see `product`.

    Raises:
        LinAlgError: it is not positive definite.
    """
    n = len(covariance)
    if n <= BLOCK:
        factor = np.linalg.cholesky(covariance)
        found = np.asarray(np.linalg.inv(covariance), np.float64)
        return found, 2.0 * float(np.log(np.diag(factor)).sum())
    half = n // 2
    beside = covariance[:half, half:]
    first, first_log = inverse(covariance[:half, :half])
    through = product(first, beside)
    rest, rest_log = inverse(covariance[half:, half:] - product(beside.T, through))
    found = np.empty((n, n))
    corner = product(through, rest)
    found[:half, :half] = first + product(corner, through.T)
    found[:half, half:], found[half:, :half] = -corner, -corner.T
    found[half:, half:] = rest
    return found, first_log + rest_log


def _squares(rows: Matrix) -> Vector:
    found: Vector = np.einsum("ij,ij->i", rows, rows)
    return found


def _distances(one: Matrix, one_squares: Vector, two: Matrix, two_squares: Vector) -> Matrix:
    """Square roots of 5 times the squared distances of rows, float64[n, m]."""
    found = product(one, two.T)
    found *= -2.0
    found += one_squares[:, None]
    found += two_squares
    found *= 5.0
    np.maximum(found, 0.0, out=found)
    return np.sqrt(found, out=found)


class GaussianProcess:
    """Predicts values with uncertainty from features in [0, 1].

    Args:
        width: features.

    Attributes:
        relevance: float64[width], inverse squared length scales.
    """

    def __init__(self, width: int) -> None:
        self._prior = RELEVANCE[0] - math.log(width)
        self.log_relevance = np.full(width, self._prior)
        self.log_scale, self.log_noise = SCALE[0], NOISE[0]
        self._features = np.empty((0, width))
        self._scaled = np.empty((0, width))
        self._squares = np.empty(0)
        self._inverse: Matrix = np.empty((0, 0))
        self._counts = np.empty(0)

    def __len__(self) -> int:
        """How many points it knows."""
        return len(self._features)

    @property
    def relevance(self) -> Vector:
        """Inverse squared length scale of each feature."""
        found: Vector = np.exp(self.log_relevance)
        return found

    # ---- points --------------------------------------------------------------------------------

    def set_points(self, features: Matrix, counts: Vector) -> None:
        """Takes points anew, float64[n, width], measured so often, float64[n]."""
        self._hold(features, counts)
        kernel = self._kernel(self._distances(self._scaled, self._squares))
        for _ in range(20):
            covariance = kernel.copy()
            covariance[np.diag_indices_from(covariance)] += self._nugget()
            try:
                self._inverse, _ = inverse(covariance)
                return
            except np.linalg.LinAlgError:
                self.log_noise += 1.0  # of two points that are almost one, both may be believed
        raise FloatingPointError("no covariance of these points can be inverted")

    def _hold(self, features: Matrix, counts: Vector) -> None:
        self._features, self._counts = features.copy(), np.maximum(counts, 1.0)
        self._rescale()

    def add_points(self, features: Matrix) -> None:
        """Extends it by points that were measured once, float64[m, width], in m n² steps."""
        n, m = len(self), len(features)
        everything = np.concatenate([self._features, features])
        counts = np.concatenate([self._counts, np.ones(m)])
        scaled = self._scale(features)
        squares = _squares(scaled)
        columns = self._kernel(self._distances(scaled, squares))
        projected = product(columns, self._inverse)
        # What the new ones leave open of each other: Schur's complement.
        rest = self._kernel(_distances(scaled, squares, scaled, squares))
        rest -= product(projected, columns.T)
        nugget = math.exp(self.log_noise) + JITTER
        rest[np.diag_indices(m)] += nugget
        try:
            factor = np.linalg.cholesky(rest)
        except np.linalg.LinAlgError:
            factor = np.zeros((m, m))
        if not n or not np.diag(factor).min() ** 2 > 0.5 * nugget:
            # Less than there can be: rounding has added up.
            self.set_points(everything, counts)
            return
        # By halves, as what is not quite symmetric grows from block to block.
        half = np.linalg.inv(factor)
        through = product(half, projected)
        grown: Matrix = np.empty((n + m, n + m))
        np.add(self._inverse, product(through.T, through), out=grown[:n, :n])
        grown[n:, :n] = -product(half.T, through)
        grown[:n, n:], grown[n:, n:] = grown[n:, :n].T, product(half.T, half)
        self._inverse, self._features, self._counts = grown, everything, counts
        self._scaled = np.concatenate([self._scaled, scaled])
        self._squares = np.concatenate([self._squares, squares])

    def extended(self, features: Matrix) -> GaussianProcess:
        """Another one that knows further points, float64[m, width]; this one stays as it is."""
        other = copy.copy(self)
        other.add_points(features)
        return other

    def _rescale(self) -> None:
        self._scaled = self._scale(self._features)
        self._squares = _squares(self._scaled)

    def _scale(self, features: Matrix) -> Matrix:
        found: Matrix = features * np.exp(0.5 * self.log_relevance)
        return found

    def _nugget(self) -> Vector:
        found: Vector = math.exp(self.log_noise) / self._counts + JITTER
        return found

    # ---- prediction ----------------------------------------------------------------------------

    def weights(self, targets: Matrix) -> Matrix:
        """What covariances are multiplied with for means: float64[n, k], as the targets, k > 1."""
        return product(self._inverse, targets)

    def fitted(self, targets: Vector, weights: Vector) -> Vector:
        """What it believes of its own points, the noise taken out: float64[n]."""
        return targets - self._nugget() * weights

    def covariances(self, features: Matrix) -> Matrix:
        """Of new points with known ones, float64[m, n]."""
        scaled = self._scale(features)
        return self._kernel(self._distances(scaled, _squares(scaled)))

    def alike(self, features: Matrix) -> Callable[[int], Vector]:
        """Prior correlations of points, float64[m, width]: row → with all of them, float64[m]."""
        scaled = self._scale(features)
        squares = _squares(scaled)

        def of(row: int) -> Vector:
            here = slice(row, row + 1)
            root = _distances(scaled, squares, scaled[here], squares[here])
            return self._kernel(root)[:, 0] / math.exp(self.log_scale)

        return of

    def variances(self, covariances: Matrix) -> Vector:
        """What is not known about new points, float64[m], without noise."""
        explained = np.einsum("ij,ij->i", product(covariances, self._inverse), covariances)
        found: Vector = np.maximum(math.exp(self.log_scale) - explained, 1e-12)
        return found

    def _distances(self, scaled: Matrix, squares: Vector) -> Matrix:
        return _distances(scaled, squares, self._scaled, self._squares)

    def _kernel(self, root: Matrix) -> Matrix:
        found = np.exp(-root)
        polynomial = root * (1.0 / 3.0)
        polynomial += 1.0
        polynomial *= root
        polynomial += 1.0
        found *= polynomial
        found *= math.exp(self.log_scale)
        return found

    # ---- fitting -------------------------------------------------------------------------------

    def fit(self, features: Matrix, counts: Vector, targets: Vector, steps: int) -> float:
        """Takes points anew, and climbs the posterior of the hyperparameters.

        By signs of its gradient (Rprop).

        Args:
            features: float64[n, width].
            counts: how often each was measured, float64[n].
            targets: float64[n], of mean 0 and deviation 1.
            steps: evaluations of the evidence.

        Returns:
            The best log posterior that was met; it is left there.
        """
        self._hold(features, counts)
        here = np.concatenate([self.log_relevance, [self.log_scale, self.log_noise]])
        best, best_at, best_inverse = -math.inf, here.copy(), None
        # A feature that seems not to matter is kept in doubt: of two that changed at the
        # same time, the wrong one may have got the credit.
        lowest = np.full(len(here), self._prior - DOUBT)
        lowest[-2:] = LOWEST
        size = np.full(len(here), STEP_FIRST)
        before = np.zeros(len(here))
        for _ in range(steps):
            self._become(here)
            value, gradient = self._evidence(targets)
            if value > best:
                best, best_at, best_inverse = value, here.copy(), self._inverse
            agree = gradient * before
            size = np.where(agree > 0, np.minimum(size * 1.3, STEP_MOST), size)
            size = np.where(agree < 0, size * 0.5, size)
            here = np.clip(here + np.sign(gradient) * size, lowest, 8.0)
            before = gradient
        self._become(best_at)
        if best_inverse is None:
            self.set_points(features, counts)
        else:
            self._inverse = best_inverse
            self._rescale()
        return best

    def _become(self, parameters: Vector) -> None:
        self.log_relevance = parameters[:-2].copy()
        self.log_scale, self.log_noise = float(parameters[-2]), float(parameters[-1])

    def _evidence(self, targets: Vector) -> tuple[float, Vector]:
        """Log posterior of the hyperparameters, up to a constant, and its gradient.

        The inverse becomes theirs, too.
        """
        n = len(self)
        self._rescale()
        root = self._distances(self._scaled, self._squares)
        kernel = self._kernel(root)
        covariance = kernel.copy()
        nugget = self._nugget()
        covariance[np.diag_indices(n)] += nugget
        try:
            self._inverse, log_determinant = inverse(covariance)
        except np.linalg.LinAlgError:
            return -math.inf, np.zeros(len(self.log_relevance) + 2)
        weights = np.einsum("ij,j->i", self._inverse, targets)
        value = -0.5 * float(targets @ weights) - 0.5 * log_determinant
        outer = np.outer(weights, weights)
        outer -= self._inverse  # twice the gradient by covariance
        gradient = np.empty(len(self.log_relevance) + 2)
        gradient[-2] = 0.5 * float(np.einsum("ij,ij->", outer, kernel))
        gradient[-1] = 0.5 * float(outer.diagonal() @ (nugget - JITTER))
        # d kernel / d squared distance = -5/6 scale (1 + root) exp(-root)
        outer *= np.exp(-root, out=kernel)
        root += 1.0
        root *= math.exp(self.log_scale) * -5.0 / 6.0
        outer *= root
        apart = self._scaled * outer.sum(axis=1)[:, None]
        apart -= product(outer, self._scaled)
        gradient[:-2] = np.einsum("ij,ij->j", self._scaled, apart)
        means = np.full(len(gradient), self._prior)
        means[-2:] = SCALE[0], NOISE[0]
        spreads = np.full(len(gradient), RELEVANCE[1])
        spreads[-2:] = SCALE[1], NOISE[1]
        off = (
            np.concatenate([self.log_relevance, [self.log_scale, self.log_noise]]) - means
        ) / spreads
        return value - 0.5 * float(off @ off), gradient - off / spreads
