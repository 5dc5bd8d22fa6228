"""Two explanations of the same rows: paired, with the error, or refused with the reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from audits.models import Explanation
from audits.services.comparisons import Comparison, compare
from governance.exceptions import NotFound, StateConflict
from tests import attribution_files, factories
from tests.attribution_files import Arrays, table, three_rows

pytestmark = pytest.mark.django_db


def explained(before: Arrays, after: Arrays, **changes: Any) -> tuple[Explanation, Explanation]:
    """Return two explanations of one data set; ``changes`` are of the second one's summary or parameters."""
    dataset = factories.DatasetVersionFactory()
    first = attribution_files.explanation(before, dataset=dataset)
    second = attribution_files.explanation(after, dataset=dataset)
    second.summary |= changes.pop("summary", {})
    second.parameters |= changes.pop("parameters", {})
    second.save()
    return first, second


def compared(before: Arrays, after: Arrays, **asked: str) -> Comparison:
    return compare(*explained(before, after), **asked)


def changed(rows: int = 60, by: float = 0.5) -> Arrays:
    arrays = table(rows)
    arrays["values"][:, 2, 0] *= 1 + by
    return arrays


def test_what_changed_by_more_than_the_error_is_told_with_its_interval() -> None:
    found = compared(table(60), changed())

    leading = found.features[0]
    assert (leading.feature, leading.before, leading.after) == ("f2", pytest.approx(1.0), pytest.approx(1.5))
    # Every row changed alike, so that only the error of the two estimates is left.
    assert leading.low == pytest.approx(0.5 - 1.96 * np.hypot(0.01, 0.01))
    assert leading.high == pytest.approx(0.5 + 1.96 * np.hypot(0.01, 0.01))
    assert found.beyond == ["f2"]
    assert leading.changed_share == 1.0
    assert found.changed_share == pytest.approx(1 / 3)


def test_a_change_within_the_error_is_not_shown_to_differ() -> None:
    found = compared(table(60), changed(by=0.02))

    assert found.beyond == []
    assert found.changed_share == 0


def test_rows_are_paired_by_number_whatever_their_order() -> None:
    arrays = table(60)
    turned = {name: array[::-1] if len(array) == 60 else array for name, array in arrays.items()}

    assert compared(arrays, {name: np.ascontiguousarray(array) for name, array in turned.items()}).beyond == []


def test_only_rows_that_both_have_are_compared() -> None:
    later = table(60)
    later["row_numbers"] = later["row_numbers"] + 20

    assert compared(table(60), later).row_count == 50


def test_rows_with_the_largest_change_come_first_with_what_moved() -> None:
    after = table(60)
    after["values"][7, 1, 0] += 4
    after["values"][9, 1, 0] += 0.02

    found = compared(table(60), after)

    first, second = found.rows[:2]
    assert (first.row, first.id, first.feature, first.change) == (14, "item-7", "f1", pytest.approx(4))
    assert first.score_after - first.score_before == pytest.approx(4)
    assert first.is_beyond_error
    assert (second.row, second.is_beyond_error) == (18, False)


def test_rows_of_another_predicted_class_are_left_out_and_counted() -> None:
    def predicted(number: int) -> Arrays:
        arrays = table(60)
        arrays["output_names"] = np.array(["predicted class"])
        arrays["output_numbers"], arrays["scores"] = np.full((60, 1), 0), np.zeros((60, 2))
        arrays["output_numbers"][:5] = number
        return arrays

    found = compared(predicted(0), predicted(1))

    assert (found.row_count, found.other_output_count) == (55, 5)


def test_the_output_is_chosen_by_name_and_is_the_last_one_else() -> None:
    before, after = explained(three_rows(), three_rows())

    assert compare(before, after).output == "yes"
    assert compare(before, after, output="no").output == "no"
    with pytest.raises(NotFound, match="no output 'maybe' in both explanations; there are no, yes"):
        compare(before, after, output="maybe")


def test_a_single_row_has_no_interval() -> None:
    one = {name: array[:1] if len(array) == 3 else array for name, array in three_rows().items()}

    found = compared(one, one)

    assert found.features[0].low is None
    assert found.beyond == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"summary": {"background_digest": "sha256:other"}}, "other background rows"),
        ({"summary": {"scale": "probabilities"}}, "other scales: logits and probabilities"),
        ({"parameters": {"method": "deeplift"}}, "estimate other things: deeplift and permutation"),
    ],
)
def test_what_means_other_things_is_not_compared(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(StateConflict) as refused:
        compare(*explained(table(60), table(60), **changes))

    assert said in " ".join(refused.value.reasons)


def test_methods_that_estimate_the_same_are_compared() -> None:
    assert compare(*explained(table(60), table(60), parameters={"method": "exact"})).row_count == 60


def test_other_data_itself_and_no_values_are_refused() -> None:
    first, second = attribution_files.explanation(table(9)), attribution_files.explanation(table(9))
    empty = attribution_files.explanation(table(9))
    empty.files = {}

    for one, other, said in (
        (first, second, "other data"),
        (first, first, "one and the same"),
        (first, empty, "no values"),
    ):
        with pytest.raises(StateConflict) as refused:
            compare(one, other)
        assert said in " ".join(refused.value.reasons)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("feature_names", np.array(["f0", "f1", "g"]), "2 are in one of them only"),
        ("feature_names", np.array(["f1", "f0", "f2"]), "in another order"),
        ("row_numbers", np.arange(60) * 2 + 1, "no row in common"),
        ("output_names", np.array(["cost"]), "no output in common"),
    ],
)
def test_other_features_rows_or_outputs_are_refused(name: str, array: np.ndarray, said: str) -> None:
    with pytest.raises(StateConflict) as refused:
        compared(table(60), {**table(60), name: array})

    assert said in " ".join(refused.value.reasons)


# ------------------------------------------------------------------------------------------------------------ page
@pytest.fixture
def browser(client: Client, bob) -> Client:
    client.force_login(bob)
    return client


def get(browser: Client, status: int = 200, **query: Any) -> str:
    response = browser.get(reverse("explanation-comparison"), query)
    assert response.status_code == status
    return response.content.decode()


def test_the_page_tells_what_changed_and_both_verdicts(browser: Client) -> None:
    first, second = explained(table(60), changed())
    Explanation.objects.filter(pk=first.pk).update(admitted=False, reasons=["Agreement: 0.31, above 0.15."])

    page = get(browser, first=first.pk, second=second.pk)

    assert "1\N{NO-BREAK SPACE}feature changed" in page
    assert "Agreement: 0.31, above 0.15." in page
    assert page.count("admitted</span>") == 2
    assert '<svg class="chart"' in page or 'class="chart"' in page
    assert f"{reverse('explanation', args=[second.pk])}?row=" in page


def test_the_page_asks_for_what_is_missing(browser: Client) -> None:
    first, second = explained(table(60), changed())

    page = get(browser, first=first.pk)

    assert f'<option value="{second.pk}">' in page
    assert get(browser).count("<option") == 4


def test_the_page_says_where_there_is_nothing_to_compare_with(browser: Client) -> None:
    alone = attribution_files.explanation(table(9))

    assert "There is no other explanation" in get(browser, first=alone.pk)


def test_the_page_refuses_with_the_reasons(browser: Client) -> None:
    first, second = explained(table(9), table(9), summary={"scale": "probabilities"})

    assert "on other scales" in get(browser, 409, first=first.pk, second=second.pk)


@pytest.mark.parametrize("asked", ["0", "x", "-1", "99999", "9" * 30])
def test_an_explanation_that_is_not_there_is_told(browser: Client, asked: str) -> None:
    get(browser, 404, first=asked)


def test_an_explanation_leads_to_its_comparisons(browser: Client) -> None:
    first, second = explained(table(60), changed())

    page = browser.get(reverse("explanation", args=[second.pk])).content.decode()

    assert f"?first={first.pk}&amp;second={second.pk}" in page
