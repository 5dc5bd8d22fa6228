"""A simple model's predictions for rows that it has not seen: what labels and versions are judged by."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validators.engine.screening.features import Encoded

#: Boosting builds a tree a class and round; with more classes logistic regression stands alone.
MOST_BOOSTED_CLASSES = 20
MOST_ROUNDS = 60
#: With more than twelve classes there are fewer rounds. That costs little; larger steps in their place cost much.
MOST_TREES = 720
COMPONENTS = 50
NEIGHBOURS = 5


def out_of_fold(encoded: Encoded, classes: NDArray[np.intp], *, folds: int, seed: int) -> NDArray[np.float64]:
    """Return the probability of each class for each row, from a model that has not seen the row's fold.

    Args:
        encoded: what the rows hold.
        classes: class numbers 0, 1, ..., each with at least ``folds`` rows.

    Returns:
        Shape (rows, classes); folds are stratified and drawn by the seed.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold

    probabilities = np.zeros((len(classes), int(classes.max()) + 1))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(classes)), classes)
    for seen, unseen in splits:
        model = _model(encoded, len(seen), probabilities.shape[1], seed)
        with warnings.catch_warnings():
            # A model that has not quite converged still ranks; how well it does is measured on the unseen fold.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(encoded.matrix[seen], classes[seen])
        probabilities[unseen] = model.predict_proba(encoded.matrix[unseen])
    return probabilities


def _model(encoded: Encoded, rows: int, class_count: int, seed: int) -> Any:
    """Return what learns: boosting with logistic regression for tables, neighbours with the same for images."""
    from sklearn.decomposition import PCA
    from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if encoded.kind == "text":
        return LogisticRegression(C=10, max_iter=200)
    if encoded.kind == "image":
        components = min(COMPONENTS, encoded.width, rows)
        voters = [("neighbours", KNeighborsClassifier(NEIGHBOURS)), ("logistic", LogisticRegression(max_iter=300))]
        vote = VotingClassifier(voters, voting="soft")
        return make_pipeline(PCA(components, random_state=seed), StandardScaler(), vote)
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    logistic = make_pipeline(imputer, StandardScaler(), LogisticRegression(max_iter=300))
    if class_count > MOST_BOOSTED_CLASSES:
        return logistic
    trees_a_round = class_count if class_count > 2 else 1
    boosting = HistGradientBoostingClassifier(
        max_iter=min(MOST_ROUNDS, MOST_TREES // trees_a_round),
        max_leaf_nodes=15,
        categorical_features=list(range(len(encoded.categories))) or None,
        early_stopping=False,
        random_state=seed,
    )
    joining = FunctionTransformer(joined, kw_args={"categories": encoded.categories})
    return VotingClassifier([("boosting", make_pipeline(joining, boosting)), ("logistic", logistic)], voting="soft")


def joined(matrix: NDArray[np.float64], categories: Sequence[range]) -> NDArray[np.float64]:
    """Return a matrix with one column of codes first for each category column, in place of its indicators.

    What boosting costs grows with the columns, and it splits codes into sets by itself. A row without any of the
    indicators has the code 0.
    """
    if not categories:
        return matrix
    codes = [matrix[:, block.start : block.stop] @ np.arange(1.0, len(block) + 1) for block in categories]
    indicators = [place for block in categories for place in block]
    return np.column_stack([*codes, np.delete(matrix, indicators, axis=1)])
