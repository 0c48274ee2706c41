"""A cluster from its form to Active: the command that the page shows is run as it stands there."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Page, expect

from deploy.local import paths
from deploy.local.screenshots import CHROMIUM
from tests.e2e.office import LIVE, Office, badge, live, same_document

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: install it to test the pages"
    ),
    pytest.mark.timeout(300),
]
NAME = f"us-west-{secrets.token_hex(3)}"
AGENT = f"of-{NAME}"


@pytest.fixture(scope="module")
def listing(office: Office) -> Page:
    """A colleague who only reads, and leaves the list open."""
    return office.window("viewer")


@pytest.fixture(scope="module")
def joined(office: Office) -> Iterator[None]:
    """Whoever runs the agent. It goes at the end; the others stay."""
    yield
    for child in office.stack.group:
        if child.name == AGENT:
            child.stop()


def paste(office: Office, command: str) -> None:
    """Into a shell of the host, where imp-agent is installed. One state folder for each agent here."""
    env = {
        **os.environ,
        "PATH": f"{paths.program('imp-agent').parent}:{os.environ['PATH']}",
        "IMP_AGENT_STATE_DIR": str(office.stack.agent_state(AGENT)),
    }
    subprocess.run(["sh", "-ec", command], env=env, check=True, capture_output=True, text=True)


def ticked(page: Page) -> list[str]:
    """What the checklist has behind it."""
    done = page.locator("#join-card .ig-tl li:has(.ig-tl-i.ok)")
    return [words.split("\n")[0].strip() for words in done.all_inner_texts()]


def test_registered_it_waits_for_an_agent(office: Office, operator: Page, listing: Page):
    listing.goto(office.url("/operator/clusters"))
    live(listing)
    operator.goto(office.url("/operator/clusters"))
    operator.get_by_role("link", name="Register cluster").click()
    operator.fill("#id_name", NAME)
    operator.locator("#region-list").select_option("+")
    operator.fill("#region-other", "us-west")
    operator.locator("#label-key-0").fill("tier")
    operator.locator("#label-value-0").fill("pilot")
    operator.get_by_role("button", name="Register cluster").click()

    expect(badge(operator, "Pending")).to_be_visible()
    office.kept["cluster"] = operator.url
    row = listing.locator("#cluster-rows li", has_text=NAME)
    expect(row).to_contain_text("Pending")
    assert same_document(listing)


def test_the_token_stays_on_the_page_while_others_change_it(office: Office, operator: Page):
    live(operator)
    operator.click("#create-token")
    shown = operator.locator("#join-command")
    expect(shown).to_contain_text("--token igr_")
    command = shown.inner_text()

    cluster = office.kept["cluster"].rsplit("/", 1)[1]
    for description in ("Pilot", "Pilot in the west"):
        office.rest("operator").put(
            f"/api/v1/operator/clusters/{cluster}",
            name=NAME,
            region="us-west",
            description=description,
        )
        expect(operator.locator("#cluster-live")).to_contain_text(description)
        assert shown.inner_text() == command
    operator.locator("summary", has_text="In Kubernetes").click()
    operator.evaluate("document.body.dispatchEvent(new Event('pulse'))")
    expect(operator.locator("#join-manifest")).to_be_visible()
    assert operator.locator("#join-manifest").inner_text().count("igr_") == 1
    assert same_document(operator)


@pytest.mark.usefixtures("joined")
def test_pasted_and_run_every_step_ticks_by_itself(
    office: Office, operator: Page, listing: Page
) -> None:
    assert ticked(operator) == []
    command = operator.locator("#join-command").text_content() or ""

    paste(office, command)

    expect(operator.locator("#join-card .ig-tl-i.ok")).to_have_count(2)
    assert [words.split(" ")[0] for words in ticked(operator)] == ["Token", "Agent"]

    office.stack.start_agent("", AGENT)

    expect(operator.locator("#join-card .ig-tl-i.ok")).to_have_count(5, timeout=LIVE)
    expect(badge(operator, "Active")).to_be_visible(timeout=LIVE)
    expect(operator.locator("#agents-card")).to_contain_text("1 / 1 connected")
    assert operator.locator("#join-command").text_content() == command, "shown once, and still"
    row = listing.locator("#cluster-rows li", has_text=NAME)
    expect(row).to_contain_text("Active", timeout=LIVE)
    expect(row).to_contain_text("1 / 1")
    assert same_document(operator)
    assert same_document(listing)


def test_loaded_again_the_token_is_gone_for_good(office: Office, operator: Page):
    operator.reload()
    expect(badge(operator, "Active")).to_be_visible()
    assert operator.locator("#join-command").count() == 0
    assert not re.search(r"igr_[0-9a-f]{10}_[0-9a-f]{8}", operator.content())


@pytest.mark.usefixtures("joined")
def test_the_agent_goes_and_comes_back_before_open_pages(
    office: Office, operator: Page, listing: Page
) -> None:
    """It counts as live for 20 s after it left. Nothing but the clock tells when those are over."""
    live(operator)
    row = listing.locator("#cluster-rows li", has_text=NAME)

    office.stack.child(AGENT).stop()
    with psycopg.connect(office.stack.postgres.url, autocommit=True) as connection:
        rewound = connection.execute(
            "UPDATE clusters_agent SET disconnected_at = disconnected_at - interval '18 s'"
            " WHERE disconnected_at IS NOT NULL AND cluster_id = %s",
            [office.kept["cluster"].rsplit("/", 1)[1]],
        )
        assert rewound.rowcount == 1

    expect(badge(operator, "Inactive")).to_be_visible()
    expect(row).to_contain_text("Inactive")

    office.stack.start_agent("", AGENT)

    expect(badge(operator, "Active")).to_be_visible(timeout=LIVE)
    expect(row).to_contain_text("Active")
    assert same_document(operator)
