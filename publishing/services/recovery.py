"""What people do when something went wrong: go back, stop waiting for an agent, have drift repaired."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import Role
from core.errors import DomainError, InvalidInput, InvalidTransition
from publishing.models import Deployment, DeploymentVerdict, ProductPublish
from publishing.services import checks, claims, deployments, quorum
from publishing.services.publishes import MissingReference, note_of, note_request, workable
from publishing.services.timeline import announce, tell
from publishing.states import OUTSTANDING, Happening, Kind, Status, in_words


@transaction.atomic
def roll_back(
    *, actor: Any, publish_id: UUID, revision: int, note: str = "", after: int | None = None
) -> Deployment:
    """Send an earlier revision, by its number, as a publish: the same checks, claims and verdicts.

    Its routes come back; plans, subscriptions and keys stay as they are.
    """
    note = note_of(note, field="note")
    row = workable(actor, publish_id)
    checks.nobody_faster(row, after)
    if row.status == Status.DRAFT:
        raise InvalidTransition(
            _("This publish was never live, so there is nothing to go back to. Publish it."),
            details={"status": row.status},
        )
    target = row.revisions.filter(number=revision).first()
    if target is None:
        missing = _("This publish has no revision %(number)d.") % {"number": revision}
        raise MissingReference(missing, code="revision_not_found", details={"revision": [missing]})
    deployments.hold_cluster(row.cluster_id)
    bundle = json.loads(target.document)
    checks.something_new(row, target.digest)
    around = claims.look_around(row, bundle, actor=actor)
    checks.before_roll_back(row, bundle, around)
    checks.target_free(row)
    claims.check(row, bundle, around)
    deployment = deployments.request(
        row, Kind.PUBLISH, target, actor=actor, note=note, told=Happening.ROLL_BACK
    )
    note_request(deployment, actor, "roll_back")
    return deployment


@transaction.atomic
def waive(*, actor: Any, deployment_id: UUID, agent_id: UUID, name: str) -> Deployment:
    """Let a withdrawal no longer wait for an agent that is away. Admins only, who type its name.

    Until it comes back and drops the publish, its gateway may go on serving it.
    """
    found = Deployment.objects.visible_to(actor).get(pk=deployment_id)
    row = workable(actor, found.publish_id, Role.ADMIN)
    deployment = deployments.named(row.deployments.all()).get(pk=deployment_id)
    verdict = deployment.verdicts.select_related("agent").get(agent=agent_id)
    if name != verdict.agent.name:
        raise InvalidInput(
            _("Type the name of the agent, “%(name)s”, exactly.") % {"name": verdict.agent.name},
            field="name",
        )
    _waivable(deployment, verdict)
    deployments.waive(row, deployment, verdict, actor=actor)
    announce(row)
    about = {"number": deployment.number, "agent": verdict.agent.name}
    audit.note(row, actor, "deployment.waive", after=about)
    return deployment


def _waivable(deployment: Deployment, verdict: DeploymentVerdict) -> None:
    if not deployment.is_open or deployment.kind != Kind.WITHDRAW:
        raise InvalidTransition(
            _("Only a withdrawal that still waits for an agent can go on without it."),
            details={"kind": deployment.kind, "status": deployment.status},
        )
    if verdict.outcome not in OUTSTANDING:
        raise DomainError(
            _("The withdrawal does not wait for %(agent)s: %(outcome)s.")
            % {"agent": verdict.agent.name, "outcome": in_words(verdict.get_outcome_display())},
            code="not_waiting",
            details={"outcome": verdict.outcome},
        )
    away = quorum.absent_agents(timezone.now(), "agent__")
    if not deployment.verdicts.filter(away, pk=verdict.pk).exists():
        raise DomainError(
            _("%(agent)s was heard of within the last 90 seconds. Wait for its answer.")
            % {"agent": verdict.agent.name},
            code="agent_connected",
        )


@transaction.atomic
def restore(*, actor: Any, publish_id: UUID) -> ProductPublish:
    """Have the agents compare their gateways with what is live, and repair what differs, now."""
    row = workable(actor, publish_id)
    opened = deployments.open_deployment(row)
    if row.status != Status.PUBLISHED or opened:
        raise InvalidTransition(
            _("Only what is live, with no deployment under way, can be restored."),
            details={"status": row.status, "deployment": opened.status if opened else None},
        )
    deployments.renew(row)
    tell(row, Happening.RESTORE, actor=actor)
    announce(row)
    audit.note(row, actor, "publish.restore")
    return row
