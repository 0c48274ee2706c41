import pytest
from django.urls import reverse

from accounts import services, signins
from accounts.models import ApiToken, AuditEvent, Kind, Membership, Organization, Role, User
from core.errors import Unauthenticated
from tests.factories.accounts import (
    PASSWORD,
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def member(client):
    membership = MembershipFactory(
        user__email="kim@example.com", user__password=PASSWORD, organization__kind=Kind.CONSUMER
    )
    client.force_login(membership.user)
    return membership


def sign_in(client, password=PASSWORD, email="kim@example.com", **more):
    return client.post("/login", {"username": email, "password": password, **more})


class TestSigningIn:
    @pytest.fixture(autouse=True)
    def user(self):
        return UserFactory(email="kim@example.com", password=PASSWORD)

    def test_the_page(self, client):
        html = client.get("/login").content.decode()

        assert 'autocomplete="username"' in html
        assert 'autocomplete="current-password"' in html
        assert "SSO" not in html

    def test_it_leads_on(self, client):
        assert sign_in(client, email="KIM@example.com")["Location"] == "/"
        assert client.get("/login").status_code == 302

    @pytest.mark.parametrize(
        ("target", "location"),
        [
            ("/account/tokens", "/account/tokens"),
            ("https://evil.example", "/"),
            ("//evil.example", "/"),
            ("javascript:alert(1)", "/"),
        ],
    )
    def test_it_leads_only_to_our_own_pages(self, client, target, location):
        assert sign_in(client, next=target)["Location"] == location

    def test_a_wrong_password_counts_down(self, client):
        first, second = sign_in(client, "wrong"), sign_in(client, "wrong")

        assert first.status_code == 422
        assert "4 attempts left" in first.content.decode()
        assert "3 attempts left" in second.content.decode()
        assert "wrong</" not in first.content.decode().replace("password is wrong", "")

    def test_after_five_it_is_locked(self, client):
        answers = [sign_in(client, "wrong") for _try in range(5)]

        assert "1 attempt left" in answers[3].content.decode()
        assert answers[4].status_code == 429
        assert "locked for 15 minutes" in answers[4].content.decode()
        assert sign_in(client).status_code == 429

    @pytest.mark.parametrize("email", ["", "nonsense", "a" * 300 + "@example.com", "a\x00@b.c"])
    def test_nonsense_is_a_field_error(self, client, email):
        response = sign_in(client, email=email)

        assert response.status_code == 422
        assert 'aria-invalid="true"' in response.content.decode()

    def test_signing_out_needs_a_post(self, client, user):
        client.force_login(user)

        assert client.get("/logout").status_code == 405
        assert client.post("/logout")["Location"] == "/login"

    def test_both_are_on_the_audit_trail(self, client, user):
        sign_in(client, "wrong")
        sign_in(client)
        client.post("/logout")
        client.post("/logout")

        trail = AuditEvent.objects.order_by("created_at").values_list("action", "actor_id", "ip")
        assert list(trail) == [
            ("session.start", user.pk, "127.0.0.1"),
            ("session.end", user.pk, "127.0.0.1"),
        ]
        assert client.get("/account/tokens").status_code == 302

    def test_the_password_is_hashed_with_argon2(self, settings):
        from config.settings import PASSWORD_HASHERS

        assert PASSWORD_HASHERS[0].endswith("Argon2PasswordHasher")


class TestHome:
    @pytest.mark.parametrize(
        ("kind", "page"),
        [(Kind.OPERATOR, "clusters:overview"), (Kind.PROVIDER, "publishing:overview")],
    )
    def test_each_persona_has_its_first_page(self, client, kind, page):
        client.force_login(MembershipFactory(organization__kind=kind).user)

        assert client.get("/")["Location"] == reverse(page)
        assert client.get("/", follow=True).status_code == 200

    def test_a_consumer_learns_what_works_today(self, client, member):
        html = client.get("/").content.decode()

        assert "/api/v1/customer/applications" in html
        assert reverse("clusters:list") not in html

    def test_somebody_without_an_organization_is_told(self, client):
        client.force_login(UserFactory())

        assert "no organization yet" in client.get("/").content.decode()

    def test_strangers_sign_in_first(self, client):
        assert client.get("/")["Location"] == "/login?next=/"


class TestShell:
    def test_the_switcher_offers_and_switches(self, client, member):
        other = MembershipFactory(user=member.user, organization__kind=Kind.CONSUMER)
        assert other.organization.name in client.get("/").content.decode()

        response = client.post("/organization", {"organization": str(other.organization_id)})

        assert response["Location"] == "/"
        assert client.get("/").context["organization"] == other.organization

    @pytest.mark.parametrize("value", ["", "nonsense", None])
    def test_the_switcher_knows_only_ones_own(self, client, member, value):
        value = value if value is not None else str(OrganizationFactory().pk)

        assert client.post("/organization", {"organization": value}).status_code == 404

    def test_a_lost_membership_falls_back(self, client, member):
        other = MembershipFactory(user=member.user, organization__kind=Kind.CONSUMER)
        client.post("/organization", {"organization": str(other.organization_id)})
        other.delete()

        assert client.get("/").context["organization"] == member.organization

    def test_one_organization_needs_no_menu(self, client, member):
        assert 'class="ig-menu-list" method="post"' not in client.get("/").content.decode()

    @pytest.mark.parametrize(
        ("cookie", "html"),
        [("dark", 'data-bs-theme="dark"'), ("light", 'data-bs-theme="light"'), ("<b>", "<html")],
    )
    def test_the_theme_comes_from_its_cookie(self, client, member, cookie, html):
        client.cookies["theme"] = cookie
        page = client.get("/").content.decode()

        assert html in page
        assert "<b>" not in page.split("<body", maxsplit=1)[0]

    def test_the_browsers_language_then_the_profiles(self, client, member):
        assert (
            '<html lang="ko"' in client.get("/", headers={"accept-language": "ko"}).content.decode()
        )

        response = client.post("/language", {"language": "en", "next": "/account/tokens"})

        assert response["Location"] == "/account/tokens"
        page = client.get("/", headers={"accept-language": "ko"}).content.decode()
        assert '<html lang="en"' in page
        assert User.objects.get().locale == "en"

    def test_an_unknown_language_changes_nothing(self, client, member):
        client.post("/language", {"language": "xx"})

        assert User.objects.get().locale == ""

    def test_staff_find_the_administration(self, client, member):
        assert "/admin/" not in client.get("/").content.decode()
        User.objects.update(is_staff=True)
        assert "/admin/" in client.get("/").content.decode()

    def test_htmx_is_sent_to_the_login_page_as_a_page(self, client):
        response = client.get("/account/tokens", headers={"hx-request": "true"})

        assert response.status_code == 200
        assert response["HX-Redirect"] == "/login"
        assert response.content == b""

    def test_pages_and_panels_are_cached_apart(self, client, member):
        assert "HX-Request" in client.get("/account/tokens")["Vary"]

    def test_error_pages(self, client, member):
        response = client.get("/nothing")

        assert response.status_code == 404
        assert "There is nothing here" in response.content.decode()

    @pytest.mark.parametrize(
        ("path", "status"), [("/nothing", 404), ("/provider/products/new", 403)]
    )
    def test_error_pages_keep_the_menu_of_whoever_is_signed_in(self, client, member, path, status):
        response = client.get(path)

        assert response.status_code == status
        assert 'aria-label="Main menu"' in response.content.decode()

    def test_strangers_get_error_pages_without_a_menu(self, client):
        response = client.get("/nothing")

        assert response.status_code == 404
        assert "Main menu" not in response.content.decode()

    @pytest.mark.urls("tests.core.broken_urls")
    def test_a_crash_says_how_to_find_it(self, client):
        client.raise_request_exception = False
        response = client.get("/crash")

        assert response.status_code == 500
        assert response["X-Request-ID"] in response.content.decode()


class TestTokens:
    def test_the_page_and_its_panel(self, client, member):
        page = client.get("/account/tokens").content.decode()
        panel = client.get("/account/tokens", headers={"hx-request": "true"}).content.decode()

        assert "No tokens yet" in page
        assert panel.strip().startswith('<section class="ig-card" id="tokens"')

    def test_one_is_made_and_shown_once(self, client, member):
        response = client.post("/account/tokens", {"name": "CI", "lifetime": "30"})
        secret = response.context["secret"]

        assert secret in response.content.decode()
        assert response["Cache-Control"] == "no-store"
        assert secret not in client.get("/account/tokens").content.decode()
        assert services.find_api_token(secret).expires_at is not None

    def test_one_without_an_end(self, client, member):
        client.post("/account/tokens", {"name": "CI", "lifetime": "0"})

        assert ApiToken.objects.get().expires_at is None

    @pytest.mark.parametrize(
        "body", [{}, {"name": " ", "lifetime": "30"}, {"name": "a", "lifetime": "7"}]
    )
    def test_bad_values(self, client, member, body):
        response = client.post("/account/tokens", body)

        assert response.status_code == 422
        assert not ApiToken.objects.exists()

    def test_revoking(self, client, member):
        token, secret = services.create_api_token(
            actor=member.user, organization_id=member.organization_id, name="CI"
        )

        page = client.post(f"/account/tokens/{token.pk}/revoke", follow=True).content.decode()

        assert "“CI” is revoked." in page
        assert services.find_api_token(secret) is None

    def test_a_viewer_neither_makes_nor_revokes(self, client, member):
        token, _secret = services.create_api_token(
            actor=member.user, organization_id=member.organization_id, name="CI"
        )
        client.force_login(UserFactory(member_of=member.organization, role=Role.VIEWER))

        assert "Create token" not in client.get("/account/tokens").content.decode()
        made = client.post("/account/tokens", {"name": "CI", "lifetime": "30"})
        assert made.status_code == 403
        assert client.post(f"/account/tokens/{token.pk}/revoke").status_code == 403

    def test_without_an_organization(self, client):
        client.force_login(UserFactory())

        made = client.post("/account/tokens", {"name": "CI", "lifetime": "30"})
        assert made.status_code == 404


class TestAdmin:
    @pytest.fixture(autouse=True)
    def root(self, client):
        user = UserFactory(superuser=True)
        client.force_login(user)
        return user

    @pytest.mark.parametrize(
        "model", ["user", "organization", "membership", "apitoken", "signin", "auditevent"]
    )
    def test_lists_search_and_open(self, client, model, member_rows):
        url = reverse(f"admin:accounts_{model}_changelist")

        assert client.get(url, {"q": "kim"}).status_code == 200
        row = member_rows[model]
        assert (
            client.get(reverse(f"admin:accounts_{model}_change", args=[row.pk])).status_code == 200
        )

    @pytest.fixture
    def member_rows(self, db):
        membership = MembershipFactory(user__email="kim@example.com")
        token, _secret = services.create_api_token(
            actor=membership.user, organization_id=membership.organization_id, name="CI"
        )
        pair = signins.start(user=membership.user, organization=membership.organization)
        return {
            "user": membership.user,
            "organization": membership.organization,
            "membership": membership,
            "apitoken": token,
            "signin": pair.sign_in,
            "auditevent": AuditEvent.objects.first(),
        }

    @pytest.mark.parametrize("model", ["apitoken", "signin", "auditevent"])
    def test_history_is_read_only(self, client, model, member_rows):
        pk = member_rows[model].pk

        assert client.get(reverse(f"admin:accounts_{model}_add")).status_code == 403
        change = client.post(reverse(f"admin:accounts_{model}_change", args=[pk]), {"name": "x"})
        assert change.status_code == 403
        assert client.post(reverse(f"admin:accounts_{model}_delete", args=[pk])).status_code == 403

    def test_an_organization_is_made_through_the_service(self, client):
        client.post(
            reverse("admin:accounts_organization_add"),
            {
                "name": "New",
                "kind": "operator",
                "memberships-TOTAL_FORMS": "0",
                "memberships-INITIAL_FORMS": "0",
            },
        )

        assert Organization.objects.get().name == "New"
        assert AuditEvent.objects.filter(action="organization.create").exists()

    def test_a_person_is_made_and_recorded(self, client):
        response = client.post(
            reverse("admin:accounts_user_add"),
            {
                "email": "New@Example.com",
                "usable_password": "true",
                "password1": PASSWORD,
                "password2": PASSWORD,
            },
        )

        assert response.status_code == 302, response.context["errors"]
        assert User.objects.get(email="new@example.com").check_password(PASSWORD)
        assert AuditEvent.objects.filter(action="user.create").exists()

    def test_the_last_admin_stays_one(self, client):
        boss = MembershipFactory(admin=True)
        url = reverse("admin:accounts_membership_change", args=[boss.pk])

        page = client.post(url, {"role": "viewer"}, follow=True).content.decode()

        assert "last admin" in page
        assert "success" not in page
        boss.refresh_from_db()
        assert boss.role == Role.ADMIN
        delete = reverse("admin:accounts_membership_delete", args=[boss.pk])
        page = client.post(delete, {"post": "yes"}, follow=True).content.decode()
        assert "last admin" in page
        assert "success" not in page
        assert Membership.objects.filter(pk=boss.pk).exists()

    def test_of_several_selected_all_go_or_none(self, client):
        boss, other = MembershipFactory(admin=True), MembershipFactory()
        selected = {"action": "delete_selected", "_selected_action": [other.pk, boss.pk]}

        url = reverse("admin:accounts_membership_changelist")
        page = client.post(url, selected | {"post": "yes"}, follow=True).content.decode()

        assert "last admin" in page
        assert "success" not in page
        assert Membership.objects.count() == 2

    def test_a_new_password_signs_the_person_out_everywhere(self, client):
        person = MembershipFactory()
        pair = signins.start(user=person.user, organization=person.organization)
        url = reverse("admin:auth_user_password_change", args=[person.user.pk])
        fields = {"usable_password": "true", "password1": PASSWORD, "set-password": "1"}

        client.post(url, fields | {"password2": "another"})
        assert signins.authenticate(pair.access)[0] == person.user
        client.post(url, fields | {"password2": PASSWORD})

        with pytest.raises(Unauthenticated):
            signins.authenticate(pair.access)
        with pytest.raises(Unauthenticated):
            signins.refresh(token=pair.refresh)
        event = AuditEvent.objects.get(action="user.password")
        assert (event.object_id, event.after) == (str(person.user.pk), {"sign_ins_ended": 1})

    def test_tokens_are_revoked_from_the_list(self, client, member_rows):
        client.post(
            reverse("admin:accounts_apitoken_changelist"),
            {"action": "revoke", "_selected_action": [str(member_rows["apitoken"].pk)]},
        )

        assert ApiToken.objects.get().revoked_at is not None

    def test_other_staff_read_their_own_tenants(self, client, member_rows):
        staff = UserFactory(is_staff=True, member_of=OrganizationFactory(name="Mine"))
        client.force_login(staff)

        rows = client.get(reverse("admin:accounts_organization_changelist")).content.decode()
        assert "Mine" in rows
        assert member_rows["organization"].name not in rows
        url = reverse("admin:accounts_membership_change", args=[member_rows["membership"].pk])
        assert client.get(url).status_code == 302
        assert client.get(reverse("admin:accounts_organization_add")).status_code == 403
