"""A simple model's predictions for rows that it has not seen: what labels and versions are judged by."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validators.engine.screening.features import Encoded

#: Boosting builds a tree a class and round; with more classes logistic regression stands alone.
MOST_BOOSTED_CLASSES = 20
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
    from sklearn.preprocessing import StandardScaler

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
    boosting = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=seed)
    return VotingClassifier([("boosting", boosting), ("logistic", logistic)], voting="soft")
