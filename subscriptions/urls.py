from django.urls import path

from subscriptions.views import plans, requests

app_name = "subscriptions"

urlpatterns = [
    path("provider/subscriptions", requests.subscriptions, name="requests"),
    path("provider/subscriptions/approve", requests.approve, name="approve"),
    path("provider/subscriptions/reject", requests.reject, name="reject"),
    path("provider/subscriptions/suspend", requests.suspend, name="suspend"),
    path("provider/subscriptions/resume", requests.resume, name="resume"),
    path("provider/publishes/<uuid:pk>/plans", plans.plans, name="plans"),
    path("provider/publishes/<uuid:pk>/plans/new", plans.new, name="new_plan"),
    path("provider/plans/<uuid:pk>/edit", plans.edit, name="edit_plan"),
    path("provider/plans/<uuid:pk>/delete", plans.delete, name="delete_plan"),
]
