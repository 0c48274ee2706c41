import os
import signal

import psycopg
import pytest
import redis

from deploy.local import unprivileged
from deploy.local.postgres import Postgres
from deploy.local.valkey import Valkey


@pytest.fixture
def folder(tmp_path_factory):
    """pytest's folders are open to their owner alone; the server's user must pass."""
    path = tmp_path_factory.mktemp("db")
    for part in (path, *path.parents[:2]):
        part.chmod(0o711)
    return path


@pytest.fixture
def postgres(folder):
    server = Postgres(folder / "pg")
    yield server.start()
    server.stop()
    server.destroy()


@pytest.fixture
def valkey(folder):
    server = Valkey(folder / "v")
    yield server.start()
    server.stop()
    server.destroy()


def rows(server):
    with psycopg.connect(server.url) as connection:
        return connection.execute("SELECT note FROM notes").fetchall()


def write(server, note):
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (note text)")
        connection.execute("INSERT INTO notes VALUES (%s)", [note])


def test_data_survives_kill_9_of_the_postmaster(postgres):
    write(postgres, "kept")
    first = postgres.child.pid

    os.kill(first, signal.SIGKILL)
    postgres.child.process.wait()
    postgres.start()

    assert postgres.child.pid != first
    assert rows(postgres) == [("kept",)]


def test_data_survives_a_stop(postgres):
    write(postgres, "kept")

    postgres.stop()
    postgres.start()

    assert rows(postgres) == [("kept",)]


def test_starting_a_running_server_changes_nothing(postgres):
    first = postgres.child.pid

    postgres.start()

    assert postgres.child.pid == first


def test_an_interrupted_initdb_is_not_taken_for_a_cluster(folder):
    server = Postgres(folder / "pg")
    unprivileged.make_folder(server.home)
    (server.home / "data.new").mkdir()
    (server.home / "data.new" / "PG_VERSION").write_text("18\n")
    try:
        server.start()
        assert server.accepts()
    finally:
        server.stop()
        server.destroy()


def test_postgres_knows_utf8_and_utc(postgres):
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT upper('é배포')").fetchone() == ("É배포",)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)


def test_neither_server_listens_on_tcp(postgres, valkey):
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        assert client.config_get("port") == {"port": "0"}


def test_valkey_starts_again_after_kill_9(valkey):
    os.kill(valkey.child.pid, signal.SIGKILL)
    valkey.child.process.wait()

    valkey.start()

    assert valkey.accepts()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")
def test_a_folder_closed_to_the_servers_user_moves_to_a_shelter(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "pg")
    try:
        server.start()
        assert server.accepts()
        assert unprivileged.SHELTERS in server.home.parents
    finally:
        server.stop()
        server.destroy()
    assert not server.home.exists()


def test_a_folder_too_deep_for_a_socket_moves_to_a_shelter(folder):
    deep = folder / ("d" * 90)

    assert unprivileged.SHELTERS in Postgres(deep).home.parents


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_shelter_that_a_stranger_made_is_refused(tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    os.chown(taken, 12345, 12345)

    with pytest.raises(PermissionError, match="another user"):
        unprivileged.make_folder(taken)
