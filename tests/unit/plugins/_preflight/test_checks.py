# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._preflight import checks

NETWORK = "172.30.254.0/24"


def whats(findings):
    return [finding.what for finding in findings]


def test_a_broker_that_asks_the_revocation_list():
    fine = "http://127.0.0.1:8765/crl.pem"
    assert checks.revocation_list(True, "package", fine) == []
    assert "emqx_crl needs the package method" in whats(checks.revocation_list(True, "container", fine))[0]
    assert "devices_crl is off" in whats(checks.revocation_list(False, "package", fine))[0]
    for url in ("", "https://127.0.0.1:8765/crl.pem", "http://centre:8765/crl.pem", "http://127.0.0.1/crl.pem", "http://127.0.0.1:8765",
                "http://127.0.0.1:80/crl.pem", "http://127.0.0.1:65536/crl.pem", "http://127.0.0.1:8765/crl.pem; rm"):
        assert len(checks.revocation_list(True, "package", url)) == 1, url
    assert len(checks.revocation_list(False, "container", "")) == 3


def test_the_database_of_another_server():
    assert checks.database("mariadb", "package", "") == []
    # What a container left is nothing to the package, which has a place of its own.
    assert checks.database("mariadb", "package", "mysql") == []
    assert checks.database("mysql", "container", "") == checks.database("mysql", "container", "mysql") == []
    assert "what the distributions ship is MariaDB" in whats(checks.database("mysql", "package", ""))[0]
    (finding,) = checks.database("mysql", "container", "mariadb")
    assert "was made by mariadb" in finding.what and "set mysql_server to mariadb" in str(finding)


def test_64_bit_hosts_run_everything():
    assert checks.architecture("arm64", list(checks.REQUIREMENTS)) == []
    assert checks.architecture("amd64", list(checks.REQUIREMENTS)) == []


def test_armhf_may_have_telegraf_and_grafana_alone():
    refused = [finding.what.split()[0] for finding in checks.architecture("armhf", list(checks.REQUIREMENTS))]
    assert refused == ["mysql", "emqx", "influxdb", "streamlit"]
    assert "64-bit host" in str(checks.architecture("armhf", ["influxdb"])[0])


@pytest.mark.parametrize(
    ("name", "version", "fine"),
    [("debian", "12", True), ("debian", "13", True), ("debian", "11", False), ("ubuntu", "24.04", True), ("ubuntu", "22.04", False), ("fedora", "42", False)],
)
def test_distribution(name, version, fine):
    assert (checks.distribution(name, version) == []) is fine


def test_resources_name_what_is_missing():
    assert checks.resources(1024, 5000, ["mysql", "emqx", "influxdb", "telegraf", "streamlit"], []) == []
    short = checks.resources(400, 5000, ["mysql", "emqx", "influxdb"], [])
    assert len(short) == 1 and "400 MiB of memory" in short[0].what
    assert "100 MiB are free" in checks.resources(4096, 100, ["emqx"], ["emqx"])[0].what
    # What is installed already needs no further disk.
    assert checks.resources(4096, 100, ["emqx"], []) == []


def test_clock():
    now = 1_800_000_000.0
    assert checks.clock(now + 3600, now) == []
    assert "3 days ahead of" in checks.clock(now + 3 * 86400, now)[0].what
    assert "days behind" in checks.clock(0, now)[0].what


def test_ports_wanted_twice_and_held():
    mqtt = checks.Port("emqx", "emqx_tls_port", 8883)
    twin = checks.Port("grafana", "grafana_port", 8883)
    assert "wanted twice, by emqx_tls_port and grafana_port" in checks.ports([mqtt, twin], [])[0].what
    holder = {"address": "0.0.0.0", "port": 8883, "process": "mosquitto", "user": "mosquitto"}
    assert checks.ports([mqtt], [holder])[0].what == "port 8883 is held by mosquitto of the user mosquitto on 0.0.0.0"
    assert "a process of the user mosquitto" in checks.ports([mqtt], [dict(holder, process="")])[0].what
    assert checks.ports([mqtt], [dict(holder, process="beam.smp", user="emqx"), dict(holder, port=22)]) == []


def test_ports_that_the_engine_holds_for_the_component_itself():
    mqtt = checks.Port("emqx", "emqx_port", 8883)
    proxy = {"address": "0.0.0.0", "port": 8883, "process": "docker-proxy", "user": "root"}
    assert checks.ports([mqtt], [proxy], {"emqx": [8883]}) == []
    # Another component's container, or root's own program.
    assert "held by docker-proxy" in checks.ports([mqtt], [proxy], {"grafana": [8883]})[0].what
    assert "held by docker-proxy" in checks.ports([mqtt], [proxy], {"emqx": [1883]})[0].what


def test_what_listens_on_the_containers_networks_is_no_stranger():
    addresses = ["0.0.0.0", "*", "::", "172.30.254.17", "172.30.253.17"]
    listeners = [{"address": address, "port": 3306, "user": "root"} for address in addresses]
    assert [one["address"] for one in checks.elsewhere(listeners, NETWORK)] == ["0.0.0.0", "*", "::", "172.30.253.17"]
    assert checks.elsewhere(listeners, "nonsense") == listeners


def test_a_component_that_is_there_by_the_other_method_is_refused():
    wanted = {"mysql": "container", "telegraf": "container", "emqx": "package", "influxdb": "container", "grafana": "package"}
    assert checks.methods(wanted, ["grafana"], {"influxdb": []}) == []
    found = [str(finding) for finding in checks.methods(wanted, ["mysql", "telegraf"], {"emqx": [8883]})]
    assert len(found) == 3
    assert "its data in /var/lib/mysql would stay there unused" in found[0] and "set mysql_install_method to package" in found[0]
    assert "it keeps no data" in found[1]
    assert "/var/lib/edgestack/data/emqx would stay there unused" in found[2]
    assert "docker compose --project-directory /opt/edgestack/emqx down" in found[2]





@pytest.mark.parametrize(
    ("found", "packages", "codename", "what", "do"),
    [
        ({"version": "20.10.24", "compose": ""}, ["docker.io"], "bookworm", "no Compose v2", "remove docker.io"),
        ({"version": "26.1.5", "compose": ""}, ["docker.io"], "trixie", "no Compose v2", "apt-get install docker-compose"),
        ({"version": "24.0.7", "compose": ""}, ["docker.io"], "noble", "no Compose v2", "apt-get install docker-compose-v2"),
        ({"version": "28.0.0", "compose": ""}, ["docker-ce"], "bookworm", "no Compose v2", "apt-get install docker-compose-plugin"),
        ({"version": "19.03.8", "compose": "2.26.1"}, ["docker.io"], "trixie", "is 19.03.8", "upgrade it"),
    ],
)
def test_an_engine_that_cannot_run_projects_is_refused(found, packages, codename, what, do):
    (finding,) = checks.engine({"client": True, "images": [], **found}, packages, codename, NETWORK)
    assert what in finding.what and do in finding.do


def test_an_engine_that_can_or_that_is_not_there_is_no_finding():
    assert checks.engine({"client": False, "version": "", "compose": ""}, [], "bookworm", NETWORK) == []
    assert checks.engine({"client": True, "version": "26.1.5", "compose": "2.26.1-4"}, ["docker.io"], "trixie", NETWORK) == []
    # Stopped: it is started.
    assert checks.engine({"client": True, "version": "", "compose": "2.26.1"}, ["docker.io"], "trixie", NETWORK) == []


@pytest.mark.parametrize("subnet", ["", "172.30.254.7", "172.30.254.1/24", "172.30.0.0/16", "8.8.8.0/24", "fd00::/64"])
def test_the_networks_addresses_are_a_private_24(subnet):
    (finding,) = checks.engine({"client": False}, [], "trixie", subnet)
    assert "iot_container_subnet" in finding.what and "172.30.254.0/24" in finding.do


def test_groups():
    assert whats(checks.groups({"telegraf": ["a"], "influxdb": []})) == ["the group telegraf has hosts, the group influxdb has none"]
    assert checks.groups({"telegraf": ["a"], "influxdb": ["b"]}) == []
    assert checks.groups({}) == []


def test_a_device_has_one_broker():
    assert checks.sites("a", {"a": "main", "b": "river"}) == []
    (finding,) = checks.sites("a", {"a": "main", "b": "main", "c": "river"})
    assert finding.what.startswith("a and b are brokers of the same site (main)")


@pytest.mark.parametrize(
    ("version", "nodes", "licensed", "refused"),
    [
        ("5.8.9", 3, False, False),
        ("5.9.0", 1, False, False),
        ("5.9.0", 2, False, True),
        ("6.2.2", 2, True, False),
        ("4.4.19", 1, False, True),
        ("7.0.0", 1, True, True),
        ("5.0.9", 1, False, True),
    ],
)
def test_emqx(version, nodes, licensed, refused):
    assert bool(checks.emqx(version, nodes, licensed)) is refused


def test_variables_near_misses_are_refused_and_strangers_warned_of():
    known = {"emqx": {"emqx_version", "emqx_tls_port"}, "iot": {"iot_bucket"}}
    names = ["emqx_version", "emqx_verison", "emqx_nothing_like_it", "iot_bukket", "ansible_host", "emqx", "emqx_tls_prot"]
    findings, warnings = checks.variables(names, known, foreign=["emqx_tls_prot"])
    assert whats(findings) == ["the variable emqx_verison is unknown, there is emqx_version", "the variable iot_bukket is unknown, there is iot_bucket"]
    assert len(warnings) == 1 and "emqx_nothing_like_it" in warnings[0]


def test_a_broker_has_its_database_beside_it_and_its_listeners_an_address():
    members = {"emqx": ["centre", "gateway-1"], "mysql": ["centre"]}
    assert checks.broker("centre", members, "off", "") == []
    assert checks.broker("centre", members, "tcp", "10.0.0.1") == []
    (finding,) = checks.broker("gateway-1", members, "off", "")
    assert "gateway-1 is in the group emqx and not in the group mysql" in finding.what
    (finding,) = checks.broker("centre", members, "tls", "")
    assert finding.what == "emqx_password_listener is tls and emqx_password_address is empty"
    assert checks.broker("centre", {"emqx": ["centre"], "mysql": []}, "off", "") == []


def test_secrets_are_not_read_as_an_inventory(tmp_path):
    private = {"iot_secrets_dir": str(tmp_path / "site" / "secrets"), "iot_pki_dir": str(tmp_path / "elsewhere")}
    (tmp_path / "site").mkdir()
    (finding,) = checks.inventory([str(tmp_path / "site")], private, [])
    assert "holds iot_secrets_dir" in finding.what and f"-i {tmp_path}/site/hosts.yml" in finding.do
    (finding,) = checks.inventory([str(tmp_path)], private, [])
    assert "iot_pki_dir, iot_secrets_dir" in finding.what
    assert checks.inventory([str(tmp_path / "site")], private, ["^(secrets|pki|devices|profiles)$"]) == []
    assert checks.inventory([str(tmp_path / "site" / "hosts.yml"), "localhost,"], private, []) == []
    hidden = {"iot_secrets_dir": str(tmp_path / "site" / ".secrets")}
    assert checks.inventory([str(tmp_path / "site")], hidden, []) == []


def test_sensors_that_a_container_cannot_read():
    assert checks.contained_sensors({}) == checks.contained_sensors({"cellar": ""}) == []
    (found,) = checks.contained_sensors({"cellar": "", "door": "a program on the host", "meter": "the device /dev/ttyUSB0"})
    assert found.what == "Telegraf in a container cannot read the sensors door (a program on the host), meter (the device /dev/ttyUSB0)"
    assert "telegraf_install_method to package" in found.do


@pytest.mark.parametrize("value", [0, 301, -5, "10s", None, 1.5])
def test_a_loss_window_is_whole_seconds(value):
    assert whats(checks.loss_window(value)) == [f"gateway_loss_window is {value}, which is no whole number of seconds from 1 to 300"]
    assert checks.loss_window("10") == checks.loss_window(300) == checks.loss_window(1) == []


def test_a_small_gateway_has_telegraf_alone():
    stack = ["mysql", "emqx", "telegraf"]
    assert checks.small_gateway(900, "arm64", stack) == [] == checks.small_gateway(430, "arm64", ["telegraf"]) == checks.small_gateway(430, "armhf", [])
    (finding,) = checks.small_gateway(430, "arm64", stack)
    assert finding.what == "this gateway has 430 MiB of memory: it can have telegraf alone, not mysql, emqx"
    (finding,) = checks.small_gateway(900, "armhf", ["grafana", "telegraf"])
    assert "is a 32-bit system (armhf)" in finding.what and "out of the groups grafana" in finding.do
