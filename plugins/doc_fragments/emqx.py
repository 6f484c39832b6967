# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # The connection to EMQX's REST API. Give it once with module_defaults and the action group edgestack.iot.emqx.
    DOCUMENTATION = r"""
options:
  url:
    description:
      - Where EMQX's dashboard and REST API listen, without C(/api/v5).
      - C(unix:///path/to/socket) asks through a socket.
    type: str
    default: http://127.0.0.1:18083
  api_key:
    description: Name of an API key.
    type: str
  api_secret:
    description: The API key's secret. Prefer O(api_secret_file), which keeps it out of the task's arguments.
    type: str
  api_secret_file:
    description: File with the API key's secret, on the host that runs the module.
    type: path
  username:
    description: A user of the dashboard, instead of an API key.
    type: str
  password:
    description: The dashboard user's password.
    type: str
  ca_file:
    description: File with the CA certificates that an C(https) server is verified with; the host's own trust store without it.
    type: path
  client_cert:
    description: File with a client certificate (PEM).
    type: path
  client_key:
    description: File with the key of O(client_cert).
    type: path
  validate_certs:
    description: Whether the certificate of an C(https) server is verified.
    type: bool
    default: true
  timeout:
    description: How long one answer may take, in seconds.
    type: int
    default: 30
  wait_timeout:
    description: How long to wait for a server that just starts, in seconds; it is asked with C(GET /status).
    type: int
    default: 60
notes:
  - Only EMQX's own answer 404 counts as absent. Missing rights, time-outs, proxies' pages and damaged answers are failures that say
    what was asked, what came back and what to do.
  - The open-source editions 5.1 to 5.8 were read and 5.3.0 and 5.8.9 recorded. For 5.9 to 6.x the documents were followed, nothing was run.
"""

    # One object that EMQX describes itself: connectors, actions, sources, bridges.
    DESCRIBED = r"""
options:
  state:
    description: Whether it exists.
    type: str
    choices: [present, absent]
    default: present
  type:
    description: Its kind by EMQX's name, for example V(mqtt), V(http), V(mysql). What there is depends on version and edition.
    type: str
    required: true
  name:
    description: Its name.
    type: str
    required: true
  enable:
    description: Whether it is in use; a new one is.
    type: bool
  settings:
    description:
      - The other fields as EMQX documents them. Those that are not given stay as they are.
      - A secret among them must be C(file:///path) (EMQX 5.4 and later); plain ones belong under O(secrets).
    type: dict
    default: {}
  secrets:
    description: Secret fields in plain text, at the places where they stand in O(settings), for example C(password).
    type: dict
  update_secret:
    description:
      - EMQX masks these secrets in every version, so whether one is still right cannot be seen. V(on_create) sends it only with a new
        object (or with C(file://), whose path is compared), V(always) at every run, which is a change each time.
    type: str
    choices: [on_create, always]
    default: on_create
  wait_connected:
    description: How long to wait until EMQX is connected, in seconds; 0 does not wait.
    type: int
    default: 0
"""

    # Those that use a connector.
    CONNECTED = r"""
options:
  connector:
    description: Name of the connector that it uses, which must exist; needed for a new one.
    type: str
  parameters:
    description: What it does, by the fields that EMQX documents for its kind, for example C(topic), C(qos), C(payload).
    type: dict
"""
