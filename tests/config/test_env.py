import ast
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env

READERS = {"text", "boolean", "integer", "listing", "secret", "secrets", "database"}


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.delenv("X", raising=False)
    monkeypatch.delenv("X_FILE", raising=False)


def test_a_missing_variable_is_named():
    with pytest.raises(ImproperlyConfigured, match=r"X is not set; see \.env\.example"):
        env.text("X")


def test_a_file_comes_before_the_variable(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("X", "from the variable")
    monkeypatch.setenv("X_FILE", str(tmp_path / "secret"))

    assert env.text("X") == "from the file"


def test_a_missing_file_is_named(monkeypatch):
    monkeypatch.setenv("X_FILE", "/nowhere/secret")

    with pytest.raises(ImproperlyConfigured, match=r"X_FILE.*nowhere"):
        env.text("X", "default")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("on", True), ("0", False), ("no", False), ("", False)],
)
def test_booleans(monkeypatch, text, value):
    monkeypatch.setenv("X", text)

    assert env.boolean("X", default=not value) is value


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda: env.boolean("X", default=False), "maybe"),
        (lambda: env.integer("X", 1), "many"),
        (lambda: env.integer("X", 1), "-1"),
        (lambda: env.secret("X", debug_default=None), "short"),
        (lambda: env.secrets("X", debug_default=None), f"{'long' * 8},short"),
        (lambda: env.secrets("X", debug_default=None), " , "),
        (lambda: env.database("X"), "mysql://localhost/imp"),
        (lambda: env.database("X"), "postgresql://localhost"),
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch, read, value):
    monkeypatch.setenv("X", value)

    with pytest.raises(ImproperlyConfigured, match="X"):
        read()


def test_listings(monkeypatch):
    monkeypatch.setenv("X", " a, b ,,c")

    assert env.listing("X") == ["a", "b", "c"]


def test_a_database_by_address(monkeypatch):
    monkeypatch.setenv("X", "postgresql://us%40er:p%2Fw@db.example.com:5433/imp?sslmode=require")

    assert env.database("X") == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "imp",
        "USER": "us@er",
        "PASSWORD": "p/w",
        "HOST": "db.example.com",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require"},
    }


def test_a_database_by_socket_folder(monkeypatch):
    monkeypatch.setenv("X", "postgresql://postgres@/imp?host=/run/my%20pg&port=5499")
    found = env.database("X")

    assert (found["HOST"], found["PORT"], found["USER"]) == ("/run/my pg", "5499", "postgres")
    assert found["OPTIONS"] == {}


def names_read(path):
    """The variables that a module reads through config.env."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "env" and node.func.attr in READERS:
                yield ast.literal_eval(node.args[0])


def test_the_example_names_exactly_what_is_read():
    lines = Path(".env.example").read_text().splitlines()
    named = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    read = {name for path in Path("config").glob("*.py") for name in names_read(path)}

    assert named == read


def test_only_config_reads_the_environment():
    """Settings are the one place; the agent and the local supervisors are programs of their own."""
    portal = ("core", "accounts", "clusters", "catalog", "publishing", "subscriptions")
    readers = [
        str(path)
        for folder in portal
        for path in Path(folder).rglob("*.py")
        if "os.environ" in path.read_text() or "os.getenv" in path.read_text()
    ]

    assert readers == []
