"""How the agent of a folder is: as it says itself, or as its disk says while none runs."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from agents.edge.state import Identity, Running, StateDir
from agents.edge.store import opened


def of(state: StateDir, version: str) -> dict[str, Any]:
    """With "gateway" when the agent that runs has answered."""
    identity = state.identity()
    running = state.running()
    shown: dict[str, Any] = {
        "running": running is not None,
        "pid": running.pid if running else None,
    }
    found = _ask(running) if running else None
    return shown | (found or _at_rest(state, identity, version))


def _ask(running: Running) -> dict[str, Any] | None:
    """What the running agent says of itself; it may be starting or ending."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(running.host, running.host)  # noqa: S104
    url = f"http://{f'[{host}]' if ':' in host else host}:{running.port}/healthz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error) if error.code == 503 else None
    except (OSError, ValueError):
        return None


def _at_rest(state: StateDir, identity: Identity, version: str) -> dict[str, Any]:
    """What the disk says while no agent runs. The gateway may be serving all the same."""
    shown: dict[str, Any] = {
        "agent_id": identity.agent_id,
        "name": identity.name,
        "cluster_id": identity.cluster_id,
        "cluster_name": identity.cluster_name,
        "server": identity.server,
        "version": version,
        "connected": False,
        "ended": "revoked" if identity.revoked else "",
    }
    if state.database.exists() and not state.is_locked():
        with opened(state.database) as store:
            saved = store.load()
        shown["generation"] = {"applied": saved.snapshot.generation}
        shown["access"] = {"applied": saved.cursor.version}
        shown["publishes"] = [
            {"id": publish.id, "revision": publish.revision}
            for publish in saved.snapshot.publishes.values()
        ]
    return shown


def as_text(shown: dict[str, Any]) -> str:
    state = "running" if shown["running"] else "not running"
    if shown["ended"]:
        state = f"{state}, {shown['ended']}"
    lines = [
        ("agent", f"{shown['name']} ({shown['agent_id']}), version {shown['version']}"),
        ("cluster", f"{shown['cluster_name']} ({shown['cluster_id']})"),
        ("state", f"{state}, pid {shown['pid']}" if shown["pid"] else state),
        ("control plane", f"{shown['server']}, {_link_words(shown)}"),
    ]
    if "gateway" in shown:
        ready = "ready" if shown["gateway"]["ready"] else "NOT READY"
        lines.append(("gateway", f"{shown['gateway']['class']}, {ready}"))
    for name in ("generation", "access"):
        if name in shown:
            numbers = ", ".join(f"{key} {value}" for key, value in shown[name].items())
            lines.append((name, numbers))
    lines.extend(("publish", _publish_words(publish)) for publish in shown.get("publishes", ()))
    if shown.get("last_error"):
        lines.append(("last error", shown["last_error"]))
    return "\n".join(f"{name:<14} {words}" for name, words in lines)


def _link_words(shown: dict[str, Any]) -> str:
    if shown["connected"]:
        return "connected"
    ago = shown.get("last_contact_s")
    return f"not connected, last contact {ago:.0f} s ago" if ago is not None else "not connected"


def _publish_words(publish: dict[str, Any]) -> str:
    words = f"{publish['id']} at {publish['revision'][:8] or 'nothing'}"
    wanted = publish.get("wanted", publish["revision"])
    if wanted != publish["revision"]:
        words += f", wanted {wanted[:8] or 'nothing'}"
    notes = [publish[name] for name in ("error", "warning") if publish.get(name)]
    return f"{words}: {'; '.join(notes)}" if notes else words
