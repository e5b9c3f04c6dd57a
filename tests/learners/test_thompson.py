"""The recorded propensities are the probabilities that an arm wins under the posterior."""

import numpy as np

from acumen.learners import LinearThompson


def test_propensities_match_monte_carlo() -> None:
    """Against 200,000 draws from the posterior, rebuilt from the learner's own state."""
    rng = np.random.default_rng(0)
    dimension, arms = 3, 4
    learner = LinearThompson(exploration=0.0).build(dimension, arms, 0)
    for step in range(60):
        x = np.array([1.0, *rng.standard_normal(2)], np.float32)
        learner.learn(x, step % 3, 0.3, float(x[1] + rng.standard_normal()))  # arm 3: untried
    state = learner.state()
    weight, _, squares, error_weight, errors = state["reward_scale"]
    noise = max(np.sqrt(errors / error_weight), 0.25 * np.sqrt(squares / weight))
    sums = state["sums"].reshape(arms, dimension, 8)[:, :, :dimension]
    products = state["products"].reshape(arms, 8)[:, :dimension]
    for _ in range(5):
        x = np.array([1.0, *rng.standard_normal(2)], np.float32)
        means, deviations = np.empty(arms), np.empty(arms)
        for arm in range(arms):
            inverse = np.linalg.inv(sums[arm] + np.eye(dimension))
            prior = np.array([state["prior_mean"][0], 0.0, 0.0])
            means[arm] = x @ inverse @ (products[arm] + prior)
            deviations[arm] = noise * np.sqrt(x @ inverse @ x)
        draws = means + deviations * rng.standard_normal((200_000, arms))
        wins = np.bincount(draws.argmax(1), minlength=arms) / len(draws)
        np.testing.assert_allclose(learner.distribution(x), wins, atol=0.03)


def test_shared_model_ignores_what_all_arms_share() -> None:
    """Two candidates that look the same split evenly; a third that differs is told apart."""
    learner = LinearThompson(exploration=0.0).build(2, 3, 1)
    rng = np.random.default_rng(1)
    for _ in range(300):
        x = np.array([1.0, rng.standard_normal()], np.float32)
        row = rng.standard_normal(1).astype(np.float32)
        learner.learn(x, 0, 0.3, float(3 * row[0] + 0.1 * rng.standard_normal()), row)
    candidates = np.array([[0.5], [0.5], [-1.0]], np.float32)
    p = learner.distribution(np.array([1.0, 0.3], np.float32), candidates)
    np.testing.assert_allclose(p, [0.5, 0.5, 0.0], atol=0.01)
