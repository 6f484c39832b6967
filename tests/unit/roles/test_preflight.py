# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role preflight as a user meets it: ansible-playbook against this machine, which it only looks at."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(shutil.which("dpkg") is None, reason="preflight asks dpkg: needs a Debian")


def run(tmp_path, groups, *, centre=None, inventory="hosts.yml", **variables):
    (tmp_path / "hosts.yml").write_text(
        yaml.safe_dump(
            {
                "all": {
                    "hosts": {"here": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}},
                    "vars": variables,
                    "children": {group: {"hosts": {centre: None, "here": None} if centre and group == "influxdb" else {"here": None}} for group in groups},
                }
            }
        )
    )
    (tmp_path / "play.yml").write_text("- hosts: all\n  gather_facts: false\n  roles: [edgestack.iot.preflight]\n")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", inventory, "--limit", "here", "play.yml"]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_everything_that_is_wrong_is_said_at_once_with_what_to_do(tmp_path):
    done = run(tmp_path, ["telegraf"], mysql_max_conections=10, iot_bukket="x", mysql_strange_thing=1)
    assert done.returncode == 2
    assert "the group telegraf has hosts, the group influxdb has none. Do: put a host into the group influxdb" in done.stdout + done.stderr
    assert "mysql_max_conections is unknown, there is mysql_max_connections" in done.stdout + done.stderr
    assert "iot_bukket is unknown, there is iot_bucket" in done.stdout + done.stderr
    assert "mysql_strange_thing belongs to no role" in done.stdout + done.stderr


def test_a_broker_that_could_not_be_set_up_is_refused_at_the_start(tmp_path):
    done = run(tmp_path, ["emqx", "mysql"], mysql_port=3999, emqx_password_listener="tcp")
    assert done.returncode == 2
    assert "emqx_password_listener is tcp and emqx_password_address is empty. Do: set emqx_password_address" in done.stdout + done.stderr


def test_what_an_option_follows_is_looked_at(tmp_path):
    """emqx_install_method and mysql_install_method follow the site's; their defaults are templates."""
    done = run(tmp_path, ["emqx", "mysql"], mysql_port=3999, iot_install_method="container", iot_container_subnet="nonsense")
    assert "iot_container_subnet is 'nonsense'" in done.stdout + done.stderr


def test_a_broker_that_could_not_have_the_revocation_list_is_refused(tmp_path):
    """The site's one switch is what the broker follows."""
    done = run(tmp_path, ["emqx", "mysql"], mysql_port=3999, devices_crl=True, emqx_install_method="container")
    assert done.returncode == 2
    assert "emqx_crl needs the package method" in done.stdout + done.stderr
    done = run(tmp_path, ["emqx", "mysql"], mysql_port=3999, devices_crl=True, emqx_crl=False, emqx_install_method="container")
    assert "emqx_crl" not in done.stdout + done.stderr
    done = run(tmp_path, ["emqx", "mysql"], mysql_port=3999, emqx_crl=True, iot_crl_url="")
    assert "emqx_crl is on and devices_crl is off" in done.stdout + done.stderr
    assert "emqx_crl is on and iot_crl_url is ''" in done.stdout + done.stderr


def test_a_directory_with_secrets_is_no_inventory(tmp_path):
    done = run(tmp_path, ["mysql"], inventory=".", mysql_port=3999)
    assert done.returncode == 2
    assert "which holds iot_devices_dir, iot_pki_dir, iot_secrets_dir" in done.stdout + done.stderr


def test_a_host_on_which_nothing_is_wrong_passes(tmp_path):
    done = run(tmp_path, ["mysql"], mysql_port=3999)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed=0" in done.stdout and "changed=0" in done.stdout


def test_an_outage_that_does_not_fit_is_refused_with_what_fits(tmp_path):
    done = run(tmp_path, ["emqx", "mysql"], iot_outage="30d", iot_readings_per_second=5000)
    text = done.stdout + done.stderr
    assert done.returncode == 2 and "30d without a consumer at 5000 readings/s" in text and "Do: set iot_outage to at most" in text
    done = run(tmp_path, ["emqx", "mysql"], iot_outage="a while")
    assert done.returncode == 2 and "iot_outage: 'a while' is not a duration" in done.stdout + done.stderr


def test_a_gateway_whose_centre_forgets_too_soon_is_refused(tmp_path):
    where = {"centre": "elsewhere", "iot_outage": "2d", "iot_readings_per_second": 0.1}
    done = run(tmp_path, ["influxdb", "gateways"], iot_retention="1d", **where)
    assert done.returncode == 2 and "the centre keeps readings for 1d" in done.stdout + done.stderr
    assert "the centre keeps" not in (lambda done: done.stdout + done.stderr)(run(tmp_path, ["influxdb", "gateways"], iot_retention="3d", **where))


def test_an_option_of_the_wrong_type_is_refused(tmp_path):
    done = run(tmp_path, ["mysql"], iot_install_method="snap")
    assert done.returncode == 2 and "iot_install_method" in done.stdout + done.stderr
