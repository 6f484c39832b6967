# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices: certificates and rows of thousands, beside a bare script and beside a loop of tasks."""

from __future__ import annotations

import collections.abc
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

import common
from common import BenchError, Row, Run

HERE = pathlib.Path(__file__).parent
LOOP = 50
# Where device_registry keeps its record on a broker's host, which this machine is for a moment.
RECORD = pathlib.Path("/var/lib/edgestack/state/device_registry.json")

CERTIFICATES = """
- hosts: all
  gather_facts: false
  tasks:
    - edgestack.iot.pki_authority: {{path: pki, passphrase: a-passphrase-of-the-bench, common_name: Bench CA}}
    - edgestack.iot.pki_device_certificates:
        authority_dir: pki
        passphrase: a-passphrase-of-the-bench
        path: devices
        devices_file: {file}
        crl_urls: ["http://127.0.0.1:8765/crl.pem"]
"""
ROWS = """
- hosts: all
  gather_facts: false
  tasks:
    - edgestack.iot.device_registry: {{path: devices, devices_file: {file}, login_unix_socket: {socket}}}
"""
LOOPED = """
- hosts: all
  gather_facts: false
  vars:
    names: "{{{{ range({count}) | map('regex_replace', '^', 'device-') | list }}}}"
  tasks:
    - ansible.builtin.file: {{path: "{{{{ playbook_dir }}}}/loop/{{{{ item }}}}", state: directory, mode: "0700"}}
      loop: "{{{{ names }}}}"
    - community.crypto.openssl_privatekey:
        path: "{{{{ playbook_dir }}}}/loop/{{{{ item }}}}/device.key"
        type: ECC
        curve: secp256r1
      loop: "{{{{ names }}}}"
    - community.crypto.openssl_csr:
        path: "{{{{ playbook_dir }}}}/loop/{{{{ item }}}}/device.csr"
        privatekey_path: "{{{{ playbook_dir }}}}/loop/{{{{ item }}}}/device.key"
        common_name: "{{{{ item }}}}"
        extended_key_usage: [clientAuth]
      loop: "{{{{ names }}}}"
    - community.crypto.x509_certificate:
        path: "{{{{ playbook_dir }}}}/loop/{{{{ item }}}}/device.pem"
        csr_path: "{{{{ playbook_dir }}}}/loop/{{{{ item }}}}/device.csr"
        provider: ownca
        ownca_path: "{{{{ playbook_dir }}}}/pki/ca.pem"
        ownca_privatekey_path: "{{{{ playbook_dir }}}}/pki/ca.key"
        ownca_privatekey_passphrase: a-passphrase-of-the-bench
      loop: "{{{{ names }}}}"
    - community.mysql.mysql_query:
        login_unix_socket: {socket}
        login_db: loop
        query: "INSERT INTO mqtt_user (username, password_hash, salt) VALUES (%s, 'x', 'y') ON DUPLICATE KEY UPDATE password_hash = 'x'"
        positional_args: ["{{{{ item }}}}"]
      loop: "{{{{ names }}}}"
"""


@contextlib.contextmanager
def database() -> collections.abc.Iterator[str]:
    """A MariaDB of the bench's own, with the settings of its package but for the place."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    server, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if server is None or install is None:
        raise BenchError("mariadbd and mariadb-install-db are needed (the package mariadb-server)")
    data, socket = common.SCRATCH / "mysql", f"/tmp/edgestack-bench-{os.getpid()}.sock"
    user = [] if os.getuid() else ["--user=root"]
    common.run(install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", *user)
    with subprocess.Popen(
        [server, "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking", *user], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            end = time.monotonic() + 60
            while not os.path.exists(socket):
                if process.poll() is not None or time.monotonic() > end:
                    raise BenchError("the database server does not start")
                time.sleep(0.05)
            yield socket
        finally:
            process.terminate()
            process.wait(30)


def statement(socket: str, text: str, database_name: str | None = None) -> None:
    import pymysql

    with pymysql.connect(unix_socket=socket, user="root", database=database_name, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(text)


def listed(count: int) -> pathlib.Path:
    path = common.SCRATCH / f"devices-{count}.csv"
    path.write_text("id,profile\n" + "".join(f"device-{number:05d},raspberrypi\n" for number in range(count)))
    return path


def certificates(count: int) -> tuple[Run, Run]:
    text = CERTIFICATES.format(file=listed(count))
    directory = common.SCRATCH / f"certificates-{count}"
    directory.mkdir()
    first, again = common.playbook(text, directory), common.playbook(text, directory)
    made = sum(1 for _path in (directory / "devices").glob("*/device.pem"))
    if made != count or "changed=0" not in again.output:
        raise BenchError(f"{made} of {count} devices have a certificate, or the second run changed something:\n{again.output[-1000:]}")
    return first, again


def rows() -> collections.abc.Iterator[Row]:
    if RECORD.exists():
        raise BenchError(f"{RECORD} is there: this machine is a broker's host, and the bench would disturb it")
    shutil.rmtree(common.SCRATCH, ignore_errors=True)
    common.SCRATCH.mkdir(parents=True)
    with database() as socket:
        loop = looped(socket)
        for count, extra in ((1000, 3.0), (10000, 6.0)):
            yield from certificate_rows(count, extra, loop)
        yield from registry_rows(socket, loop)
        yield from loop_rows(socket, loop)
    shutil.rmtree(common.SCRATCH)


def certificate_rows(count: int, extra: float, loop: Run) -> collections.abc.Iterator[Row]:
    bare = [common.run(sys.executable, HERE / "bare_certificates.py", common.SCRATCH / f"bare-{count}", str(count), *words) for words in ([], ["check"])]
    first, again = certificates(count)
    times = f"a loop of tasks, extrapolated from {LOOP} devices in this run: {loop.seconds / LOOP * count:.0f} s"
    limit = bare[0].seconds * 1.5 + extra
    yield Row(f"devices {count} certificates first", "s", first.seconds, bare[0].seconds, "bare script", limit, f"1.5 x bare + {extra:.0f} s", times)
    yield Row(f"devices {count} certificates no change", "s", again.seconds, bare[1].seconds, "bare script", 6.0, "a few seconds")
    if count == 10000:
        yield Row("devices 10000 certificates memory", "MB", max(first.megabytes, again.megabytes), limit=300, limit_name="of all processes together")


def registry_rows(socket: str, loop: Run) -> collections.abc.Iterator[Row]:
    for name in ("bare", "mqtt"):
        statement(socket, f"CREATE DATABASE {name}")
    bare = [common.run(sys.executable, HERE / "bare_rows.py", socket, "10000", *words) for words in ([], ["check"])]
    text = ROWS.format(file=common.SCRATCH / "devices-10000.csv", socket=socket)
    directory = common.SCRATCH / "rows"
    directory.mkdir()
    try:
        runs = [common.playbook(text, directory) for _number in range(2)]
    finally:
        RECORD.unlink(missing_ok=True)
    if "changed=1" not in runs[0].output or "changed=0" not in runs[1].output:
        raise BenchError(f"the rows were not written once:\n{runs[1].output[-1000:]}")
    for what, ours, peer in (("first", runs[0], bare[0]), ("no change", runs[1], bare[1])):
        yield Row(f"devices 10000 rows {what}", "s", ours.seconds, peer.seconds, "bare script", peer.seconds * 1.5 + 6, "1.5 x bare + 6 s")
    yield Row("devices 10000 rows memory", "MB", max(run.megabytes for run in runs), limit=300, limit_name="of all processes together")


def looped(socket: str, **environment: str) -> Run:
    directory = common.SCRATCH / ("loop-mitogen" if environment else "loop")
    directory.mkdir()
    statement(socket, "CREATE DATABASE IF NOT EXISTS `loop`")
    statement(
        socket, "CREATE TABLE IF NOT EXISTS mqtt_user (username VARCHAR(100) PRIMARY KEY, password_hash VARCHAR(100), salt VARCHAR(35))", "loop"
    )
    # The authority is made before, by ours.
    common.playbook(CERTIFICATES.format(file=listed(0)), directory)
    return common.playbook(LOOPED.format(count=LOOP, socket=socket), directory, **environment)


def loop_rows(socket: str, loop: Run) -> collections.abc.Iterator[Row]:
    name, per = "community.crypto and community.mysql", loop.seconds / LOOP
    directory = common.SCRATCH / "fifty"
    directory.mkdir()
    file = listed(LOOP)
    try:
        statement(socket, "DROP DATABASE mqtt")
        statement(socket, "CREATE DATABASE mqtt")
        ours = common.playbook(CERTIFICATES.format(file=file) + ROWS.format(file=file, socket=socket), directory)
    finally:
        RECORD.unlink(missing_ok=True)
    yield Row(f"devices {LOOP} all", "s", ours.seconds, loop.seconds, name, note=f"the loop takes {per:.2f} s a device, changed or not")
    try:
        mitogen = mitogen_environment()
        fast = looped(socket, **mitogen)
    except BenchError as error:
        yield Row(f"devices {LOOP} all with mitogen", "s", ours.seconds, None, "mitogen", note=f"not measured: {' '.join(str(error).split())[-300:]}")
        return
    yield Row(f"devices {LOOP} all with mitogen", "s", ours.seconds, fast.seconds, f"{name}, mitogen", note=f"{fast.seconds / LOOP:.2f} s a device")


def mitogen_environment() -> dict[str, str]:
    """Mitogen, in a directory of the bench's own."""
    place = common.SCRATCH / "mitogen"
    common.run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", place, "mitogen")
    return {"ANSIBLE_STRATEGY_PLUGINS": str(place / "ansible_mitogen" / "plugins" / "strategy"), "ANSIBLE_STRATEGY": "mitogen_linear", "PYTHONPATH": str(place)}
