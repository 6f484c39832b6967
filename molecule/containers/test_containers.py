# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the containers of a site are, what they can reach, what outlives them, and what is refused without touching them.

Run by the scenario's lifecycle.yml on a host where all six components are containers.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess

import pytest

COMPONENTS = ["mysql", "emqx", "influxdb", "telegraf", "grafana", "streamlit"]
ROOT = pathlib.Path(__file__).parents[2]


def inspect(host, component):
    return json.loads(host.check_output(f"docker inspect edgestack-{component}"))[0]


def identities(host):
    return {component: inspect(host, component)["Id"] for component in COMPONENTS}


def site(*arguments):
    """One run of the site; returns what it printed."""
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={ROOT}/inventories/demo", *arguments, str(ROOT / "site.yml")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_container_has_no_rights_and_a_limit(host, component):
    found = inspect(host, component)
    config, limits = found["Config"], found["HostConfig"]
    assert not re.match(r"(0|root)?(:|$)", config["User"])
    assert limits["CapDrop"] == ["ALL"] and not limits["CapAdd"] and not limits["Privileged"]
    assert "no-new-privileges:true" in limits["SecurityOpt"]
    assert limits["ReadonlyRootfs"] is True
    assert limits["Memory"] > 0 and limits["NanoCpus"] > 0 and limits["PidsLimit"] > 0
    assert limits["RestartPolicy"]["Name"] == "unless-stopped"
    assert limits["LogConfig"]["Type"] == "journald"
    assert found["State"]["Health"]["Status"] in {"healthy", "starting"}
    # The engine's own socket would be root on the host.
    assert not [mount for mount in found["Mounts"] if mount["Source"].endswith("docker.sock")]


def test_no_secret_where_the_engine_shows_it(host):
    store = pathlib.Path(os.environ["EDGESTACK_SECRETS"])
    secrets = [path.read_text().strip() for path in store.iterdir() if path.is_file() and not path.name.startswith(".")]
    assert len(secrets) > 5
    shown = host.check_output("docker ps --quiet --all | xargs docker inspect")
    shown += host.check_output("docker image ls --quiet | xargs -n 1 docker history --no-trunc")
    shown += host.check_output("cat /opt/edgestack/*/compose.yaml")
    assert "edgestack-grafana" in shown and "CreatedBy" not in shown.splitlines()[0]
    assert not [secret[:3] + "..." for secret in secrets if secret in shown]


def test_secrets_are_behind_a_directory_that_is_roots_alone(host):
    for path in ("/etc/edgestack/containers", "/var/lib/edgestack/data"):
        directory = host.file(path)
        assert (directory.user, directory.group, directory.mode) == ("root", "root", 0o700)


REACH = "import socket; socket.create_connection(({!r}, {}), 3)"


def reaches(host, address, port):
    """Whether the app's container gets a connection; it is the one with a Python in it."""
    code = REACH.format(address, port)
    return host.run(f"docker exec edgestack-streamlit python3 -c {json.dumps(code)}").rc == 0


def address(host, component):
    return inspect(host, component)["NetworkSettings"]["Networks"][f"edgestack-{component}"]["IPAddress"]


def test_only_what_must_talk_can(host):
    assert reaches(host, "edgestack-influxdb", 8086)
    for component, port in (("mysql", 3306), ("emqx", 18083), ("emqx", 8883), ("grafana", 3000)):
        assert not reaches(host, f"edgestack-{component}", port), component
        assert not reaches(host, address(host, component), port), component
    ids = identities(host)
    members = {}
    for name in host.check_output("docker network ls --filter name=edgestack- --format '{{.Name}}'").split():
        inside = json.loads(host.check_output(f"docker network inspect {name}"))[0]["Containers"]
        members[name.removeprefix("edgestack-")] = {component for component in COMPONENTS if ids[component] in inside}
    pairs = [("mysql", "emqx"), ("emqx", "telegraf"), ("influxdb", "telegraf"), ("influxdb", "grafana"), ("influxdb", "streamlit")]
    assert members == {component: {component} for component in COMPONENTS} | {"-".join(pair): set(pair) for pair in pairs}


def test_the_app_asks_nobody_on_the_internet(host):
    """Streamlit that listens on all addresses asks at each start what its own is."""
    said = host.check_output("docker logs edgestack-streamlit 2>&1")
    assert "server started" in said and "external IP" not in said


# Where each keeps what must outlive it.
DATA = {
    "mysql": "docker exec --user 0 edgestack-mysql mariadb --socket=/run/mysqld/mysqld.sock mqtt --execute='select username from mqtt_user'",
    "influxdb": "ls /var/lib/edgestack/data/influxdb/engine/data && sha256sum < /var/lib/edgestack/data/influxdb/influxd.sqlite | wc -l",
    "emqx": "ls /var/lib/edgestack/data/emqx",
    "grafana": "ls /var/lib/edgestack/data/grafana",
}


def healthy(host, component):
    ask = f"docker inspect --format '{{{{.State.Health.Status}}}}' edgestack-{component}"
    return host.check_output(f"for i in $(seq 120); do s=$({ask}); [ $s = healthy ] && break; sleep 1; done; echo $s")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_project_works_by_hand_and_its_data_outlives_it(host, component):
    before = host.check_output(DATA[component]) if component in DATA else ""
    host.check_output(f"docker compose --project-directory /opt/edgestack/{component} down 2>&1")
    assert host.run(f"docker inspect edgestack-{component}").rc != 0
    host.check_output(f"docker compose --project-directory /opt/edgestack/{component} up --detach 2>&1")
    assert healthy(host, component) == "healthy"
    assert component not in DATA or host.check_output(DATA[component]) == before
    assert component not in DATA or before


def test_the_next_run_finds_nothing_to_do_and_asks_no_registry(host):
    before = identities(host)
    since = host.check_output("date +%s")
    code, text = site()
    assert code == 0 and all(re.search(rf"{name} +: ok=\d+ +changed=0 ", text) for name in ("centre", "gateway-1")), text[-3000:]
    assert identities(host) == before
    events = host.check_output(f"docker events --since {since} --until $(date +%s) --filter type=image --format '{{{{.Action}}}}'")
    assert events == ""


def test_a_change_makes_anew_what_depends_on_it_and_nothing_else(host):
    before = identities(host)
    code, text = site("--limit=centre", "--extra-vars=telegraf_interval=31s")
    assert code == 0, text[-3000:]
    after = identities(host)
    assert [name for name in COMPONENTS if before[name] != after[name]] == ["telegraf"]


def test_another_image_takes_the_data_over(host):
    before = host.check_output(DATA["influxdb"])
    former = inspect(host, "influxdb")["Config"]["Image"]
    host.check_output(f"docker tag {former} influxdb:2.9.999")
    code, text = site("--limit=centre", "--extra-vars=influxdb_image=influxdb:2.9.999")
    assert code == 0, text[-3000:]
    assert inspect(host, "influxdb")["Config"]["Image"] == "influxdb:2.9.999"
    assert host.check_output(DATA["influxdb"]) == before
    # And back.
    code, text = site("--limit=centre")
    assert code == 0 and inspect(host, "influxdb")["Config"]["Image"] == former, text[-3000:]
    host.check_output("docker image rm influxdb:2.9.999")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["grafana_install_method=package", "influxdb_port=22", "iot_container_subnet=10.0.0.0/8", "mysql_server=mysql"],
            [
                r"grafana is a container here and grafana_install_method is package",
                "port 22 is held by",
                "iot_container_subnet is '10.0.0.0/8'",
                "was made by mariadb",
            ],
        ),
        # No registry answers from the lab.
        (
            ["iot_bundle=", f"mysql_image_digest=sha256:{'0' * 64}"],
            [r"docker pull mariadb@sha256:0+ failed.*Nothing that runs was touched.*set iot_image_registry"],
        ),
        (["mysql_image=mariadb:0.0.1"], ["mariadb:0.0.1"]),
        (["mysql_container_memory_mb=none"], ["mysql_container_memory_mb"]),
    ],
)
def test_what_cannot_work_is_refused_and_the_stack_goes_on(host, arguments, said):
    before = identities(host)
    code, text = site("--limit=centre", *(f"--extra-vars={argument}" for argument in arguments))
    assert code != 0
    for words in said:
        assert re.search(words, text, re.DOTALL), text[-3000:]
    assert identities(host) == before
    assert {inspect(host, name)["State"]["Status"] for name in COMPONENTS} == {"running"}


def test_a_configuration_that_does_not_work_is_taken_back(host):
    before = inspect(host, "telegraf")["Config"]["Image"]
    broken = json.dumps({"telegraf_extra_config": '[[inputs.file]]\n  files = ["/nowhere"]\n  data_format = "nothing"\n'})
    code, text = site("--limit=centre", "--extra-vars", broken)
    assert code != 0 and "nothing was changed" in text, text[-3000:]
    assert healthy(host, "telegraf") == "healthy" and inspect(host, "telegraf")["Config"]["Image"] == before
