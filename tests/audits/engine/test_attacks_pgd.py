"""PGD finds what is known by hand on linear models, stays in its ball, and agrees with a peer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audits.engine.attacks.pgd import pgd
from audits.engine.attacks.space import Space
from tests import tiny_models
from tests.numpy_model import NumpyModel
from workers.frameworks.loading import load_model
from workers.protocol import JobError
from workers.signature import Signature

WEIGHTS = np.array([[1.0, -1.0], [0.5, 2.0], [-1.5, 0.25]])
BIAS = np.array([0.25, -0.5])
SCALE = np.array([1.0, 0.5, 2.0])


def space_of(scale: np.ndarray, *, low: float = -np.inf, high: float = np.inf) -> Space:
    width = len(scale)
    return Space({"features": (width,)}, np.asarray(scale, float), np.full(width, low), np.full(width, high))


def drawn(model: NumpyModel, count: int = 400, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rows = {"features": np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)}
    scores = model.logits(rows)
    return rows, (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.1, 0.4])
def test_a_linear_model_falls_exactly_where_its_margin_says(norm: str, eps: float) -> None:
    model = NumpyModel(WEIGHTS, BIAS)
    rows, targets = drawn(model)
    slope = (WEIGHTS[:, 1] - WEIGHTS[:, 0]) * SCALE
    margin = np.abs(rows["features"] @ (WEIGHTS[:, 1] - WEIGHTS[:, 0]) + BIAS[1] - BIAS[0])
    reach = eps * (np.abs(slope).sum() if norm == "linf" else np.linalg.norm(slope))
    is_clear = np.abs(margin - reach) > 1e-3
    outcome = pgd(
        model, rows, targets, space_of(SCALE), norm=norm, eps=eps, steps=40, restarts=2,
        generator=np.random.default_rng(1),
    )  # fmt: skip
    expected = margin < reach
    assert 0.05 < expected.mean() < 0.95
    np.testing.assert_array_equal(outcome.broken[is_clear], expected[is_clear])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_what_breaks_a_row_lies_in_the_ball_and_in_the_range(norm: str) -> None:
    model = NumpyModel(WEIGHTS, BIAS)
    rows, targets = drawn(model)
    rows["features"] = rows["features"].clip(-1, 1)
    targets = model.logits(rows).argmax(1)
    space = space_of(SCALE, low=-1, high=1)
    outcome = pgd(
        model, rows, targets, space, norm=norm, eps=0.5, steps=20, restarts=3, generator=np.random.default_rng(2)
    )
    assert outcome.broken.any()
    length = np.abs(outcome.deltas).max(1) if norm == "linf" else np.linalg.norm(outcome.deltas, axis=1)
    assert length.max() <= 0.5 + 1e-9
    moved = space.place(space.flatten(rows) + SCALE * outcome.deltas, rows)
    assert np.abs(moved["features"]).max() <= 1
    assert (model.logits(moved).argmax(1) != targets)[outcome.broken].all()


def test_a_value_of_scale_zero_is_never_moved() -> None:
    model = NumpyModel(WEIGHTS, BIAS)
    rows, targets = drawn(model)
    outcome = pgd(
        model, rows, targets, space_of([1.0, 0.0, 1.0]), norm="l2", eps=1.0, steps=20, restarts=2,
        generator=np.random.default_rng(3),
    )  # fmt: skip
    assert outcome.broken.any()
    assert not outcome.deltas[:, 1].any()
    assert outcome.deltas[:, 0].any()


def test_rows_that_are_wrong_from_the_start_count_as_broken_without_a_change() -> None:
    model = NumpyModel(WEIGHTS, BIAS)
    rows, targets = drawn(model)
    targets[:10] = 1 - targets[:10]
    outcome = pgd(
        model, rows, targets, space_of(SCALE), norm="linf", eps=1e-6, steps=3, restarts=1,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    assert outcome.broken[:10].all()
    assert not outcome.deltas[:10].any()


def test_large_logits_flatten_the_cross_entropy_and_do_not_hide_from_the_margin() -> None:
    """Scores times 10,000: the class is the same everywhere, the gradient of the loss is 0 in float32."""
    masked = NumpyModel(WEIGHTS * 1e4, BIAS * 1e4)
    rows, targets = drawn(masked)
    margin = np.abs(rows["features"] @ (WEIGHTS[:, 1] - WEIGHTS[:, 0]) + BIAS[1] - BIAS[0])
    reach = 0.4 * np.abs((WEIGHTS[:, 1] - WEIGHTS[:, 0]) * SCALE).sum()

    def broken(restarts: int) -> np.ndarray:
        outcome = pgd(
            masked, rows, targets, space_of(SCALE), norm="linf", eps=0.4, steps=40, restarts=restarts,
            generator=np.random.default_rng(1),
        )  # fmt: skip
        assert outcome.without_gradient > 0.9 * len(targets)
        return outcome.broken

    is_clear = np.abs(margin - reach) > 1e-3
    assert broken(1).mean() < 0.1
    np.testing.assert_array_equal(broken(2)[is_clear], (margin < reach)[is_clear])


def test_a_single_score_is_attacked_on_both_sides_of_zero() -> None:
    weights = np.array([[1.0], [-2.0], [0.5]])
    for restarts in (1, 2):
        model = NumpyModel(weights * (1e4 if restarts == 2 else 1), kind="probabilities")
        rows, targets = drawn(model)
        margin = np.abs(rows["features"] @ weights)[:, 0]
        outcome = pgd(
            model, rows, targets, space_of(np.ones(3)), norm="linf", eps=0.2, steps=40, restarts=restarts,
            generator=np.random.default_rng(1),
        )  # fmt: skip
        is_clear = np.abs(margin - 0.7) > 1e-3
        np.testing.assert_array_equal(outcome.broken[is_clear], (margin < 0.7)[is_clear])
        assert {0, 1} == set(targets[outcome.broken])


def test_the_same_generator_gives_the_same_attack() -> None:
    generator = np.random.default_rng(4)
    model = NumpyModel(
        generator.normal(size=(8, 3)), hidden=generator.normal(size=(3, 8)), hidden_bias=generator.normal(size=8)
    )
    rows, targets = drawn(model, 60)
    first, second = (
        pgd(
            model, rows, targets, space_of(SCALE), norm="l2", eps=0.3, steps=10, restarts=3,
            generator=np.random.default_rng(9),
        )
        for _ in range(2)
    )  # fmt: skip
    assert first.broken.any()
    np.testing.assert_array_equal(first.deltas, second.deltas)


def test_a_score_that_is_no_number_is_an_error_and_not_a_robust_row() -> None:
    model = NumpyModel(np.array([[np.nan, 1.0], [1.0, 1.0], [0.0, 0.0]]))
    with pytest.raises(JobError, match="not a number"):
        pgd(
            model, {"features": np.ones((2, 3), np.float32)}, np.zeros(2, np.int64), space_of(SCALE), norm="linf",
            eps=0.1, steps=2, restarts=1, generator=np.random.default_rng(0),
        )  # fmt: skip


def test_robust_accuracy_is_close_to_that_of_the_adversarial_robustness_toolbox(tmp_path: Path) -> None:
    import torch
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    path = tiny_models.mlp(tmp_path / "model.pt2", inputs=6, hidden=16, classes=3, seed=3)
    signature = Signature.from_json(tiny_models.signature(inputs=6, outputs=3))
    model = load_model(path, framework="pytorch", signature=signature, device="cpu", seed=0)
    rows = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    targets = model.logits({"features": rows}).argmax(1).astype(np.int64)

    first, first_bias, second, second_bias = tiny_models.mlp_weights(inputs=6, hidden=16, classes=3, seed=3)
    network = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    with torch.no_grad():
        for layer, weights, bias in ((network[0], first, first_bias), (network[2], second, second_bias)):
            layer.weight.copy_(torch.tensor(weights.T))
            layer.bias.copy_(torch.tensor(bias))
    classifier = PyTorchClassifier(
        network, loss=torch.nn.CrossEntropyLoss(), input_shape=(6,), nb_classes=3, device_type="cpu"
    )
    np.random.seed(0)
    for eps in (0.1, 0.3):
        peer = ProjectedGradientDescent(
            classifier, eps=eps, eps_step=eps / 8, max_iter=40, num_random_init=2, batch_size=300, verbose=False
        )
        theirs = (classifier.predict(peer.generate(rows, targets)).argmax(1) == targets).mean()
        outcome = pgd(
            model, {"features": rows}, targets, space_of(np.ones(6)), norm="linf", eps=eps, steps=40, restarts=3,
            generator=np.random.default_rng(0),
        )  # fmt: skip
        ours = 1 - outcome.broken.mean()
        assert 0.1 < theirs < 0.95
        assert abs(ours - theirs) <= 0.02
