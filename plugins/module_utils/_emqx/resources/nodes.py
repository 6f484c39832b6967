# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes: cluster, plugins and backups."""

from __future__ import annotations

import os
import re
import time
import typing as t

from ..._http import Fault
from ..._pki import files
from ..client import Client, EmqxError, path_of
from ..difference import Difference
from ..versions import has, need
from .common import Json, Outcome, moved, rows_of

# --- cluster ---


def cluster(
    client: Client,
    state: str,
    *,
    node: str = "",
    nodes: int | None = None,
    evacuation: dict[str, Json] | None = None,
    wait: float = 60,
    check: bool = False,
    sleep: t.Callable[[float], None] = time.sleep,
    clock: t.Callable[[], float] = time.monotonic,
) -> Outcome:
    """state: healthy, joined, left, evacuated, serving (an evacuation is ended). node: the one that is meant."""
    members = _members(client)
    outcome = Outcome()
    if state == "healthy":
        if not check:
            _wait_healthy(client, nodes, wait, sleep, clock)
    elif state in ("joined", "left"):
        if (node in members) is not (state == "joined"):
            after = [*members, node] if state == "joined" else [name for name in members if name != node]
            outcome.note("nodes", "cluster", {"nodes": members}, {"nodes": after})
            if state == "left" and len(members) == 1:
                raise EmqxError(f"{node} is the only node", "There is no cluster to leave")
            if not check:
                if state == "joined":
                    _join(client, node)
                    _wait_healthy(client, len(after), wait, sleep, clock)
                else:
                    client.delete(path_of("cluster", node, "force_leave"))
            members = after
    else:
        _evacuate(client, node, state == "evacuated", evacuation or {}, wait, check, outcome, sleep, clock)
    outcome.result.update(nodes=members, running=_running(client))
    return outcome


def _members(client: Client) -> list[str]:
    body = client.get("/cluster")
    names = body.get("nodes") if isinstance(body, dict) else None
    if not isinstance(names, list) or not names:
        raise client.unexpected("/cluster", "a cluster with its nodes")
    return [str(name) for name in names]


def _running(client: Client) -> list[str]:
    rows = rows_of(client, client.get("/nodes"), "/nodes")
    return [str(row.get("node")) for row in rows if str(row.get("node_status")).lower() == "running"]


def _join(client: Client, node: str) -> None:
    try:
        client.put(path_of("cluster", node, "invite"), {} if has(client.server(), "invite_body") else None, empty=True)
    except Fault as fault:
        if "license" in fault.message.lower():
            fault.amend(hint="From 5.9 on more than one node needs a licence key (emqx_license)")
        elif fault.status == 400:
            fault.amend(hint="The node must run, have the same cookie and version, and be reached by its name on the ports 4370 and 5370")
        raise


def _wait_healthy(client: Client, nodes: int | None, wait: float, sleep: t.Callable[[float], None], clock: t.Callable[[], float]) -> None:
    end = clock() + wait
    while True:
        members, running = _members(client), _running(client)
        stopped = [name for name in members if name not in running]
        if not stopped and (nodes is None or len(running) >= nodes):
            return
        if clock() >= end:
            problem = f"{', '.join(stopped)} not running" if stopped else f"{len(running)} of {nodes} nodes"
            raise EmqxError(f"the cluster is not healthy after {wait:g} s: {problem}", "Look at the service and the log of that node, and at the network")
        sleep(0.5)


def _evacuate(
    client: Client,
    node: str,
    away: bool,
    options: dict[str, Json],
    wait: float,
    check: bool,
    outcome: Outcome,
    sleep: t.Callable[[float], None],
    clock: t.Callable[[], float],
) -> None:
    need(client.server(), "evacuation", "state")
    now = _evacuations(client)
    if (node in now) is not away:
        outcome.note("evacuation", f"node {node}", {"evacuated": node in now}, {"evacuated": away})
        if check:
            return
        path = path_of("load_rebalance", node, "evacuation", "start" if away else "stop")
        client.post(path, options if away else None)
    if not away or check:
        return
    end = clock() + wait
    while True:
        status = _evacuations(client).get(node) or {}
        left = int(((status.get("stats") or {}).get("current_connected")) or 0)
        if str(status.get("state")) == "prohibiting":
            return
        if clock() >= end:
            raise EmqxError(f"the evacuation of {node} is {status.get('state')} after {wait:g} s, {left} clients are connected", "Give it more time")
        sleep(0.5)


def _evacuations(client: Client) -> dict[str, dict[str, Json]]:
    body = client.get("/load_rebalance/global_status")
    rows = body.get("evacuations") if isinstance(body, dict) else None
    return {str(row.get("node")): row for row in rows_of(client, rows, "/load_rebalance/global_status")}


# --- plugins ---

_PLUGIN = re.compile(r"[a-z][A-Za-z0-9_]*-\d[A-Za-z0-9.+-]*")


def plugin(
    client: Client,
    name: str,
    state: str,
    *,
    src: str | None = None,
    position: str | None = None,
    config: dict[str, Json] | None = None,
    check: bool = False,
) -> Outcome:
    """One plugin (NAME-VERSION), installed from a package that lies on this host. state: present, started, stopped, absent."""
    if not _PLUGIN.fullmatch(name):
        raise EmqxError(f"name {name!r} is no plugin", "Write it with its version, for example emqx_plugin_template-5.1.0")
    if config is not None:
        need(client.server(), "plugin_config", "config")
    path = path_of("plugins", name)
    current = client.find(path)
    outcome = Outcome(result={"name": name})
    running = _plugin_runs(current)
    if state == "absent":
        if current is not None:
            outcome.note("state", f"plugin {name}", {"state": "started" if running else "stopped"}, {"state": "absent"})
            if not check:
                client.delete(path)
        return outcome
    if current is None:
        if not src:
            raise EmqxError(f"plugin {name} is not installed, and src is not given", "Give src, a package on the host that runs the module")
        content = _package(src)
        outcome.note("state", f"plugin {name}", {"state": "absent"}, {"state": "stopped"})
        if not check:
            _install(client, name, content)
    if config is not None:
        have = client.get(f"{path}/config") if current is not None else {}
        difference = Difference(config, have if isinstance(have, dict) else {})
        outcome.add(difference, f"configuration of plugin {name}")
        if difference.changed and not check:
            client.put(f"{path}/config", difference.body())
    if position is not None:
        _place(client, name, position, current is None, check, outcome)
    if state in ("started", "stopped") and running is not (state == "started"):
        outcome.note("running", f"plugin {name}", {"running": running}, {"running": state == "started"})
        if not check:
            client.put(f"{path}/{'start' if state == 'started' else 'stop'}", empty=True)
            if _plugin_runs(client.get(path)) is not (state == "started"):
                raise EmqxError(f"plugin {name} is not {state}, although EMQX said so", "Look at EMQX's log")
    outcome.result["running"] = running if state == "present" else state == "started"
    return outcome


def _plugin_runs(current: Json) -> bool:
    rows = current.get("running_status") if isinstance(current, dict) else None
    return bool(rows) and all(row.get("status") == "running" for row in rows or [])


def _package(src: str) -> bytes:
    try:
        with open(src, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise EmqxError(f"cannot read src {src} ({error})", "The file must be on the host that runs the module") from error
    if not content.startswith(b"\x1f\x8b"):
        raise EmqxError(f"src {src} is no .tar.gz", "Give the file as it was made or loaded")
    return content


def _install(client: Client, name: str, content: bytes) -> None:
    try:
        client.upload("/plugins/install", "plugin", f"{name}.tar.gz", content)
    except Fault as fault:
        if fault.status == 403:
            fault.amend(hint=f"Newer versions take a plugin only after `emqx ctl plugins allow {name}` on the server")
        raise


def _place(client: Client, name: str, position: str, new: bool, check: bool, outcome: Outcome) -> None:
    order = [f"{row.get('name')}-{row.get('rel_vsn')}" for row in rows_of(client, client.get("/plugins"), "/plugins")]
    if new and check:
        order.append(name)
    wanted = moved(order, name, position)
    if wanted != order:
        outcome.note("position", "plugins", {"order": order}, {"order": wanted})
        if not check:
            client.post(f"{path_of('plugins', name)}/move", {"position": position})


# --- backups ---


def backups(client: Client) -> list[dict[str, Json]]:
    """What is there, the newest first."""
    need(client.server(), "data_backup", "state")
    return rows_of(client, client.pages("/data/files", limit=100), "/data/files")


def backup(
    client: Client,
    state: str,
    *,
    filename: str | None = None,
    src: str | None = None,
    dest: str = "",
    check: bool = False,
) -> Outcome:
    """state: listed, exported (a change each time), downloaded, imported (a change each time), absent."""
    if dest:
        directory = os.path.dirname(dest) or "."
        if not os.path.isdir(directory) or not os.access(directory, os.W_OK):
            raise EmqxError(f"dest {dest} cannot be written: {directory} is no directory that this user may write to", "Make it first")
    there = backups(client)
    row = next((one for one in there if one.get("filename") == filename), None)
    outcome = Outcome(result={"backups": there})
    if state == "exported":
        outcome.note("export", "backups", {}, {"exported": True})
        if not check:
            answer = client.post("/data/export", {})
            if not isinstance(answer, dict) or not isinstance(answer.get("filename"), str):
                raise client.unexpected("/data/export", "a backup")
            outcome.result.update(filename=answer["filename"], backups=[answer, *there])
            if dest:
                _download(client, answer, dest, False, Outcome())
    elif state == "downloaded":
        if row is None:
            raise EmqxError(f"there is no backup {filename}", f"There are: {', '.join(str(one.get('filename')) for one in there) or 'none'}")
        _download(client, row, dest, check, outcome)
    elif state == "imported":
        _import(client, filename, src, row, check, outcome)
    elif state == "absent" and row is not None:
        outcome.note("state", f"backup {filename}", {"state": "present"}, {"state": "absent"})
        outcome.result["backups"] = [one for one in there if one is not row]
        if not check:
            client.delete(path_of("data", "files", str(filename)), {"node": row.get("node")})
    return outcome


def _download(client: Client, row: dict[str, Json], dest: str, check: bool, outcome: Outcome) -> None:
    name = str(row["filename"])
    content = client.download(path_of("data", "files", name), {"node": row.get("node")})
    size = row.get("size")
    if not content.startswith(b"\x1f\x8b") or (isinstance(size, int) and size != len(content)):
        raise client.unexpected(f"/data/files/{name}", f"the backup of {size} bytes")
    try:
        if files.read_optional(dest) == content:
            return
        outcome.note("dest", dest, {}, {"size": len(content)})
        if not check:
            files.write_atomic(dest, content)
    except OSError as error:
        raise EmqxError(f"cannot write dest {dest} ({error})", f"The backup stays on the server as {name}") from error


def _import(client: Client, filename: str | None, src: str | None, row: dict[str, Json] | None, check: bool, outcome: Outcome) -> None:
    content = None
    if src is not None:
        content = _package(src)
        filename = os.path.basename(src)
    elif row is None:
        raise EmqxError(f"there is no backup {filename}", "Name one that is there, or give src")
    outcome.note("import", "backups", {}, {"imported": filename})
    outcome.result["filename"] = filename
    if check:
        return
    if content is not None:
        client.upload("/data/files", "filename", str(filename), content)
    client.post("/data/import", {"filename": filename, **({"node": row["node"]} if row and row.get("node") else {})})
