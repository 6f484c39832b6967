# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a site's hosts look like from inside, after site.yml: services, exposure, ports, and where no secret may be.

Run by the scenario's verify.yml: pytest --hosts ssh://centre,ssh://gateway-1 --ssh-config ... with EDGESTACK_SECRETS set.
"""

from __future__ import annotations

import os
import pathlib

import pytest

# The unit of each component where it is no container.
UNITS = {
    "centre": {
        "mysql": "mariadb",
        "emqx": "emqx",
        "influxdb": "influxdb",
        "telegraf": "telegraf",
        "grafana": "grafana-server",
        "streamlit": "edgestack-streamlit",
    },
    "gateway-1": {"telegraf": "telegraf"},
}
# Ports that may be reached from other hosts; everything else listens on loopback.
OPEN = {
    "centre": {22, 8883, 1884, 8086, 3000},
    "gateway-1": {22},
}
EXPOSURE_LIMIT = 3.0


def name_of(host):
    return host.backend.get_hostname()


def contained(host, component):
    return host.file(f"/opt/edgestack/{component}/compose.yaml").exists


def units(host):
    return [unit for component, unit in UNITS[name_of(host)].items() if not contained(host, component)]


@pytest.fixture(scope="session")
def secrets():
    """Every secret that the site's store on the controller holds."""
    store = pathlib.Path(os.environ["EDGESTACK_SECRETS"])
    found = {path.name: path.read_text().strip() for path in store.iterdir() if path.is_file() and not path.name.startswith(".")}
    assert len(found) > 5
    return found


def test_services_run_and_start_at_boot(host):
    for unit in units(host):
        # After a start a gateway waits for the time, for 60 s at most.
        state = host.check_output(f"for i in $(seq 100); do systemctl is-active {unit} && break; sleep 1; done | tail -n 1")
        assert state == "active", unit
        assert host.service(unit).is_enabled, unit
    containers = [component for component in UNITS[name_of(host)] if contained(host, component)]
    for component in containers:
        state = host.check_output(f"docker inspect --format '{{{{.State.Status}}}} {{{{.HostConfig.RestartPolicy.Name}}}}' edgestack-{component}")
        assert state == "running unless-stopped", component
    assert not containers or (host.service("docker").is_running and host.service("docker").is_enabled)


def test_units_are_hardened(host):
    for unit in units(host):
        line = host.check_output(f"systemd-analyze security --no-pager {unit}.service | tail -1")
        exposure = float(line.split("level for")[1].split(":")[1].split()[0])
        assert exposure <= EXPOSURE_LIMIT, line


def test_only_the_named_ports_are_open(host):
    found = set()
    for line in host.check_output("ss -Hltn").splitlines():
        address, _colon, port = line.split()[3].rpartition(":")
        if not address.strip("[]").startswith(("127.", "::1")):
            found.add(int(port))
    assert found == OPEN[name_of(host)]


def test_no_secret_in_arguments_environments_journal_or_readable_files(host, secrets):
    values = "\n".join(secrets.values()) + "\n"
    host.run_test(f"install -m 600 /dev/null /root/needles && cat > /root/needles <<'END'\n{values}END")
    try:
        places = {
            "process arguments": "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -v needles",
            "environments": "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'",
            "the journal": "journalctl --no-pager",
        }
        for place, command in places.items():
            assert int(host.check_output(f"({command}) | grep -cFf /root/needles || true")) == 0, f"a secret is in {place}"
        readable = host.check_output(
            "find /etc /opt /var/lib /var/log /run /usr/lib/systemd /tmp /var/tmp -xdev -type f -perm -o=r -size -2M "
            "-exec grep -lFf /root/needles {} + 2>/dev/null || true"
        ).splitlines()
        # A directory that others cannot enter hides what is below it.
        open_to_all = [path for path in readable if host.run(f"setpriv --reuid 65534 --regid 65534 --clear-groups cat {path}").rc == 0]
        assert open_to_all == []
    finally:
        host.run("rm -f /root/needles")


def test_the_stack_leaves_no_temporary_files(host):
    assert host.check_output("find /etc /var/lib/edgestack -name '*.edgestack-new' -o -name '.ansible*'") == ""
