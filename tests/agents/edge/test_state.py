"""What an agent keeps: identity, lock, and the database of what it serves."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys

import pytest

from agents.edge.model import Publish, Snapshot
from agents.edge.state import Identity, Locked, NotJoined, Running, StateDir, StateError
from agents.edge.store import Cursor, Refusal, Turn, opened
from agents.wire import agent_pb2, bundle_pb2

IDENTITY = Identity("agent-id", "cluster-id", "seoul-1", "edge-1", "127.0.0.1:9443", plaintext=True)


def bundle(publish_id: str) -> tuple[str, bytes]:
    body = json.dumps({"schema": 1, "publish_id": publish_id}).encode()
    return hashlib.sha256(body).hexdigest(), body


def publish(publish_id: str) -> Publish:
    digest, _ = bundle(publish_id)
    return Publish(publish_id, digest, bundle_pb2.Bundle(schema=1, publish_id=publish_id))


# --- identity ---


def test_an_identity_is_read_as_it_was_written(state: StateDir) -> None:
    state.save_identity(IDENTITY)

    assert state.identity() == IDENTITY


def test_fields_of_a_newer_version_are_ignored(state: StateDir) -> None:
    state.save_identity(IDENTITY)
    held = json.loads(state.identity_file.read_text())
    state.identity_file.write_text(json.dumps({**held, "added_later": 1}))

    assert state.identity() == IDENTITY


def test_a_folder_nobody_joined_with_says_what_to_do(state: StateDir) -> None:
    with pytest.raises(NotJoined, match="imp-agent join"):
        state.identity()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"agent_id": "a"}'])
def test_a_damaged_identity_says_what_to_do(state: StateDir, content: str) -> None:
    state.identity_file.write_text(content)

    with pytest.raises(StateError, match="join again"):
        state.identity()


def test_the_key_is_made_once(state: StateDir) -> None:
    first, second = state.make_key(), state.make_key()

    assert first.private_bytes_raw() == second.private_bytes_raw()
    assert stat.S_IMODE(state.key_file.stat().st_mode) == 0o600


def test_a_damaged_key_says_what_to_do(state: StateDir) -> None:
    state.key_file.write_text("nothing")

    with pytest.raises(StateError, match="is damaged"):
        state.key()


def test_a_folder_others_may_enter_is_closed(state: StateDir) -> None:
    state.path.chmod(0o755)
    state.create()

    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700


def test_a_file_in_the_way_is_named(state: StateDir) -> None:
    state.lock_file.write_text("")

    with pytest.raises(StateError, match="is not a folder"):
        StateDir(state.lock_file).create()


# --- lock ---


def test_only_one_agent_runs_on_a_folder(state: StateDir) -> None:
    with state.locked():
        assert state.is_locked()
        with pytest.raises(Locked, match="imp-agent stop"), state.locked(patience=0.1):
            pass

    assert not state.is_locked()


def test_the_lock_of_a_killed_agent_is_gone(state: StateDir) -> None:
    code = (
        "import sys, time; from pathlib import Path; from agents.edge.state import *\n"
        f"state = StateDir(Path({str(state.path)!r}))\n"
        "with state.locked(), state.announced(Running(1, 'h', 1)):\n"
        "    print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        assert state.is_locked()
        assert state.running() == Running(1, "h", 1)
        child.kill()
        child.wait()

    assert not state.is_locked()
    assert state.running() is None


# --- database ---


def test_what_is_recorded_is_loaded(state: StateDir) -> None:
    digest, body = bundle("billing")
    result = agent_pb2.DeployResult(deployment_id="d1", revision=digest)
    refusal = Refusal("refund", "0" * 64, "d2", "no", 1.0)
    turn = Turn(
        Snapshot(5, {"billing": publish("billing")}, 3, ("127.0.0.0/8",), ("10.0.0.0/8",)),
        proofs={"billing": result},
        refusals={"refund": refusal},
        answers=(result,),
    )
    with opened(state.database) as store:
        assert store.is_new
        store.keep_bundles({digest: body})
        store.record(turn)
    with opened(state.database) as store:
        saved = store.load()

    assert not store.is_new
    assert saved.snapshot == turn.snapshot
    assert saved.proofs == {"billing": result}
    assert saved.refusals == {"refund": refusal}
    assert saved.answers == {"d1": result}


def test_the_database_is_private(state: StateDir) -> None:
    old = os.umask(0)
    try:
        with opened(state.database) as store:
            store.keep_bundles({"a": b"b"})
            modes = {stat.S_IMODE(path.stat().st_mode) for path in state.path.glob("agent.db*")}
    finally:
        os.umask(old)

    assert modes == {0o600}


def test_a_forgotten_publish_stays_forgotten(state: StateDir) -> None:
    with opened(state.database) as store:
        store.keep_bundles(dict([bundle("billing"), bundle("refund")]))
        store.record(Turn(Snapshot(1, {each: publish(each) for each in ("billing", "refund")})))
        store.forget(["billing"])
    with opened(state.database) as store:
        assert store.load().snapshot.publishes.keys() == {"refund"}


def test_bundles_nobody_serves_are_cleaned_away(state: StateDir) -> None:
    digest, body = bundle("billing")
    with opened(state.database) as store:
        store.keep_bundles({digest: body})
        store.record(Turn(Snapshot(1, {"billing": publish("billing")})))
        assert store.bundles([digest]) == {digest: body}
        store.record(Turn(Snapshot(2, {})))
        assert store.bundles([digest]) == {}


def test_a_stored_bundle_that_rotted_is_not_served(state: StateDir) -> None:
    digest, _ = bundle("billing")
    with opened(state.database) as store:
        store.keep_bundles({digest: b"rotten"})
        store.record(Turn(Snapshot(1, {"billing": publish("billing")})))

        assert store.load().snapshot.publishes == {}


def test_access_entries_and_their_cursor_are_kept_together(state: StateDir) -> None:
    entries = [bundle_pb2.AccessEntry(id=each, kind="key", digest=each * 64) for each in "abc"]
    tombstone = bundle_pb2.AccessEntry(id="a", deleted=True)
    with opened(state.database) as store:
        store.keep_access(entries, Cursor("l1", 3, 3, "c"), full=True)
        store.keep_access([tombstone], Cursor("l1", 4, 4, "a"), full=False)
        saved = store.load()
        assert {entry.id for entry in saved.entries} == {"b", "c"}
        assert saved.cursor == Cursor("l1", 4, 4, "a")

        store.keep_access([entries[0]], Cursor("l2", 1, 1, "a"), full=True)
        assert {entry.id for entry in store.load().entries} == {"a"}


def test_a_damaged_database_is_put_aside_and_begun_anew(state: StateDir) -> None:
    state.database.write_bytes(b"this is no database" * 1000)
    with opened(state.database) as store:
        assert store.is_new
        assert store.load().snapshot.publishes == {}

    assert len(list(state.path.glob("agent.damaged-*"))) == 1
