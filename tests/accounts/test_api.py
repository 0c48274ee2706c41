"""/api/v1/auth/… and the three ways to prove who calls."""

from datetime import timedelta
from uuid import uuid4

import jwt
import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import services
from accounts.models import ApiToken, AuditEvent, Membership, SignIn, User
from tests.factories.accounts import PASSWORD, MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_throttle_left_over():
    cache.clear()


@pytest.fixture
def member():
    return MembershipFactory(user__email="kim@example.com", user__password=PASSWORD)


def post(client, path, token=None, **body):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return client.post(
        f"/api/v1/auth/{path}", body, content_type="application/json", headers=headers
    )


def login(client, email="kim@example.com", password=PASSWORD, **more):
    return post(client, "login", email=email, password=password, **more)


def pair(client, **more):
    data = login(client, **more).json()["data"]
    return data["access_token"], data["refresh_token"]


def me(client, token, **headers):
    return client.get("/api/v1/auth/me", headers={"authorization": f"Bearer {token}", **headers})


def code(response, status):
    assert response.status_code == status, response.content
    return response.json()["error"]["code"]


class TestLogin:
    def test_claims_are_those_of_the_specification(self, client, member, settings):
        response = login(client, email="Kim@Example.com")

        data = response.json()["data"]
        assert (data["token_type"], data["expires_in"]) == ("Bearer", 900)
        assert response["Cache-Control"] == "no-store"
        claims = jwt.decode(data["access_token"], settings.JWT_KEY, algorithms=["HS256"])
        assert claims["user_id"] == str(member.user_id)
        assert claims["email"] == "kim@example.com"
        assert claims["role"] == "member"
        assert claims["workspace_id"] == str(member.organization_id)
        assert claims["exp"] - claims["iat"] == 900

    def test_the_token_says_who_and_where(self, client, member):
        MembershipFactory(user=member.user)
        access, _refresh = pair(client, organization_id=str(member.organization_id))

        data = me(client, access).json()["data"]
        assert data["email"] == "kim@example.com"
        assert data["organization_id"] == str(member.organization_id)
        assert [row["organization_id"] for row in data["memberships"]] == [
            str(member.organization_id)
        ]

    @pytest.mark.parametrize("email", ["kim@example.com", "nobody@example.com"])
    def test_a_refusal_does_not_tell_which_part_was_wrong(self, client, member, email):
        response = login(client, email=email, password="wrong")

        assert code(response, 401) == "bad_credentials"
        assert response.json()["error"]["message"] == "The email or the password is wrong."

    def test_an_inactive_person_is_refused_alike(self, client, member):
        User.objects.update(is_active=False)

        assert code(login(client), 401) == "bad_credentials"

    def test_an_old_token_does_not_block_it(self, client, member):
        response = post(client, "login", token="old", email="kim@example.com", password=PASSWORD)

        assert response.status_code == 200

    def test_another_tenants_organization(self, client, member):
        other = MembershipFactory()

        assert code(login(client, organization_id=str(other.organization_id)), 404) == "not_found"

    def test_five_failures_lock_it_for_a_while(self, client, member):
        for _try in range(4):
            assert login(client, password="wrong").status_code == 401
        locked = login(client, password="wrong")
        assert code(locked, 429) == "locked"
        assert locked["Retry-After"] == "900"
        assert code(login(client, email="KIM@example.com"), 429) == "locked"
        other = UserFactory(email="lee@example.com", password=PASSWORD)
        assert login(client, email=other.email).status_code == 200

    def test_a_flood_is_slowed_down(self, client, member):
        answers = [login(client, email=f"{n}@example.com") for n in range(31)]

        assert code(answers[-1], 429) == "throttled"
        assert int(answers[-1]["Retry-After"]) > 0

    def test_success_forgets_the_failures(self, client, member):
        for _round in range(2):
            for _try in range(4):
                login(client, password="wrong")
            assert login(client).status_code == 200

    def test_a_superuser_without_membership_is_unscoped(self, client):
        UserFactory(email="root@example.com", password=PASSWORD, superuser=True)
        MembershipFactory()
        access, _refresh = pair(client, email="root@example.com")

        assert me(client, access).json()["data"]["organization_id"] is None


class TestRefresh:
    def test_it_rotates(self, client, member):
        _access, first = pair(client)

        data = post(client, "refresh", refresh_token=first).json()["data"]

        assert data["refresh_token"] != first
        assert me(client, data["access_token"]).status_code == 200
        assert post(client, "refresh", refresh_token=data["refresh_token"]).status_code == 200

    def test_reuse_ends_the_whole_family(self, client, member):
        _access, first = pair(client)
        second = post(client, "refresh", refresh_token=first).json()["data"]

        assert code(post(client, "refresh", refresh_token=first), 401) == "token_reused"

        assert code(post(client, "refresh", refresh_token=second["refresh_token"]), 401)
        assert code(me(client, second["access_token"]), 401) == "unauthenticated"
        assert SignIn.objects.get().revoked_because == "reuse"
        assert AuditEvent.objects.filter(action="sign_in.reuse").count() == 1

    def test_another_family_lives_on(self, client, member):
        _access, first = pair(client)
        access, _refresh = pair(client)
        post(client, "refresh", refresh_token=first)
        post(client, "refresh", refresh_token=first)

        assert me(client, access).status_code == 200

    def test_an_access_token_does_not_refresh(self, client, member):
        access, refresh = pair(client)

        assert code(post(client, "refresh", refresh_token=access), 401) == "wrong_token"
        assert code(me(client, refresh), 401) == "wrong_token"

    def test_after_two_weeks_it_is_over(self, client, member):
        _access, refresh = pair(client)
        SignIn.objects.update(expires_at=timezone.now())

        assert code(post(client, "refresh", refresh_token=refresh), 401) == "unauthenticated"


class TestLogout:
    def test_both_tokens_end(self, client, member):
        access, refresh = pair(client)

        assert post(client, "logout", refresh_token=refresh).status_code == 200

        assert code(me(client, access), 401) == "unauthenticated"
        assert code(post(client, "refresh", refresh_token=refresh), 401) == "unauthenticated"
        assert post(client, "logout", refresh_token=refresh).status_code == 200


class TestForgedTokens:
    def forge(self, settings, member, key="", algorithm="HS256", **changes):
        now = timezone.now()
        sign_in = SignIn.objects.create(user=member.user, expires_at=now + timedelta(days=1))
        claims = {
            "iss": "imp-gateway",
            "sid": str(sign_in.pk),
            "typ": "access",
            "iat": now,
            "nbf": now,
            "exp": now + timedelta(minutes=5),
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, settings.JWT_KEY if key == "" else key, algorithm=algorithm)

    def test_the_forgery_itself_is_sound(self, client, member, settings):
        assert me(client, self.forge(settings, member)).status_code == 200

    @pytest.mark.parametrize(
        "changes",
        [
            {"exp": 1},
            {"exp": None},
            {"iss": "other"},
            {"sid": "nonsense"},
            {"sid": 7},
            {"sid": str(uuid4())},
            {"typ": None},
            {"typ": "refresh"},
            {"nbf": 99_999_999_999},
        ],
    )
    def test_wrong_claims(self, client, member, settings, changes):
        assert me(client, self.forge(settings, member, **changes)).status_code == 401

    def test_another_key_and_no_key(self, client, member, settings):
        other = self.forge(settings, member, key="k" * 64)
        unsigned = self.forge(settings, member, key=None, algorithm="none")

        assert me(client, other).status_code == 401
        assert me(client, unsigned).status_code == 401

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "..", "imp_a_b", "é.é.é", "x" * 9000])
    def test_garbage(self, client, db, token):
        response = me(client, token)

        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Bearer")


class TestApiTokens:
    def test_made_listed_used_and_revoked(self, client, member):
        access, _refresh = pair(client)
        made = post(client, "tokens", token=access, name="CI").json()["data"]

        assert made["token"].startswith(f"imp_{made['prefix']}_")
        assert me(client, made["token"]).status_code == 200
        headers = {"authorization": f"Bearer {access}"}
        listed = client.get("/api/v1/auth/tokens", headers=headers).json()["data"]["items"]
        assert [(row["id"], row["last_used_at"] is not None) for row in listed] == [
            (made["id"], True)
        ]
        assert "token" not in listed[0]

        revoked = post(client, f"tokens/{made['id']}/revoke", token=access)
        assert revoked.json()["data"]["revoked_at"]
        assert code(me(client, made["token"]), 401) == "unauthenticated"

    def test_a_token_cannot_make_or_revoke_tokens(self, client, member):
        token, secret = services.create_api_token(
            actor=member.user, organization_id=member.organization_id, name="CI"
        )

        assert code(post(client, "tokens", token=secret, name="More"), 403) == "permission_denied"
        assert code(post(client, f"tokens/{token.pk}/revoke", token=secret), 403)
        assert ApiToken.objects.count() == 1

    def test_members_list_their_own_and_admins_all(self, client, member):
        boss = MembershipFactory(organization=member.organization, admin=True)
        services.create_api_token(
            actor=member.user, organization_id=member.organization_id, name="CI"
        )
        colleague = UserFactory(member_of=member.organization)

        def count(user):
            client.force_login(user)
            return client.get("/api/v1/auth/tokens").json()["data"]["total"]

        assert [count(user) for user in (member.user, boss.user, colleague)] == [1, 1, 0]

    def test_a_removed_member_is_out_at_once(self, client, member):
        access, _refresh = pair(client)
        Membership.objects.all().delete()

        assert code(me(client, access), 401) == "unauthenticated"


class TestOrganizationHeader:
    def test_a_session_chooses_among_its_own(self, client, member):
        other = MembershipFactory(user=member.user)
        client.force_login(member.user)

        def organization(**headers):
            return client.get("/api/v1/auth/me", headers=headers)

        chosen = organization(**{"x-organization": str(other.organization_id)})
        assert chosen.json()["data"]["organization_id"] == str(other.organization_id)
        for wrong in (str(MembershipFactory().organization_id), "nonsense"):
            assert code(organization(**{"x-organization": wrong}), 404) == "not_found"

    def test_a_token_stays_in_its_organization(self, client, member):
        other = MembershipFactory(user=member.user)
        access, _refresh = pair(client, organization_id=str(member.organization_id))

        here = me(client, access, **{"x-organization": str(member.organization_id)})
        there = me(client, access, **{"x-organization": str(other.organization_id)})
        assert here.status_code == 200
        assert code(there, 404) == "not_found"


def test_a_session_writes_with_its_csrf_token(member):
    client = Client(enforce_csrf_checks=True)
    client.force_login(member.user)
    client.get("/account/tokens")
    csrf = client.cookies["csrftoken"].value

    response = client.post(
        "/api/v1/auth/tokens",
        {"name": "CI"},
        content_type="application/json",
        headers={"x-csrftoken": csrf},
    )

    assert response.status_code == 201


def test_the_schema_describes_the_envelope(client, db):
    response = client.get("/api/schema")
    login_answer = response.json()["paths"]["/api/v1/auth/login"]["post"]["responses"]["200"]
    schema = login_answer["content"]["application/json"]["schema"]

    assert set(schema["required"]) == {
        "success",
        "data",
        "error",
        "message",
        "request_id",
        "timestamp",
    }


def test_the_schema_is_valid_openapi(client, db):
    from openapi_spec_validator import validate

    validate(client.get("/api/schema").json())
