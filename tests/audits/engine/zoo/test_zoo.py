"""Every method on every network in both frameworks: right within its error, or refused with the name of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from audits.engine.explainers import BUILT_IN
from audits.engine.explainers.base import Attribution
from tests.audits.engine.zoo import keras_kit, outcomes, pytorch_kit
from tests.audits.engine.zoo.programs import ZOO
from tests.audits.engine.zoo.truths import TRUTHS, Case
from workers.frameworks.loading import load_model
from workers.protocol import JobError

FRAMEWORKS = {"keras": (keras_kit.write, "model.keras"), "pytorch": (pytorch_kit.write, "model.pt2")}
#: Small errors make for a sharp comparison; with the usual ones it takes a large mistake to be seen. And errors of many
#: sweeps are sure enough that none of 18,000 values is off by more than four of them: at 2 %, one run in eight has one.
SETTINGS = {"permutation": {"tolerance": 0.01, "maximum_sweeps": 256}}
CELLS = [(network, framework, method) for network in ZOO for framework in FRAMEWORKS for method in BUILT_IN]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: for networks this small, more of them only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def case_of(network: str, framework: str) -> Case:
    """Write a network in a framework's format and load it as a job does."""
    write, name = FRAMEWORKS[framework]
    with TemporaryDirectory() as folder:
        path = write(ZOO[network], Path(folder) / name)
        model = load_model(path, framework=framework, signature=ZOO[network].signature, device="cpu", seed=0)
        model.logits(ZOO[network].rows(1, 0))
    return Case(ZOO[network], model)


@cache
def answer_of(network: str, framework: str, method: str) -> Attribution:
    return BUILT_IN[method].from_json(SETTINGS.get(method, {})).explain(case_of(network, framework).task)


@pytest.mark.parametrize(("network", "framework", "method"), CELLS, ids=[", ".join(entry) for entry in CELLS])
def test_values_are_right_or_refused(network: str, framework: str, method: str) -> None:
    refused = outcomes.REFUSED.get((method, network))
    if refused:
        with pytest.raises(JobError, match=refused[framework]) as caught:
            answer_of(network, framework, method)
        assert caught.value.code == "layer_not_supported"
        return
    case, answer = case_of(network, framework), answer_of(network, framework, method)
    truth = case.truth(method, answer)
    outputs = truth.shape[2]
    largest = np.abs(truth).max(axis=(1, 2), keepdims=True)
    allowed = 4 * answer.flat_errors[..., :outputs] + 1e-4 * case.span + outcomes.BEYOND_ERROR.get(method, 0) * largest
    off = np.abs(answer.flat_values[..., :outputs] - truth)
    assert (off <= allowed).all(), f"off by up to {off.max():.5f}, where {allowed[off == off.max()][0]:.5f} was stated"
    assert answer.relative_errors().max() <= 0.5, "an error that allows anything would hold anything"


@pytest.mark.parametrize("network", ZOO)
def test_both_frameworks_give_the_same_values(network: str) -> None:
    """They have the same weights and walk the same coalitions, so that even what is estimated is the same.

    Orders may differ where last digits of the scores decide which background rows are near.
    """
    keras, pytorch = (case_of(network, framework) for framework in FRAMEWORKS)
    np.testing.assert_allclose(keras.worths, pytorch.worths, atol=1e-4 * keras.span)
    for method in BUILT_IN:
        if (method, network) not in outcomes.REFUSED:
            ours, theirs = (answer_of(network, framework, method) for framework in FRAMEWORKS)
            off = np.abs(ours.values - theirs.values)
            assert (off <= 2 * (ours.errors + theirs.errors) + 1e-4 * keras.span).all()


def test_every_method_has_a_truth_and_every_refusal_a_cell() -> None:
    assert set(TRUTHS) == set(BUILT_IN)
    assert set(outcomes.REFUSED) <= {(method, network) for network, _, method in CELLS}


def test_the_page_says_what_is_tested() -> None:
    assert outcomes.PAGE.read_text(encoding="utf-8") == outcomes.page()
