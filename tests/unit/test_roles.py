# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every role promises: options documented, typed, and the same in defaults and argument_specs."""

from __future__ import annotations

import pathlib

import pytest
import role_readmes
import yaml

ROOT = pathlib.Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def load(*parts):
    path = ROOT.joinpath("roles", *parts)
    return yaml.safe_load(path.read_text()) or {} if path.exists() else {}


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_agree(role):
    defaults = load(role, "defaults", "main.yml")
    spec = load(role, "meta", "argument_specs.yml")["argument_specs"]["main"]
    options = spec.get("options", {})
    documented = {name: option["default"] for name, option in options.items() if "default" in option}
    assert documented | role_readmes.computed(role) == defaults
    assert [name for name in options if name not in defaults and not options[name].get("required")] == []


@pytest.mark.parametrize("role", ROLES)
def test_options_have_the_roles_prefix_and_a_description(role):
    for entry in load(role, "meta", "argument_specs.yml")["argument_specs"].values():
        assert entry["short_description"] and entry["description"]
        for name, option in entry.get("options", {}).items():
            assert name == role or name.startswith(f"{role}_"), f"{name} of the role {role}"
            assert option["description"] and option["type"]


@pytest.mark.parametrize("role", ROLES)
def test_ports_that_preflight_looks_at_are_options(role):
    defaults = load(role, "defaults", "main.yml")
    assert [name for name in load(role, "meta", "listens.yml").get("ports", []) if name not in defaults] == []


@pytest.mark.parametrize("role", ROLES)
def test_readme_is_made_from_the_argument_specs(role):
    assert (ROOT / "roles" / role / "README.md").read_text() == role_readmes.readme(role), "run: make docs"


def test_the_loss_window_that_all_roles_know_is_the_gateways():
    default = load("gateway", "defaults", "main.yml")["gateway_loss_window"]
    known = load("iot", "vars", "main.yml")
    assert f"gateway_loss_window | default({default})" in known["_iot_loss_window"]
    assert f"'gateway_loss_window', default={default})" in known["_iot_longest_loss_window"].replace("attribute=", "")
