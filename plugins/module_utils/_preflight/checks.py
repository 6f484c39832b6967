# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can be refused before anything is changed. Pure functions: facts and variables in, findings out."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import re
import typing as t


@dataclasses.dataclass(frozen=True)
class Finding:
    """One reason not to begin: what is wrong, and what to do."""

    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.what}. {self.do}"


@dataclasses.dataclass(frozen=True)
class Requirement:
    """What a component needs of its host: architectures in Debian's words, memory and disk in MiB, the user it listens as."""

    architectures: tuple[str, ...]
    memory_mb: int
    disk_mb: int
    user: str
    instead: str = ""
    """What to use where the architecture has no build."""


_64_BIT = ("amd64", "arm64")
REQUIREMENTS: dict[str, Requirement] = {
    # EMQX dropped armhf; InfluxDB 2, MySQL and pyarrow (Streamlit) never had, or no longer have, 32-bit builds.
    "mysql": Requirement(_64_BIT, 96, 400, "mysql", "keep the database on a 64-bit host"),
    "emqx": Requirement(_64_BIT, 256, 300, "emqx", "let the devices connect to the broker of a 64-bit host"),
    "influxdb": Requirement(_64_BIT, 160, 600, "influxdb", "let Telegraf write to the InfluxDB of a 64-bit host"),
    "telegraf": Requirement(("amd64", "arm64", "armhf"), 48, 200, "telegraf"),
    "grafana": Requirement(("amd64", "arm64", "armhf"), 128, 600, "grafana"),
    "streamlit": Requirement(_64_BIT, 128, 900, "streamlit", "run the app on a 64-bit host"),
}

SUPPORTED_RELEASES = {"debian": ("12", "13"), "raspbian": ("12", "13"), "ubuntu": ("24.04",)}

# What a component cannot do without: at least one host in each of these groups.
NEEDS = {
    "emqx": ("mysql",),
    "telegraf": ("influxdb",),
    "grafana": ("influxdb",),
    "streamlit": ("influxdb",),
}

# not_before of a certificate lies a day in the past, so a clock that is further off refuses every certificate.
CLOCK_TOLERANCE = 86400.0


def architecture(found: str, components: t.Iterable[str]) -> list[Finding]:
    """Components that have no build for the host's userland."""
    out = []
    for component in components:
        requirement = REQUIREMENTS[component]
        if found not in requirement.architectures:
            have = ", ".join(requirement.architectures)
            do = requirement.instead or "use another host for it"
            out.append(
                Finding(
                    f"{component} does not exist for {found} (dpkg --print-architecture), only for {have}",
                    f"Do: {do}, or install a 64-bit system",
                )
            )
    return out


def distribution(name: str, version: str) -> list[Finding]:
    """Distributions on which the collection is not tested."""
    if version in SUPPORTED_RELEASES.get(name, ()):
        return []
    known = "; ".join(f"{key} {', '.join(value)}" for key, value in SUPPORTED_RELEASES.items())
    return [Finding(f"{name} {version} is not supported", f"Do: use one of {known}")]


def resources(memory_mb: int, free_disk_mb: int, components: t.Sequence[str], missing: t.Collection[str]) -> list[Finding]:
    """Too little memory for what runs here, or disk for what is not installed yet (missing)."""
    out = []
    memory = sum(REQUIREMENTS[component].memory_mb for component in components)
    if memory_mb < memory:
        out.append(
            Finding(
                f"{memory_mb} MiB of memory, {memory} MiB are needed for {', '.join(components)}", "Do: move a component to another host"
            )
        )
    disk = sum(REQUIREMENTS[component].disk_mb for component in missing)
    if free_disk_mb < disk:
        out.append(
            Finding(f"{free_disk_mb} MiB are free below /var/lib, {disk} MiB are needed to install {', '.join(missing)}", "Do: free space")
        )
    return out


def clock(host: float, controller: float) -> list[Finding]:
    """A clock with which TLS cannot work."""
    away = host - controller
    if abs(away) <= CLOCK_TOLERANCE:
        return []
    where = "ahead of" if away > 0 else "behind"
    return [
        Finding(
            f"the host's clock is {abs(away) / 86400:.0f} days {where} the controller's",
            "Do: set it (timedatectl, NTP); certificates would be refused",
        )
    ]


@dataclasses.dataclass(frozen=True)
class Port:
    """A TCP port that a component will listen on, and the variable that sets it."""

    component: str
    variable: str
    port: int


def ports(
    wanted: t.Sequence[Port], listeners: t.Iterable[t.Mapping[str, t.Any]], projects: t.Mapping[str, t.Collection[int]] | None = None
) -> list[Finding]:
    """Ports that two components want, or that something else on the host holds.

    projects: the ports that the containers of each component publish. The engine holds those, as root.
    """
    out = []
    first: dict[int, Port] = {}
    for port in wanted:
        other = first.setdefault(port.port, port)
        if other is not port:
            out.append(Finding(f"port {port.port} is wanted twice, by {other.variable} and {port.variable}", "Do: change one of them"))
    for listener in listeners:
        mine = first.get(int(listener["port"]))
        if mine is None or (listener["user"] == "root" and mine.port in (projects or {}).get(mine.component, ())):
            continue
        if listener["user"] != REQUIREMENTS[mine.component].user:
            holder = f"{listener['process'] or 'a process'} of the user {listener['user']}"
            out.append(
                Finding(
                    f"port {mine.port} is held by {holder} on {listener['address']}", f"Do: stop it, or set {mine.variable} to a free port"
                )
            )
    return out


# Where a component keeps its data as a package; as a container it is below /var/lib/edgestack/data.
_PACKAGE_DATA = {
    "mysql": "/var/lib/mysql",
    "emqx": "/var/lib/emqx",
    "influxdb": "/var/lib/influxdb",
    "grafana": "/var/lib/grafana",
}


def elsewhere(listeners: t.Iterable[t.Mapping[str, t.Any]], subnet: str) -> list[t.Mapping[str, t.Any]]:
    """Without those on the containers' own networks: what listens there is the collection's, and hands on to the component itself."""
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError:
        return list(listeners)
    out = []
    for listener in listeners:
        try:
            inside = ipaddress.ip_address(str(listener["address"])) in network
        except ValueError:
            inside = False  # "*" is every address
        if not inside:
            out.append(listener)
    return out


def methods(wanted: t.Mapping[str, str], installed: t.Collection[str], projects: t.Collection[str]) -> list[Finding]:
    """Components that are already on the host by the other method. wanted: method by component; installed: those that are packages."""
    out = []
    for component, method in wanted.items():
        option = f"{component}_install_method"
        if method == "container" and component in installed:
            kept = f"its data in {_PACKAGE_DATA[component]} would stay there unused" if component in _PACKAGE_DATA else "it keeps no data"
            out.append(
                Finding(
                    f"{component} is installed here as a package and {option} is container: two would want the same ports, and {kept}",
                    f"Do: set {option} to package, or stop and remove the package first",
                )
            )
        if method == "package" and component in projects:
            out.append(
                Finding(
                    f"{component} is a container here and {option} is package: two would want the same ports, and what is below "
                    f"/var/lib/edgestack/data/{component} would stay there unused",
                    f"Do: set {option} to container, or first remove the container (docker compose --project-directory "
                    f"/opt/edgestack/{component} down) and /opt/edgestack/{component}/compose.yaml",
                )
            )
    return out


def database(server: str, method: str, made_by: str) -> list[Finding]:
    """The database's server, how it is installed, and which one made the data that its container has."""
    if server == "mysql" and method == "package":
        return [
            Finding(
                "mysql_server is mysql and mysql_install_method is package, but what the distributions ship is MariaDB",
                "Do: set mysql_install_method to container, or mysql_server to mariadb",
            )
        ]
    if method == "container" and made_by and made_by != server:
        return [
            Finding(
                f"mysql_server is {server}, and the data in /var/lib/edgestack/data/mysql was made by {made_by}: the one cannot read the other's",
                f"Do: set mysql_server to {made_by}, or stop the container and move that directory away: site.yml then fills a new database with "
                "the devices of the inventory",
            )
        ]
    return []


# Compose v2 wants at least this engine.
_OLDEST_ENGINE = (20, 10)


def engine(found: t.Mapping[str, t.Any], packages: t.Collection[str], codename: str, subnet: str) -> list[Finding]:
    """A Docker engine that is there but cannot run Compose v2 projects, and addresses for the networks that are none.

    found: as M(edgestack.iot.host_info) says. An engine that is not there is installed, so that is no finding.
    """
    out = []
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError:
        network = None
    if network is None or network.prefixlen != 24 or not network.is_private:
        out.append(
            Finding(f"iot_container_subnet is {subnet!r}", "Do: set it to a private IPv4 network of 256 addresses, such as 172.30.254.0/24")
        )
    if not found["client"]:
        return out
    if found["version"] and version_tuple(found["version"])[:2] < _OLDEST_ENGINE:
        out.append(
            Finding(
                f"the Docker engine here is {found['version']}, and Compose v2 wants 20.10 or newer",
                "Do: upgrade it, which stops its containers for that time",
            )
        )
    if not found["compose"]:
        if "docker-ce" in packages:
            do = "apt-get install docker-compose-plugin"
        elif codename in _PACKAGED_COMPOSE:
            do = f"apt-get install {_PACKAGED_COMPOSE[codename]}"
        else:
            do = "remove docker.io, which stops its containers; Docker's own packages are installed in its place then"
        out.append(Finding(f"the Docker engine here has no Compose v2 (docker compose version fails; {codename})", f"Do: {do}"))
    return out


_PACKAGED_COMPOSE = {"trixie": "docker-compose", "noble": "docker-compose-v2"}

NO_MEMORY_LIMITS = (
    "the kernel's memory cgroup is off, so the containers' memory limits are ignored: one that grows can starve the host. "
    "Do: add cgroup_enable=memory cgroup_memory=1 to the line in /boot/firmware/cmdline.txt and reboot"
)


def groups(members: t.Mapping[str, t.Collection[str]]) -> list[Finding]:
    """Components that run somewhere while what they need runs nowhere."""
    out = []
    for component, needed in NEEDS.items():
        for need in needed:
            if members.get(component) and not members.get(need):
                out.append(Finding(f"the group {component} has hosts, the group {need} has none", f"Do: put a host into the group {need}"))
    return out


def broker(host: str, members: t.Mapping[str, t.Collection[str]], listener: str, address: str) -> list[Finding]:
    """What the broker of a host cannot do without: a database beside it, and an address for devices without certificates."""
    out = []
    # An empty group is a finding of its own.
    if members.get("mysql") and host not in members["mysql"]:
        out.append(
            Finding(
                f"{host} is in the group emqx and not in the group mysql, but each broker asks a database on its own host",
                f"Do: put {host} into the group mysql too",
            )
        )
    if listener != "off" and not address:
        out.append(
            Finding(
                f"emqx_password_listener is {listener} and emqx_password_address is empty",
                "Do: set emqx_password_address to the address of the interface on which devices without certificates connect",
            )
        )
    return out


_LOOPBACK_URL = re.compile(r"http://127\.0\.0\.1:(?P<port>[0-9]{1,5})/[A-Za-z0-9._~/-]+")


def revocation_list(kept: bool, method: str, url: str) -> list[Finding]:
    """A broker that is to ask the revocation list (emqx_crl) and could not have it: it would refuse everyone.

    kept: devices_crl. method: emqx_install_method. url: iot_crl_url, which is in the certificates.
    """
    out = []
    off = "or emqx_crl to false"
    if method == "container":
        out.append(
            Finding(
                "emqx_crl needs the package method: 127.0.0.1 of a container is its own, so the broker would not reach the revocation list",
                f"Do: set emqx_install_method to package, {off}",
            )
        )
    if not kept:
        out.append(Finding("emqx_crl is on and devices_crl is off, so there is no revocation list", f"Do: set devices_crl to true, {off}"))
    match = _LOOPBACK_URL.fullmatch(url)
    if match is None or not 1024 <= int(match.group("port")) <= 65535:
        out.append(
            Finding(
                f"emqx_crl is on and iot_crl_url is {url!r}, where the broker's host cannot serve the revocation list",
                f"Do: set it to http://127.0.0.1:PORT/NAME with a port from 1024 on, such as http://127.0.0.1:8765/crl.pem, {off}",
            )
        )
    return out


# A Pi of 1 GB has some 900 MiB for programs; one of 512 MB would keep a broker or a database only until it has something to do.
SMALL_MB = 700


def small_gateway(memory_mb: int, architecture: str, components: t.Iterable[str]) -> list[Finding]:
    """A small or 32-bit gateway collects and sends; what keeps data needs more."""
    others = [component for component in components if component != "telegraf"]
    if not others or (memory_mb >= SMALL_MB and architecture in _64_BIT):
        return []
    why = f"has {memory_mb} MiB of memory" if memory_mb < SMALL_MB else f"is a 32-bit system ({architecture})"
    return [
        Finding(
            f"this gateway {why}: it can have telegraf alone, not {', '.join(others)}",
            f"Do: take it out of the groups {', '.join(others)}, so that its readings go to the centre,"
            f" or use a 64-bit system with {SMALL_MB} MiB of memory or more",
        )
    ]


def contained_sensors(needs: t.Mapping[str, str]) -> list[Finding]:
    """Sensors that a Telegraf in a container cannot read. needs: what of the host, by the sensor's name; empty for those that it can."""
    found = [f"{name} ({need})" for name, need in needs.items() if need]
    if not found:
        return []
    return [
        Finding(
            f"Telegraf in a container cannot read the sensors {', '.join(found)}",
            "Do: set telegraf_install_method to package for this host, or take these sensors out of telegraf_sensors",
        )
    ]


LOSS_WINDOW = range(1, 301)


def loss_window(value: t.Any) -> list[Finding]:
    """Seconds of readings that may still be only in a gateway's memory. What waits longer would fill the queues before it."""
    try:
        if int(str(value)) in LOSS_WINDOW:
            return []
    except ValueError:
        pass
    return [
        Finding(
            f"gateway_loss_window is {value}, which is no whole number of seconds from {LOSS_WINDOW[0]} to {LOSS_WINDOW[-1]}",
            "Do: correct it; 10 is the default",
        )
    ]


def sites(host: str, brokers: t.Mapping[str, str]) -> list[Finding]:
    """A host whose devices another broker has as well: they could be told of one of them only. brokers: site by host."""
    others = sorted(other for other, site in brokers.items() if other != host and site == brokers.get(host))
    if not others:
        return []
    return [
        Finding(
            f"{host} and {', '.join(others)} are brokers of the same site ({brokers[host]}): a device can have one broker",
            "Do: set iot_site of one of them to another name, and site of the devices there, or keep one host in the group emqx",
        )
    ]


def inventory(sources: t.Iterable[str], private: t.Mapping[str, str], ignored: t.Iterable[str]) -> list[Finding]:
    """A directory that is given as the inventory and holds secrets: Ansible would read each of their files as names of hosts.

    sources: what was given with -i. private: path on the controller by variable. ignored: Ansible's own ignore_patterns.
    """
    # What Ansible never looks into, whatever is configured.
    never = re.compile("|".join([r"^\.", *ignored]))
    out = []
    for source in sources:
        if not os.path.isdir(source):
            continue
        inside = sorted(
            variable
            for variable, path in private.items()
            if not (below := os.path.relpath(os.path.realpath(path), os.path.realpath(source))).startswith(os.pardir)
            and not any(never.search(part) for part in below.split(os.sep)[:1])
        )
        if inside:
            out.append(
                Finding(
                    f"the inventory is the directory {source}, which holds {', '.join(inside)}: Ansible would read secrets as names of hosts",
                    f"Do: give its file, as in -i {os.path.join(source, 'hosts.yml')}, or set ignore_patterns = ^(secrets|pki|devices|profiles)$"
                    " in the section [inventory] of ansible.cfg",
                )
            )
    return out


def version_tuple(text: str) -> tuple[int, ...]:
    """Numbers of a version: "5.8.9" -> (5, 8, 9)."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def emqx(version: str, nodes: int, licensed: bool) -> list[Finding]:
    """EMQX versions that are not known here, and licences (5.9 on: more than one node needs a key)."""
    numbers = version_tuple(version)
    # Older ones have another API for what the role sets up.
    if not (5, 4) <= numbers < (7,):
        return [Finding(f"EMQX {version} is not supported", "Do: set emqx_version to a release from 5.4 to 6.x")]
    if numbers >= (5, 9) and nodes > 1 and not licensed:
        return [
            Finding(
                f"EMQX {version} on {nodes} hosts needs a licence key (from 5.9 on one node is free)",
                "Do: set emqx_license_key, or emqx_version to 5.8.9, or keep one host in the group emqx",
            )
        ]
    return []


def durable_sessions(version: str) -> list[Finding]:
    """Sessions on disk, which EMQX has since 5.7."""
    if version_tuple(version) >= (5, 7):
        return []
    return [Finding(f"EMQX {version} has no durable sessions", "Do: set emqx_durable_sessions to false, or emqx_version to 5.7 or newer")]


def variables(
    names: t.Iterable[str], known: t.Mapping[str, t.Collection[str]], foreign: t.Collection[str] = ()
) -> tuple[list[Finding], list[str]]:
    """Variables with a role's prefix that the role does not know: near misses are findings, others warnings.

    known maps a prefix without underscore ("emqx", "iot") to the option names that begin with it.
    """
    findings, warnings = [], []
    for name in sorted(names):
        prefix = name.partition("_")[0]
        options = known.get(prefix)
        if options is None or name in options or name in foreign or name == prefix:
            continue
        close = difflib.get_close_matches(name, list(options), n=1, cutoff=0.85)
        if close:
            findings.append(
                Finding(f"the variable {name} is unknown, there is {close[0]}", "Do: correct the name, or list it in iot_foreign_variables")
            )
        else:
            warnings.append(f"the variable {name} belongs to no role of edgestack.iot; iot_foreign_variables silences this")
    return findings, warnings
