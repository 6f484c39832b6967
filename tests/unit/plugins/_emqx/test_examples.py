# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation and code say the same; the integration tests run the examples."""

from __future__ import annotations

import pathlib

import jsonschema
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from emqx_contract import Contract
from emqx_examples import MODULES, examples, load

from ansible_collections.edgestack.iot.plugins.doc_fragments import emqx as fragments
from ansible_collections.edgestack.iot.plugins.module_utils._emqx import arguments
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import body_of

ROOT = pathlib.Path(__file__).parents[4]


@pytest.mark.parametrize("name", MODULES)
def test_examples_fit_the_options(name):
    validator = ArgumentSpecValidator(
        {**arguments.connection_spec(), **load(name).OPTIONS},
        mutually_exclusive=arguments.MUTUALLY_EXCLUSIVE,
        required_together=arguments.REQUIRED_TOGETHER,
        required_one_of=arguments.REQUIRED_ONE_OF,
    )
    tasks = list(examples(name))
    assert tasks
    for task, given in tasks:
        assert validator.validate(given).error_messages == [], task


@pytest.mark.parametrize("name", MODULES)
def test_options_and_their_documentation(name):
    documentation = yaml.safe_load(load(name).DOCUMENTATION)
    documented = dict(documentation.get("options", {}))
    for fragment in documentation["extends_documentation_fragment"]:
        # The connection's own is the base of the fragment.
        if fragment.startswith("edgestack.iot.emqx."):
            shared = yaml.safe_load(getattr(fragments.ModuleDocFragment, fragment.rpartition(".")[2].upper()))["options"]
            assert not set(shared) & set(documented), f"{name}: {fragment} says it already"
            documented |= shared

    def compare(spec, said, where):
        assert set(spec) == set(said), where
        for option, entry in spec.items():
            here = f"{where}.{option}"
            told = said[option]
            assert (told["type"], told.get("required", False), told.get("default")) == (entry["type"], entry.get("required", False), entry.get("default")), here
            assert told.get("choices") == entry.get("choices") and told.get("elements") == entry.get("elements"), here
            compare(entry.get("options", {}), told.get("suboptions", {}), here)

    compare(load(name).OPTIONS, documented, name)


def test_an_authenticator_that_the_stand_in_lacks_fits_the_servers_document():
    given = dict(examples("emqx_authentication"))["A service of our own"]
    body = {**body_of(given["settings"], given["secrets"], ""), "mechanism": given["mechanism"], "backend": given["backend"]}
    assert body["headers"] == {"content-type": "application/json", "authorization": "Filled-service_authorization-1"}
    Contract("5.8.9").check("POST", "/authentication", body)
    with pytest.raises(jsonschema.ValidationError):
        Contract("5.8.9").check("POST", "/authentication", {**body, "colour": "blue"})


def test_the_action_group_has_all_modules():
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    assert runtime["action_groups"]["emqx"] == [f"edgestack.iot.{name}" for name in MODULES]
