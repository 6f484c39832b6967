# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's hosts: containers with systemd, reached by ssh, on a network from which nothing leads outside."""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import base
import emulation
import engine
from common import STATE, LabError, need, output, say, step, write_if_changed
from engine import docker

DOMAIN = "iot.internal"
DEFAULT = ("centre", "gateway-1")
# The first that is free of other networks of this engine and machine is taken, and kept.
SUBNETS = tuple(f"10.213.{third}.0/24" for third in (77, 78, 79, 80)) + ("192.168.213.0/24", "172.29.213.0/24")
SET = re.compile(r"[a-z][a-z0-9]{0,19}")
MEMORY = re.compile(r"([1-9][0-9]*)([mg])")
# Nothing listens there on a host: the engine's resolver knows the lab's hosts and no others. It leaves questions
# for others unanswered, so a host waits a second and no more.
NO_RESOLVER = "127.0.0.1"
ENGINE_LABEL = "edgestack-engine"
DISK = "disk"
DISK_BYTES = 4 << 30
# What a Docker engine in a host wants beyond that: to make containers with capabilities of their own, on a file system that is no overlay.
ENGINE_INSIDE = (
    "--label", f"{ENGINE_LABEL}=yes", "--volume", "/var/lib/docker",
    *(word for name in ("NET_RAW", "SYS_PTRACE", "MKNOD", "SYS_NICE", "IPC_LOCK")
      for word in ("--cap-add", name)),
)
FIRST = {"centre": 10, "gateway": 10, "scratch": 200}


@dataclass(frozen=True)
class Host:
    name: str
    address: str
    container: str
    release: str = "bookworm"
    architecture: str = "amd64"
    memory_mb: int = 0  # 0: as much as the machine has
    disk: bool = False  # /var is a file system of its own

    @property
    def fqdn(self) -> str:
        return f"{self.name}.{DOMAIN}"


def offset(name: str) -> int:
    """The last number of a host's address: fixed by its name, so that it is the same every time."""
    match = re.fullmatch(r"(centre|gateway|scratch)(?:-([1-9][0-9]?))?", name)
    if match is None or (match[1] != "centre") != (match[2] is not None):
        raise LabError(f"no such lab host: {name!r} (centre, gateway-1, gateway-2, ..., scratch-1, ...)")
    number = int(match[2] or 0)
    if match[1] == "scratch" and number > 40:
        raise LabError(f"no such lab host: {name!r} (scratch-1 to scratch-40)")
    return FIRST[match[1]] + number


@dataclass(frozen=True)
class Wanted:
    """A host as it is asked for: gateway-1, gateway-1:arm64, gateway-1:512m, gateway-1:arm64:1g, gateway-1:1g:disk."""

    name: str
    architecture: str = "amd64"
    memory_mb: int = 0
    disk: bool = False

    @classmethod
    def parse(cls, text: str) -> Wanted:
        name, *words = text.split(":")
        offset(name)
        architecture, memory = [], []
        for word in words:
            match = MEMORY.fullmatch(word)
            if match:
                memory.append(int(match[1]) * {"m": 1, "g": 1024}[match[2]])
            elif word in emulation.QEMU:
                architecture.append(word)
            elif word != DISK:
                raise LabError(f"{text}: {word!r} is no architecture ({', '.join(emulation.QEMU)}), no memory (512m, 1g) and not {DISK!r}")
        if len(architecture) > 1 or len(memory) > 1 or words.count(DISK) > 1:
            raise LabError(f"{text}: one architecture, one memory and one disk at most")
        return cls(name, *(architecture or ["amd64"]), *(memory or [0]), DISK in words)


def meminfo(memory_mb: int) -> str:
    """What /proc/meminfo says on a machine with so much memory: a container's own would tell of the machine below."""
    total = memory_mb * 1024
    figures = {"MemTotal": total, "MemFree": total // 2, "MemAvailable": total * 3 // 4, "Buffers": total // 64, "Cached": total // 4,
               "SwapCached": 0, "Active": total // 4, "Inactive": total // 8, "SwapTotal": 0, "SwapFree": 0, "Dirty": 0, "Shmem": 0,
               "Slab": total // 32}
    return "".join(f"{name + ':':<15} {value:>9} kB\n" for name, value in figures.items())


class Lab:
    """One set of hosts with its network and keys; "demo" is the one that `make demo` uses."""

    def __init__(self, name: str = "demo") -> None:
        if SET.fullmatch(name) is None:
            raise LabError(f"a lab's name is lower-case letters and digits, not {name!r}")
        self.name = name
        self.directory = STATE if name == "demo" else STATE / "labs" / name
        self.ssh = self.directory / "ssh"
        self.record = self.directory / "hosts.json"
        self.network = f"edgestack-{name}"

    def container(self, host: str) -> str:
        return f"edgestack-{self.name}-{host}"

    # -- network ---------------------------------------------------------------------------------------------

    def _subnet(self) -> ipaddress.IPv4Network:
        found = docker("network", "inspect", "--format", "{{.Internal}} {{(index .IPAM.Config 0).Subnet}}",
                       self.network, check=False)
        if found:
            internal, subnet = found.split()
            if internal != "true":
                raise LabError(f"the Docker network {self.network} exists and leads outside; remove it first")
            return ipaddress.IPv4Network(subnet)
        routes = [ipaddress.IPv4Network(word) for word in re.findall(
            r"^(?:local )?([0-9.]+/[0-9]+) ", output(["ip", "-4", "route"], check=False), re.MULTILINE)]
        refusals = []
        for candidate in map(ipaddress.IPv4Network, SUBNETS):
            if any(candidate.overlaps(route) for route in routes):
                refusals.append(f"{candidate}: routed elsewhere")
                continue
            try:
                docker("network", "create", "--internal", "--subnet", str(candidate), "--label",
                       f"edgestack-lab={self.name}", self.network)
            except LabError as error:
                refusals.append(f"{candidate}: {error}")
                continue
            return candidate
        raise LabError("no free subnet for the lab's network:\n    " + "\n    ".join(refusals))

    # -- keys ------------------------------------------------------------------------------------------------

    def _key(self, path: Path, comment: str) -> None:
        if path.is_file() and path.with_suffix(".pub").is_file():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        output(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])

    def _write_ssh(self, hosts: list[Host]) -> None:
        known, config = [], []
        for host in hosts:
            key = (self.ssh / "hosts" / f"{host.name}.pub").read_text().split()
            known.append(f"{host.name},{host.fqdn},{host.address} {key[0]} {key[1]}\n")
            config.append(f"Host {host.name} {host.fqdn} {host.address}\n    HostName {host.address}\n")
        config.append(
            "Host *\n    User root\n"
            f"    IdentityFile \"{self.ssh / 'id_ed25519'}\"\n    IdentitiesOnly yes\n"
            f"    UserKnownHostsFile \"{self.ssh / 'known_hosts'}\"\n    GlobalKnownHostsFile none\n"
            "    StrictHostKeyChecking yes\n    PasswordAuthentication no\n    ConnectTimeout 10\n"
        )
        write_if_changed(self.ssh / "known_hosts", "".join(known))
        write_if_changed(self.ssh / "config", "".join(config))

    # -- up and down -----------------------------------------------------------------------------------------

    def up(self, names: list[str], *, fresh: bool = False, release: str = "bookworm", engine_inside: bool = False) -> list[Host]:
        """Make the hosts run; those that run already stay as they are unless `fresh` asks for new ones."""
        wanted = [Wanted.parse(name) for name in names]
        if engine_inside and any(one.architecture != emulation.native() for one in wanted):
            raise LabError("a Docker engine inside a host of another architecture does not run under emulation")
        need({"ssh-keygen": "openssh-client", "ssh": "openssh-client", "ip": "iproute2"}, "reaching the lab's hosts")
        engine.ensure()
        for architecture in {one.architecture for one in wanted}:
            emulation.ensure(architecture)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._key(self.ssh / "id_ed25519", "edgestack-lab")
        subnet = self._subnet()
        hosts = [Host(one.name, str(subnet[offset(one.name)]), self.container(one.name), release, one.architecture, one.memory_mb, one.disk)
                 for one in wanted]
        for host in hosts:
            self._key(self.ssh / "hosts" / host.name, host.fqdn)
        everything = {host.name: host for host in self.hosts() if self._state(host.container)}
        everything.update({host.name: host for host in hosts})
        self._write_ssh(list(everything.values()))
        for host in hosts:
            self._start(host, base.image(release, host.architecture), fresh=fresh, engine_inside=engine_inside)
        self._write_record(subnet, list(everything.values()))
        for host in hosts:
            self._wait(host)
        say(f"{', '.join(f'{host.name} {host.address}' for host in hosts)}: "
            f"ssh -F {self.ssh / 'config'} {hosts[0].name}")
        return hosts

    def _state(self, container: str) -> str:
        return docker("container", "inspect", "--format", "{{.State.Status}}", container, check=False)

    def _start(self, host: Host, image: str, *, fresh: bool, engine_inside: bool) -> None:
        state = self._state(host.container)
        if state and not fresh:
            made_from = docker("container", "inspect", "--format",
                               "{{.Config.Image}} {{.HostConfig.Memory}} {{range .NetworkSettings.Networks}}{{.IPAMConfig.IPv4Address}}{{end}} "
                               f'{{{{index .Config.Labels "{ENGINE_LABEL}"}}}} '
                               '{{range .Mounts}}{{if eq .Destination "/var"}}disk{{end}}{{end}}', host.container)
            wanted = [image, str(host.memory_mb * 1048576), host.address, *(["yes"] if engine_inside else []), *([DISK] if host.disk else [])]
            if made_from.split() != wanted:
                say(f"{host.name}: the base image, the memory, the disk, the network or the need of an engine is another one,"
                    " so the host is made anew")
                fresh = True
        if state and fresh:
            docker("container", "rm", "--force", "--volumes", host.container)
            state = ""
        if not state:
            with step(f"creating {host.name}"):
                self._create(host, image, engine_inside=engine_inside)
        if state == "paused":
            docker("container", "unpause", host.container)
        elif state != "running":
            docker("container", "start", host.container)

    def _create(self, host: Host, image: str, *, engine_inside: bool) -> None:
        # Also of a host that was removed without the lab.
        self._remove_disk(host.container)
        docker(
            "container", "create", "--name", host.container,
            "--hostname", host.name, "--domainname", DOMAIN,
            "--network", self.network, "--ip", host.address,
            "--network-alias", host.name, "--network-alias", host.fqdn,
            "--dns", NO_RESOLVER, "--dns-opt", "timeout:1", "--dns-opt", "attempts:1", "--dns-search", ".",
            "--label", f"edgestack-lab={self.name}",
            "--stop-signal", "SIGRTMIN+3",
            "--restart", "unless-stopped",  # a reboot from inside ends the container: the engine starts it again
            # What systemd and the sandboxes of its units need, and no more.
            "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined",
            "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
            "--cgroupns=host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
            "--tmpfs", "/run:exec,mode=755", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec,mode=1777",
            *(ENGINE_INSIDE if engine_inside else ()),
            *(self._memory(host) if host.memory_mb else ()),
            *(self._disk(host) if host.disk else ()),
            image,
        )
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            # Copied as a tar so that owner and mode are root's, whoever runs this.
            etc, home = Path(scratch, "etc", "ssh"), Path(scratch, "root", ".ssh")
            etc.mkdir(parents=True)
            home.mkdir(parents=True)
            for suffix in ("", ".pub"):
                source = self.ssh / "hosts" / (host.name + suffix)
                target = etc / f"ssh_host_ed25519_key{suffix}"
                target.write_bytes(source.read_bytes())
                target.chmod(0o644 if suffix else 0o600)
            keys = home / "authorized_keys"
            keys.write_bytes((self.ssh / "id_ed25519.pub").read_bytes())
            keys.chmod(0o600)
            home.chmod(0o700)
            archive = Path(scratch, "keys.tar")
            output(["tar", "--create", "--owner=0", "--group=0", "--numeric-owner", "--file", archive,
                    "--directory", scratch, "etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_ed25519_key.pub",
                    "root/.ssh"])
            with archive.open("rb") as stream:
                done = subprocess.run(["docker", "cp", "-", f"{host.container}:/"], stdin=stream,
                                      capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise LabError(f"the keys of {host.name}: {done.stderr.strip()}")

    def _memory(self, host: Host) -> list[str]:
        """A limit that the kernel keeps, without swap, and that a program finds where a Pi says how much it has."""
        path = self.directory / "meminfo" / host.name
        write_if_changed(path, meminfo(host.memory_mb))
        return ["--memory", f"{host.memory_mb}m", "--memory-swap", f"{host.memory_mb}m", "--volume", f"{path}:/proc/meminfo:ro"]

    def _disk_file(self, container: str) -> Path:
        return self.directory / "disks" / f"{container}.ext4"

    def _disk(self, host: Host) -> list[str]:
        """/var on a file system of its own, as Raspberry Pi OS mounts a card's: what is written to it can be counted, the journal of the
        file system with it. The engine fills it from the image at the first start, and mounts it at each."""
        need({"mkfs.ext4": "e2fsprogs", "debugfs": "e2fsprogs", "losetup": "mount"}, f"the disk of {host.name}")
        file = self._disk_file(host.container)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            stream.truncate(DISK_BYTES)
        # At once, what the kernel would do behind the first mount and be counted.
        output(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", file])
        # The engine fills what is empty.
        output(["debugfs", "-w", "-R", "rmdir lost+found", file])
        device = output(["losetup", "--find", "--show", file]).strip()
        docker("volume", "create", "--driver", "local", "--opt", "type=ext4", "--opt", f"device={device}", "--opt", "o=noatime", host.container)
        return ["--volume", f"{host.container}:/var"]

    def _remove_disk(self, container: str) -> None:
        file = self._disk_file(container)
        if not file.exists():
            return
        docker("volume", "rm", "--force", container)
        for device in output(["losetup", "--noheadings", "--output", "NAME", "--associated", file]).split():
            output(["losetup", "--detach", device])
        file.unlink()

    def ssh_command(self, host: str, *command: str) -> list[str]:
        return ["ssh", "-F", str(self.ssh / "config"), "-o", "BatchMode=yes", host, *command]

    def _wait(self, host: Host) -> None:
        """Until systemd has finished starting, as it says over ssh."""
        seconds = 60.0 if host.architecture == emulation.native() else 300.0
        end = time.monotonic() + seconds
        state = ""
        while time.monotonic() < end:
            done = subprocess.run(self.ssh_command(host.name, "systemctl", "is-system-running"), check=False,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
            state = done.stdout.strip() or done.stderr.strip()
            if state in {"running", "degraded"}:
                if state == "degraded":
                    failed = output(self.ssh_command(host.name, "systemctl", "list-units", "--failed", "--plain",
                                                     "--no-legend"), check=False)
                    say(f"{host.name}: systemd runs, but some units failed: {failed}")
                return
            time.sleep(0.3)
        logs = docker("logs", "--tail", "20", host.container, check=False)
        raise LabError(f"{host.name} did not come up within {seconds:.0f} s (last answer: {state})\n{logs}")

    def _write_record(self, subnet: ipaddress.IPv4Network, hosts: list[Host]) -> None:
        content = {
            "domain": DOMAIN, "network": self.network, "subnet": str(subnet), "controller": str(subnet[1]),
            "ssh": {"user": "root", "config": str(self.ssh / "config"), "key": str(self.ssh / "id_ed25519"),
                    "known_hosts": str(self.ssh / "known_hosts")},
            "hosts": {
                host.name: {"address": host.address, "fqdn": host.fqdn, "container": host.container,
                            "release": host.release, "architecture": host.architecture, "memory_mb": host.memory_mb, DISK: host.disk}
                for host in hosts
            },
        }
        write_if_changed(self.record, json.dumps(content, indent=2, sort_keys=True) + "\n")

    def hosts(self) -> list[Host]:
        if not self.record.is_file():
            return []
        found = json.loads(self.record.read_text())["hosts"]
        return [Host(name, one["address"], one["container"], one["release"], one["architecture"],
                     one.get("memory_mb", 0), one.get(DISK, False))
                for name, one in found.items()]

    def down(self, names: list[str] | None = None) -> None:
        """Remove these hosts, or all of them with the network; the keys stay, so the next ones are the same."""
        label = f"label=edgestack-lab={self.name}"
        containers = docker("container", "ls", "--all", "--quiet", "--filter", label).split()
        if names is not None:
            containers = [name for name in map(self.container, names) if self._state(name)]
        if containers:
            with step(f"removing {len(containers)} host(s) of {self.name}"):
                docker("container", "rm", "--force", "--volumes", *containers)
        for file in (self.directory / "disks").glob("*.ext4"):
            if not self._state(file.stem):
                self._remove_disk(file.stem)
        left = [host for host in self.hosts() if self._state(host.container)]
        if left:
            self._write_record(self._subnet(), left)
            return
        if docker("network", "ls", "--quiet", "--filter", f"name=^{self.network}$"):
            docker("network", "rm", self.network)
        self.record.unlink(missing_ok=True)

    def status(self) -> list[str]:
        lines = []
        for host in self.hosts():
            state = self._state(host.container) or "not there"
            systemd = docker("exec", host.container, "systemctl", "is-system-running", check=False,
                             timeout=10) if state == "running" else ""
            lines.append(f"{self.name}: {host.name} {host.address} {state} {systemd}".rstrip())
        return lines or [f"{self.name}: no hosts"]


def every_lab() -> list[Lab]:
    """Every lab of this checkout, whether its record is there or only its containers are."""
    names = {"demo"}
    if (STATE / "labs").is_dir():
        names.update(path.name for path in (STATE / "labs").iterdir())
    return [Lab(name) for name in sorted(names)]
