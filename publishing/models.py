"""A product on a cluster: what is wanted there, what is live, and how each change went."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, TenantQuerySet
from catalog.models import Gateway, Match, Product
from clusters.models import Agent, AgentQuerySet, Cluster
from core.queries import number
from publishing.states import OPEN, DraftStep, Happening, Kind, Outcome, Progress, Status


class Environment(models.TextChoices):
    DEV = "dev", "dev"
    STAGE = "stage", "stage"
    PROD = "prod", "prod"


class AuthMode(models.TextChoices):
    NONE = "none", _("None")
    API_KEY = "api-key", _("API key")
    OAUTH2 = "oauth2", "OAuth 2.0"


class Visibility(models.TextChoices):
    PUBLIC = "public", _("Public")
    PRIVATE = "private", _("Private")


class ProductPublishQuerySet(TenantQuerySet):
    def with_reach(self) -> ProductPublishQuerySet:
        """Annotate on how many of the agents that should serve it the live revision really is: live_on of
        agents."""
        agents = should_serve(OuterRef("cluster"), OuterRef("gateway__gateway_class"))
        serving = AgentPublish.objects.filter(
            publish=OuterRef("pk"),
            revision=OuterRef("live_revision__digest"),
            agent__revoked_at=None,
        )
        return self.annotate(
            agents=number(agents, by="cluster"), live_on=number(serving, by="publish")
        )

    def missed(self) -> ProductPublishQuerySet:
        """Those that some agent which should serve what is live does not."""
        serves = AgentPublish.objects.filter(
            agent=OuterRef("pk"),
            publish=OuterRef(OuterRef("pk")),
            revision=OuterRef(OuterRef("live_revision__digest")),
        )
        agents = should_serve(OuterRef("cluster"), OuterRef("gateway__gateway_class"))
        return self.filter(Exists(agents.filter(~Exists(serves))))


def should_serve(cluster: Any, gateway_class: Any) -> AgentQuerySet:
    """Of a publish: its cluster's agents that drive its gateway's class, until they are revoked."""
    return Agent.objects.filter(
        cluster=cluster, revoked_at=None, gateway_classes__contains=[gateway_class]
    )


class ProductPublish(models.Model):
    """One product in one environment of one cluster, through one gateway."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="publishes")
    product = models.ForeignKey(Product, models.PROTECT, related_name="publishes")
    cluster = models.ForeignKey(Cluster, models.PROTECT, related_name="publishes")
    gateway = models.ForeignKey(Gateway, models.PROTECT, related_name="publishes")
    environment = models.CharField(_("environment"), max_length=8, choices=Environment)
    hostname_base = models.CharField(_("hostname"), max_length=253)  # lower case
    auth_mode = models.CharField(_("auth mode"), max_length=8, choices=AuthMode)
    auth_config = models.JSONField(_("auth configuration"), default=dict, blank=True)
    visibility = models.CharField(
        _("visibility"), max_length=8, choices=Visibility, default=Visibility.PUBLIC
    )
    approval_required = models.BooleanField(_("approval required"), default=False)
    status = models.CharField(
        _("status"), max_length=12, choices=Status, default=Status.DRAFT, editable=False
    )
    # What the gateways should serve; None = nothing. Differs from live while a deployment is open.
    wanted_revision = models.ForeignKey(
        "PublishRevision", models.PROTECT, null=True, related_name="+", editable=False
    )
    live_revision = models.ForeignKey(
        "PublishRevision", models.PROTECT, null=True, related_name="+", editable=False
    )
    published_at = models.DateTimeField(_("published"), null=True, editable=False)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, editable=False)
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    withdraw_reason = models.CharField(_("reason"), max_length=500, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = ProductPublishQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name_plural = _("product publishes")
        constraints = [
            models.UniqueConstraint(
                name="publishing_publish_one_per_target",
                fields=["product", "environment", "cluster", "gateway"],
                condition=Q(status__in=[Status.DRAFT, Status.PUBLISHED]),
                violation_error_message=_(
                    "This product is already published there: same environment, cluster and gateway."
                ),
            ),
            models.CheckConstraint(
                name="publishing_publish_status_known", condition=Q(status__in=Status.values)
            ),
            models.CheckConstraint(
                name="publishing_publish_live_iff_published",
                condition=Q(
                    status=Status.PUBLISHED,
                    live_revision__isnull=False,
                    published_at__isnull=False,
                )
                | (~Q(status=Status.PUBLISHED) & Q(live_revision=None)),
            ),
            models.CheckConstraint(
                name="publishing_publish_withdrawn_has_time",
                condition=~Q(status=Status.WITHDRAWN) | Q(withdrawn_at__isnull=False),
            ),
            models.CheckConstraint(
                name="publishing_publish_environment_known",
                condition=Q(environment__in=Environment.values),
            ),
            models.CheckConstraint(
                name="publishing_publish_auth_mode_known",
                condition=Q(auth_mode__in=AuthMode.values),
            ),
            models.CheckConstraint(
                name="publishing_publish_visibility_known",
                condition=Q(visibility__in=Visibility.values),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product} · {self.environment}"


class PublishPartQuerySet(TenantQuerySet):
    tenant = "publish__organization"


class PublishRevision(models.Model):
    """An immutable compiled bundle. The database refuses to change one."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    publish = models.ForeignKey(ProductPublish, models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField(_("number"))
    digest = models.CharField(_("SHA-256"), max_length=64, editable=False)
    document = models.TextField(_("bundle"), editable=False)  # canonical JSON
    # A list of what its listeners refer to: agents get these and no others.
    secret_ids = models.GeneratedField(
        expression=models.Func(
            models.F("document"),
            template="jsonb_path_query_array((%(expressions)s)::jsonb, '$.listeners[*].tls.secret_id')",
        ),
        output_field=models.JSONField(),
        db_persist=True,
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = PublishPartQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(
                name="publishing_revision_number_once", fields=["publish", "number"]
            ),
            models.UniqueConstraint(
                name="publishing_revision_digest_once", fields=["publish", "digest"]
            ),
        ]
        indexes = [
            models.Index(name="publishing_revision_digest", fields=["digest"]),
            # Every look at a manifest's tag asks for these; most publishes have none.
            models.Index(
                name="publishing_revision_secrets",
                fields=["publish"],
                condition=~Q(secret_ids=[]),
            ),
        ]

    def __str__(self) -> str:
        return f"r{self.number}"


class Deployment(models.Model):
    """One request to change the gateways of a cluster, and what became of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    publish = models.ForeignKey(ProductPublish, models.CASCADE, related_name="deployments")
    number = models.PositiveIntegerField(_("number"))
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    # None = absent: a withdrawal. RESTRICT: both go when their publish does, and not before.
    revision = models.ForeignKey(
        PublishRevision, models.RESTRICT, null=True, related_name="deployments"
    )
    note = models.CharField(_("note"), max_length=500, blank=True)
    generation = models.PositiveBigIntegerField(_("generation"))
    status = models.CharField(_("status"), max_length=12, choices=Progress, default=Progress.QUEUED)
    # Why it waits, or how it ended, in words: "no agent is connected", the gateway's error.
    detail = models.TextField(_("detail"), blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(_("requested"), default=timezone.now, editable=False)
    dispatched_at = models.DateTimeField(_("dispatched"), null=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)

    objects = PublishPartQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-number"]
        constraints = [
            models.UniqueConstraint(
                name="publishing_deployment_one_open",
                fields=["publish"],
                condition=Q(status__in=OPEN),
            ),
            models.UniqueConstraint(
                name="publishing_deployment_number_once", fields=["publish", "number"]
            ),
            models.CheckConstraint(
                name="publishing_deployment_status_known", condition=Q(status__in=Progress.values)
            ),
            models.CheckConstraint(
                name="publishing_deployment_finished_iff_closed",
                condition=Q(status__in=OPEN, finished_at=None)
                | (~Q(status__in=OPEN) & Q(finished_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="publishing_deployment_revision_iff_publish",
                condition=Q(kind=Kind.PUBLISH, revision__isnull=False)
                | Q(kind=Kind.WITHDRAW, revision=None),
            ),
        ]
        # The overviews show the newest and count those of the last day, however long the history.
        indexes = [
            models.Index(name="publishing_deployment_newest", fields=["-created_at", "-number"]),
            models.Index(name="publishing_deployment_finished", fields=["finished_at"]),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.kind}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


class DeploymentPartQuerySet(TenantQuerySet):
    tenant = "deployment__publish__organization"


class DeploymentVerdict(models.Model):
    """One agent's part in a deployment: its outcome, the gateway's words, the probe and the timings."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="verdicts")
    agent = models.ForeignKey(Agent, models.PROTECT, related_name="verdicts")
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome, default=Outcome.PENDING)
    error = models.TextField(_("the gateway's words"), blank=True)
    # A list of calls: method, host, port, path, with_credential, expected, got, body, latency_ms.
    probe = models.JSONField(_("proof"), default=list, encoder=DjangoJSONEncoder)
    timings = models.JSONField(_("timings (ms)"), default=dict)
    created_at = models.DateTimeField(_("dispatched"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("last word"), default=timezone.now, editable=False)

    objects = DeploymentPartQuerySet.as_manager()

    class Meta:
        ordering = ["agent__name"]
        constraints = [
            models.UniqueConstraint(name="publishing_verdict_once", fields=["deployment", "agent"]),
            models.CheckConstraint(
                name="publishing_verdict_outcome_known", condition=Q(outcome__in=Outcome.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.agent}: {self.outcome}"


class AgentPublish(models.Model):
    """What an agent's gateway really serves of a publish, as the agent last saw it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="publishes")
    publish = models.ForeignKey(ProductPublish, models.CASCADE, related_name="on_agents")
    revision = models.CharField(_("revision"), max_length=64, blank=True)  # digest; "" = nothing
    error = models.TextField(_("error"), blank=True)
    warning = models.TextField(_("warning"), blank=True)
    # The last revision it served that was live or wanted then; "" = none, or nothing is live any more.
    applied = models.CharField(_("applied"), max_length=64, blank=True, editable=False)
    # Since when it serves something else than what is live, which it had served; None = it does not.
    drifted_at = models.DateTimeField(_("drifted"), null=True, editable=False)
    observed_at = models.DateTimeField(_("observed"), default=timezone.now, editable=False)

    objects = PublishPartQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="publishing_agentpublish_once", fields=["agent", "publish"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.agent} serves {self.publish}"


class PublishEvent(models.Model):
    """The timeline of a publish."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    publish = models.ForeignKey(ProductPublish, models.CASCADE, related_name="events")
    kind = models.CharField(_("what"), max_length=24, choices=Happening)
    deployment = models.ForeignKey(Deployment, models.SET_NULL, null=True, related_name="events")
    agent = models.ForeignKey(Agent, models.SET_NULL, null=True, related_name="+")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    note = models.TextField(_("note"), blank=True)  # of the actor; the agent's error of a drift
    # Of a drift: the digest that the agent served instead, or its beginning; "" for nothing.
    served = models.CharField(max_length=64, blank=True, editable=False)
    created_at = models.DateTimeField(_("when"), default=timezone.now, editable=False)

    objects = PublishPartQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="publishing_event_kind_known", condition=Q(kind__in=Happening.values)
            )
        ]
        indexes = [
            models.Index(name="publishing_event_timeline", fields=["publish", "-created_at"])
        ]

    def __str__(self) -> str:
        return self.kind


class HostClaim(models.Model):
    """A host of a cluster belongs to one organization while it publishes anything there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    cluster = models.ForeignKey(Cluster, models.CASCADE, related_name="host_claims")
    host = models.CharField(max_length=253)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="host_claims")

    class Meta:
        constraints = [
            models.UniqueConstraint(name="publishing_hostclaim_once", fields=["cluster", "host"])
        ]

    def __str__(self) -> str:
        return self.host


class RouteClaim(models.Model):
    """A method of a path of a host and port: taken at publish, released after the withdrawal."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    cluster = models.ForeignKey(Cluster, models.CASCADE, related_name="route_claims")
    publish = models.ForeignKey(ProductPublish, models.CASCADE, related_name="route_claims")
    port = models.PositiveIntegerField()
    protocol = models.CharField(max_length=8)
    host = models.CharField(max_length=253)
    match = models.CharField(max_length=8, choices=Match)
    path = models.CharField(max_length=800)
    method = models.CharField(max_length=8)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="publishing_routeclaim_once",
                fields=["cluster", "port", "host", "match", "path", "method"],
            )
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.host}:{self.port}{self.path}"


class PublishDraftQuerySet(TenantQuerySet):
    tenant = "product__organization"

    def visible_to(self, user: Any) -> TenantQuerySet:
        """One's own, of products that one may still see."""
        if not user.is_authenticated:
            return self.none()
        return super().visible_to(user).filter(user=user)


class PublishDraft(models.Model):
    """The wizard's memory: one per person and product, deleted when the publish is created."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    product = models.ForeignKey(Product, models.CASCADE, related_name="drafts")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    step = models.CharField(
        _("step"), max_length=16, choices=DraftStep, default=DraftStep.CLUSTER, editable=False
    )
    data = models.JSONField(default=dict)  # answers, as typed: judged when their step is left
    # Raised by every save; whoever holds an older one and is not its writer missed something.
    version = models.PositiveIntegerField(default=1, editable=False)
    writer = models.CharField(max_length=32, blank=True, editable=False)  # the tab that saved last
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = PublishDraftQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at", "id"]
        constraints = [
            models.UniqueConstraint(name="publishing_draft_once", fields=["product", "user"]),
            models.CheckConstraint(
                name="publishing_draft_step_known", condition=Q(step__in=DraftStep.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product} by {self.user}"
