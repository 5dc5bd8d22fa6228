"""What a recommender is judged by before it is trained: how many users and items, and how many pairs of them exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from workers.datasets.profile.table import ProfiledTable
from workers.datasets.profile.values import quantiles_of


def describe_interactions(
    table: ProfiledTable,
    places: tuple[int, int],
    names: tuple[str, str],
    profile: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Describe rows in which a user meets an item.

    Returns:
        ``user`` and ``item`` (the names of the columns), ``users``, ``items``, ``pairs`` (different ones), ``density``
        (pairs that exist, of all that could), and ``a_user``: ``quantiles`` of the number of interactions of a user.
    """
    user, item = (f"c{place}" for place in places)
    there = f"{user} IS NOT NULL AND {item} IS NOT NULL"
    counted = "SELECT count(*) FROM (SELECT DISTINCT {user}, {item} FROM {table} WHERE {there})"
    pairs = table.rows(counted, user=user, item=item, there=there)[0][0]
    by_count = table.rows(
        "SELECT n, count(*) FROM (SELECT count(*) AS n FROM {table} WHERE {there} GROUP BY {user}) "
        "GROUP BY n ORDER BY n",
        user=user,
        there=there,
    )
    users, items = (profile[name]["distinct"] for name in names)
    numbers = np.asarray(by_count, dtype=np.int64).reshape(-1, 2).T
    return {
        "user": names[0],
        "item": names[1],
        "users": users,
        "items": items,
        "pairs": pairs,
        "density": pairs / (users * items) if users and items else None,
        "a_user": {"quantiles": quantiles_of([(numbers[0], numbers[1])], int(numbers[1].sum())) if by_count else []},
    }
