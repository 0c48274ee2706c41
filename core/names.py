"""What the Django admin calls models and fields whose own definition does not say it.

Django would take these names from the code, in English for every reader. A name in a model makes a migration;
one in here makes none, and is in one place for all contexts.
"""

from __future__ import annotations

from django.apps import apps
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# By label: one, many.
MODELS = {
    "accounts.User": (_("person"), _("people")),
    "accounts.Organization": (_("organization"), _("organizations")),
    "accounts.Membership": (_("membership"), _("memberships")),
    "accounts.ApiToken": (_("API token"), _("API tokens")),
    "accounts.SignIn": (_("sign-in"), _("sign-ins")),
    "accounts.AuditEvent": (_("audit event"), _("audit events")),
    "accounts.Notice": (_("notice"), _("notices")),
    "clusters.Region": (_("region"), _("regions")),
    "clusters.Cluster": (_("cluster"), _("clusters")),
    "clusters.ClusterState": (_("desired state"), _("desired states")),
    "clusters.Agent": (_("agent"), _("agents")),
    "clusters.RegistrationToken": (_("registration token"), _("registration tokens")),
    "catalog.Certificate": (_("certificate"), _("certificates")),
    "catalog.Gateway": (_("gateway"), _("gateways")),
    "catalog.Listener": (_("listener"), _("listeners")),
    "catalog.ApiService": (_("API service"), _("API services")),
    "catalog.Backend": (_("backend"), _("backends")),
    "catalog.Route": (_("route"), _("routes")),
    "catalog.Policy": (_("policy"), _("policies")),
    "catalog.ApiImport": (_("import"), _("imports")),
    "catalog.Product": (_("product"), _("products")),
    "catalog.Logo": (_("logo"), _("logos")),
    "publishing.ProductPublish": (_("publish"), _("publishes")),
    "publishing.PublishRevision": (_("revision"), _("revisions")),
    "publishing.Deployment": (_("deployment"), _("deployments")),
    "publishing.DeploymentVerdict": (_("verdict"), _("verdicts")),
    "publishing.AgentPublish": (_("publish on an agent"), _("publishes on agents")),
    "publishing.PublishEvent": (_("event"), _("events")),
    "publishing.HostClaim": (_("claimed host"), _("claimed hosts")),
    "publishing.RouteClaim": (_("claimed route"), _("claimed routes")),
    "publishing.PublishDraft": (_("draft of the wizard"), _("drafts of the wizard")),
    "subscriptions.Plan": (_("plan"), _("plans")),
    "subscriptions.Application": (_("application"), _("applications")),
    "subscriptions.Subscription": (_("subscription"), _("subscriptions")),
    "subscriptions.Credential": (_("credential"), _("credentials")),
    "subscriptions.AccessEntry": (_("access entry"), _("access entries")),
}
FIELDS = {
    "access_version": _("access version"),
    "actor": _("who"),
    "actor_id": _("ID of who did it"),
    "agent": _("agent"),
    "application": _("application"),
    "applied_generation": _("applied generation"),
    "asked_at": _("asked"),
    "cluster": _("cluster"),
    "created_by": _("created by"),
    "data": _("answers"),
    "decided_by": _("decided by"),
    "deleted_at": _("deleted"),
    "deployment": _("deployment"),
    "desired_generation": _("desired generation"),
    "digest": _("digest"),
    "gateway": _("gateway"),
    "gateway_classes": _("gateway classes"),
    "host": _("host"),
    "image": _("image"),
    "kind": _("kind"),
    "last_error": _("last error"),
    "lineage": _("lineage"),
    "live_revision": _("live revision"),
    "logo": _("logo"),
    "match": _("match"),
    "method": _("method"),
    "organization": _("organization"),
    "organization_id": _("ID of the organization"),
    "owner": _("agentd process"),
    "params": _("values in the text"),
    "path": _("path"),
    "plan": _("plan"),
    "plan_id": _("ID of the plan"),
    "port": _("port"),
    "preview": _("preview"),
    "problem": _("problem"),
    "product": _("product"),
    "protocol": _("protocol"),
    "public_key": _("public key"),
    "publish": _("publish"),
    "publish_id": _("ID of the publish"),
    "published_by": _("published by"),
    "rate_per_minute": _("calls per minute"),
    "readers": _("read by"),
    "requested_by": _("requested by"),
    "rest_token_digest": _("digest of the REST token"),
    "revision": _("revision"),
    "revoked_version": _("access version of its revocation"),
    "sealed_key": _("encrypted key"),
    "secret_ids": _("secrets it refers to"),
    "sequence": _("sequence"),
    "served": _("served"),
    "service": _("API service"),
    "services": _("API services"),
    "session_epoch": _("session"),
    "settled_generation": _("settled generation"),
    "subscription": _("subscription"),
    "subscription_id": _("ID of the subscription"),
    "suspended": _("suspended"),
    "text": _("text"),
    "topic": _("topic"),
    "url": _("address"),
    "user": _("person"),
    "version": _("version"),
    "wanted_revision": _("wanted revision"),
    "withdrawn_by": _("withdrawn by"),
    "writer": _("tab that saved last"),
}


def give() -> None:
    """Once, when all models are there. What a model says of itself stays."""
    for label, (one, many) in MODELS.items():
        model = apps.get_model(label)
        said = model._meta.original_attrs
        if not isinstance(said.get("verbose_name"), Promise):
            model._meta.verbose_name = one
        if not isinstance(said.get("verbose_name_plural"), Promise):
            model._meta.verbose_name_plural = many
        for field in model._meta.local_fields + model._meta.local_many_to_many:
            if field._verbose_name is None and field.name in FIELDS:
                field.verbose_name = FIELDS[field.name]
