# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time

import yaml
from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.text.converters import to_text
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

try:
    from ansible.template import trust_as_template
except ImportError:
    # ansible-core before 2.19 takes every text for a template.
    def trust_as_template(value):
        return value


from ansible_collections.edgestack.iot.plugins.module_utils._devices import sensors
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import duration
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Refused
from ansible_collections.edgestack.iot.plugins.module_utils._preflight import checks, outage
from ansible_collections.edgestack.iot.plugins.plugin_utils import _devices

_ROLES = os.path.join(os.path.dirname(__file__), "..", "..", "roles")


def _load(*path):
    """A YAML file of this collection's roles; an empty dictionary where there is none."""
    try:
        with open(os.path.join(_ROLES, *path), encoding="utf-8") as file:
            return yaml.safe_load(file) or {}
    except FileNotFoundError:
        return {}


def known_options():
    """Option names by prefix, from the argument_specs of all roles."""
    known = {}
    for role in os.listdir(_ROLES):
        for entry in _load(role, "meta", "argument_specs.yml").get("argument_specs", {}).values():
            for name in entry.get("options", {}):
                known.setdefault(name.partition("_")[0], set()).add(name)
    return known


class ActionModule(ActionBase):
    """See the module's documentation (plugins/modules/preflight.py)."""

    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        args = self._task.args
        host = args["host"]
        result["changed"] = False
        components = list(args.get("components") or [])
        unknown = [component for component in components if component not in checks.REQUIREMENTS]
        if unknown:
            raise AnsibleActionFail(f"preflight knows no component {', '.join(unknown)}")
        members = {name: list(hosts) for name, hosts in (task_vars.get("groups") or {}).items()}
        findings = self._findings(task_vars, components, host, members)
        spelling, warnings = checks.variables(
            (name for name in task_vars if not name.startswith("_")),
            known_options(),
            self._value(task_vars, "iot", "iot_foreign_variables") or [],
        )
        findings += spelling
        if "container" in self._methods(task_vars, components).values() and not host["memory_cgroup"]:
            warnings.append(checks.NO_MEMORY_LIMITS)
        result["warnings"] = warnings
        result["findings"] = [str(finding) for finding in findings]
        if findings:
            result["failed"] = True
            lines = "\n".join(f"  {number}. {finding}" for number, finding in enumerate(findings, 1))
            result["msg"] = f"nothing was changed on {task_vars.get('inventory_hostname')}, because:\n{lines}"
        return result

    def _findings(self, task_vars, components, host, members):
        methods = self._methods(task_vars, components)
        packaged = [component for component in components if self._installed(component, host)]
        missing = [
            component for component in components if component not in (host["projects"] if methods[component] == "container" else packaged)
        ]
        findings = checks.distribution(host["distribution"], host["distribution_version"])
        findings += checks.architecture(host["architecture"], components)
        findings += checks.resources(host["memory_mb"], host["free_disk_mb"], components, missing)
        findings += checks.clock(host["time"], time.time())
        findings += checks.groups(members)
        if task_vars["inventory_hostname"] in members.get("gateways", []):
            findings += checks.small_gateway(host["memory_mb"], host["architecture"], components)
            findings += checks.loss_window(self._value(task_vars, "gateway", "gateway_loss_window"))
        private = {name: self._value(task_vars, "iot", name) for name in ("iot_secrets_dir", "iot_pki_dir", "iot_devices_dir")}
        findings += checks.inventory(
            [to_text(source) for source in task_vars.get("ansible_inventory_sources") or []],
            {name: self._loader.path_dwim(to_text(path)) for name, path in private.items()},
            C.INVENTORY_IGNORE_PATTERNS,
        )
        findings += checks.methods(methods, packaged, host["projects"])
        subnet = to_text(self._value(task_vars, "iot", "iot_container_subnet"))
        if "container" in methods.values():
            findings += checks.engine(host["engine"], host["packages"], host["codename"], subnet)
        findings += checks.ports(self._ports(task_vars, components), checks.elsewhere(host["listeners"], subnet), host["projects"])
        if "mysql" in components:
            findings += checks.database(to_text(self._value(task_vars, "mysql", "mysql_server")), methods["mysql"], host["database"])
        if "telegraf" in components:
            findings += self._sensors(task_vars, methods["telegraf"])
        if "emqx" in components:
            findings += checks.broker(
                task_vars["inventory_hostname"],
                members,
                to_text(self._value(task_vars, "emqx", "emqx_password_listener")),
                to_text(self._value(task_vars, "emqx", "emqx_password_address")),
            )
            if boolean(self._value(task_vars, "emqx", "emqx_crl"), strict=False):
                findings += checks.revocation_list(
                    boolean(self._value(task_vars, "devices", "devices_crl"), strict=False),
                    methods["emqx"],
                    to_text(self._value(task_vars, "iot", "iot_crl_url")),
                )
            findings += checks.emqx(
                to_text(self._value(task_vars, "emqx", "emqx_version")),
                len(members.get("emqx", [])),
                bool(self._value(task_vars, "emqx", "emqx_license_key")),
            )
            findings += checks.sites(task_vars["inventory_hostname"], self._sites(task_vars, members["emqx"]))
        return findings + self._outage(task_vars, components, host)

    def _sensors(self, task_vars, method):
        """Whether the sensors of this host can be read as their profiles say, by a Telegraf that is installed so."""
        wanted = self._value(task_vars, "telegraf", "telegraf_sensors")
        if not wanted:
            return []
        try:
            profiles = _devices.read_profiles(self._loader, to_text(self._value(task_vars, "iot", "iot_profiles_dir")), kind="sensor")
            found = sensors.inputs(wanted, profiles)
        except DevicesError as error:
            return [checks.Finding(str(error), "Do: correct telegraf_sensors, or the profiles in iot_profiles_dir")]
        return checks.contained_sensors({one["name"]: sensors.outside_container(one) for one in found}) if method == "container" else []

    def _sites(self, task_vars, brokers):
        """The site of each broker, from the inventory."""
        hostvars = task_vars.get("hostvars") or {}
        default = _load("iot", "defaults", "main.yml")["iot_site"]
        return {name: to_text(self._templar.template(hostvars[name].get("iot_site", default))) for name in brokers if name in hostvars}

    def _outage(self, task_vars, components, host):
        """Whether what comes during an outage has room here."""
        try:
            seconds = duration.seconds(to_text(self._value(task_vars, "iot", "iot_outage")), "iot_outage")
            rate = float(self._value(task_vars, "iot", "iot_readings_per_second"))
        except (Refused, TypeError, ValueError) as error:
            return [checks.Finding(str(error), "Do: correct iot_outage or iot_readings_per_second")]
        if seconds <= 0 or rate <= 0:
            return [checks.Finding("iot_outage and iot_readings_per_second must be greater than 0", "Do: correct them")]
        findings = outage.broker(seconds, rate, host["memory_mb"]) if "emqx" in components else []
        if "emqx" in components and boolean(self._value(task_vars, "emqx", "emqx_durable_sessions"), strict=False):
            findings += outage.durable(seconds, rate, host["disk_mb"])
            findings += checks.durable_sessions(to_text(self._value(task_vars, "emqx", "emqx_version")))
        if "influxdb" in components and boolean(self._value(task_vars, "iot", "iot_replicate"), strict=False):
            try:
                retention = duration.seconds(to_text(self._value(task_vars, "iot", "_iot_centre_retention")), "iot_retention")
            except Refused as error:
                return [*findings, checks.Finding(str(error), "Do: correct iot_retention")]
            findings += outage.uplink(seconds, rate, host["disk_mb"], retention)
        return findings

    def _methods(self, task_vars, components):
        """How each component is to be installed."""
        return {component: to_text(self._value(task_vars, component, f"{component}_install_method")) for component in components}

    @staticmethod
    def _installed(component, host):
        """Whether the component is here without a container."""
        if component == "streamlit":
            return any(path.startswith("/opt/edgestack/streamlit/venv-") for path in host["whole"])
        names = {"mysql": ("mariadb-server", "mysql-server"), "influxdb": ("influxdb2",), "emqx": ("emqx", "emqx-enterprise")}
        return any(name in host["packages"] for name in names.get(component, (component,)))

    def _value(self, task_vars, role, name):
        """An option as the role will see it: the inventory's value, else the role's default, both templated."""
        if name in task_vars:
            return self._templar.template(task_vars[name])
        default = _load(role, "defaults", "main.yml").get(name)
        return self._templar.template(trust_as_template(default) if isinstance(default, str) else default)

    def _ports(self, task_vars, components):
        """The ports that the components will listen on: options of type int whose name ends with listen_port or is in the role's list."""
        out = []
        for component in components:
            for name in _load(component, "meta", "listens.yml").get("ports", []):
                value = self._value(task_vars, component, name)
                if value:
                    out.append(checks.Port(component, name, int(value)))
        return out
