from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("login", views.sign_in, name="login"),
    path("logout", views.sign_out, name="logout"),
    path("organization", views.switch, name="switch"),
    path("language", views.language, name="language"),
    path("notices", views.notice_list, name="notices"),
    path("notices/<uuid:pk>/read", views.read_notice, name="read_notice"),
    path("account/tokens", views.tokens, name="tokens"),
    path("account/tokens/<uuid:pk>/revoke", views.revoke_token, name="revoke_token"),
]
