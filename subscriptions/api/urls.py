from django.urls import path

from subscriptions.api.customer import ApplicationViewSet, CredentialViewSet, SubscriptionViewSet
from subscriptions.api.provider import PlanViewSet, ProvidedSubscriptionViewSet
from subscriptions.api.public import PublicProductViewSet

COLLECTION = {"get": "list", "post": "create"}
LIST, ONE = {"get": "list"}, {"get": "retrieve"}
ONE_OR_GONE = ONE | {"delete": "destroy"}

applications = ApplicationViewSet.as_view
subscriptions = SubscriptionViewSet.as_view
credentials = CredentialViewSet.as_view
plans = PlanViewSet.as_view
provided = ProvidedSubscriptionViewSet.as_view
products = PublicProductViewSet.as_view

mine = "customer/subscriptions/<uuid:pk>"
theirs = "provider/subscriptions/<uuid:pk>"
urlpatterns = [
    path("customer/applications", applications(COLLECTION), name="applications"),
    path(
        "customer/applications/<uuid:pk>",
        applications(ONE_OR_GONE | {"patch": "partial_update"}),
        name="application",
    ),
    path("customer/subscriptions", subscriptions(COLLECTION), name="subscriptions"),
    path(mine, subscriptions(ONE), name="subscription"),
    path(f"{mine}/cancel", subscriptions({"post": "cancel"}), name="subscription-cancel"),
    path(f"{mine}/plan", subscriptions({"put": "plan"}), name="subscription-plan"),
    path("customer/credentials", credentials(COLLECTION), name="credentials"),
    path("customer/credentials/<uuid:pk>", credentials(ONE_OR_GONE), name="credential"),
    path(
        "customer/credentials/<uuid:pk>/revoke",
        credentials({"post": "revoke"}),
        name="credential-revoke",
    ),
    path("provider/product-publishes/<uuid:publish_id>/plans", plans(COLLECTION), name="plans"),
    path("provider/plans/<uuid:pk>", plans(ONE_OR_GONE | {"put": "update"}), name="plan"),
    path("provider/subscriptions", provided(LIST), name="provided-subscriptions"),
    path("provider/subscriptions/approve", provided({"post": "approve_many"})),
    path("provider/subscriptions/reject", provided({"post": "reject_many"})),
    path("provider/subscriptions/suspend", provided({"post": "suspend_many"})),
    path("provider/subscriptions/resume", provided({"post": "resume_many"})),
    path(theirs, provided(ONE), name="provided-subscription"),
    path(f"{theirs}/approve", provided({"post": "approve"}), name="subscription-approve"),
    path(f"{theirs}/reject", provided({"post": "reject"}), name="subscription-reject"),
    path(f"{theirs}/suspend", provided({"post": "suspend"}), name="subscription-suspend"),
    path(f"{theirs}/resume", provided({"post": "resume"}), name="subscription-resume"),
    path("public/products", products(LIST), name="public-products"),
    path("public/products/<uuid:pk>", products(ONE), name="public-product"),
]
