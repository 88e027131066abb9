"""Corrections that several visits, several tabs or several jobs have in their hands at once."""

from __future__ import annotations

from tests.page.conftest import Visitor
from tests.support.services import wait_for


def test_what_is_added_after_a_reload_is_not_tied_to_what_was_there(visit: Visitor, own_job: str) -> None:
    person = visit().open_result(own_job)
    page = person.page
    found = person.rows().count()
    assert found >= 2
    person.rows().first.click()
    # The first segment of the page's own, and its first point.
    for key in ("Delete", "Home", "a", "End", "m"):
        page.keyboard.press(key)
    page.wait_for_selector("#edited:has-text('1 point')")
    person.reload().wait_result()
    wait_for(lambda: person.rows().count() == found)
    first = person.row_texts()[0]
    person.rows().last.click()
    for key in ("Delete", "End", "a"):
        page.keyboard.press(key)
    wait_for(lambda: person.rows().count() == found)
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("o")
    assert person.row_texts()[0] == first
    page.keyboard.press("Delete")
    wait_for(lambda: person.rows().count() == found - 1)
    for key in ("Home", "m", "Delete"):
        page.keyboard.press(key)
    page.wait_for_selector("#edited:has-text('1 point')")
