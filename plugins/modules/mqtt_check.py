#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mqtt_check
short_description: Proves what an MQTT broker lets in and what it refuses
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Tries a list of cases against brokers from the controller, as clients do, and compares what is observed with what is expected.
    Cases without a device in common run at the same time; every wait is bounded.
  - A refusal counts only when the broker says it - by a TLS alert about the client's certificate, or by a CONNACK that means "you may
    not". That nobody listens, that the broker is overloaded, that it closes without a reason or that its own certificate is
    not trusted is never a pass.
  - That a message does not arrive is proved by an observer that is subscribed and to which, afterwards, a control message does arrive.
    The PUBACK proves nothing, a denied PUBLISH of MQTT 3.1.1 is acknowledged as well.
  - Runs in the controller's process only, which needs paho-mqtt (2.0 or later) and cryptography.
extends_documentation_fragment:
  - edgestack.iot.attributes
attributes:
  action:
    description: Has an action plugin, of which all or a part runs on the controller.
    support: full
  check_mode:
    support: none
    details:
      - It is skipped, because the readings that it publishes would be stored.
  diff_mode:
    support: N/A
    details:
      - This module changes no configuration.
  idempotent:
    support: full
    details:
      - It never reports a change. The readings that it publishes are new ones each time.
options:
  host:
    description: Where the broker is. Each case may say another.
    type: str
  port:
    description: The broker's port.
    type: int
    default: 8883
  ca_file:
    description: The authority (PEM, on the controller) that the broker's certificate has to be of. Without it there is no TLS.
    type: path
  server_name:
    description: The name in the broker's certificate, where it is not O(host).
    type: str
  timeout:
    description: Seconds that each answer may take.
    type: float
    default: 10.0
  time_slot:
    description:
      - Readings get times (in ms) that are O(time_slot) modulo O(time_slots), so that several hosts that use the same devices at the same
        time do not overwrite each other's readings in the database.
    type: int
    default: 0
  time_slots:
    description: Number of slots.
    type: int
    default: 1
  fail_on_mismatch:
    description: Whether the task fails, after all cases, when one is not as expected.
    type: bool
    default: true
  clients:
    description:
      - Clients that cases and observers can name. Each is a dictionary with C(client_id), C(username), C(password_file) and C(tls) as in
        O(cases).
    type: dict
    default: {}
  cases:
    description: What to try.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What is proved.
        type: str
        required: true
      host:
        description: Another broker than O(host).
        type: str
      port:
        description: Another port than O(port).
        type: int
      tls:
        description: The client's side of TLS.
        type: dict
        suboptions:
          enabled:
            description: Whether there is TLS at all. False for a listener without it, where O(ca_file) is given for other cases.
            type: bool
            default: true
          ca_file:
            description: Another authority than O(ca_file).
            type: path
          server_name:
            description: Another name than O(server_name).
            type: str
          cert_file:
            description: The client's certificate (PEM). Without it, it shows none.
            type: path
          key_file:
            description: The key of O(cases[].tls.cert_file), plain or encrypted with Ansible Vault.
            type: path
          foreign:
            description: Show an imitation of O(cases[].tls.cert_file) instead, with the same subject, by an authority with the same name.
            type: bool
            default: false
      version:
        description: The version of MQTT.
        type: str
        default: "3.1.1"
        choices: ["3.1.1", "5"]
      client:
        description: Name of one of O(clients), whose properties count where this one has none of its own.
        type: str
      client_id:
        description: The MQTT client id that it claims.
        type: str
      username:
        description: The user name. Without it the client is anonymous.
        type: str
      password_file:
        description: File on the controller with the password (never the password itself), plain or encrypted with Ansible Vault.
        type: path
      certificate:
        description:
          - The certificate that it shows - its V(own), V(none), a V(foreign) imitation (as O(cases[].tls.foreign)), or that of another
            of O(clients), by name.
        type: str
        default: own
      anonymous:
        description: Leave user name and password out.
        type: bool
        default: false
      wrong_password:
        description: Use a random password instead.
        type: bool
        default: false
      action:
        description: What the client does.
        type: str
        default: connect
        choices: [connect, publish, subscribe]
      topic:
        description: The topic to publish on or to subscribe to.
        type: str
      payload:
        description: What to publish. The default is a reading with C(time) (ms since 1970), C(nonce) and C(value), see RV(readings).
        type: str
      qos:
        description: The quality of service.
        type: int
        default: 1
        choices: [0, 1]
      expect:
        description:
          - What has to come of it. V(accepted) and V(refused) are about the connection or the subscription or, with V(accepted), about
            the PUBACK.
          - V(delivered) and V(not_delivered) are about the message, as the O(cases[].observer) sees it.
          - V(untouched) is for a client that claims the client id of the O(cases[].observer). It may be refused or let in under an id of
            its own, but the other one's session stays and its messages do not go to this client.
        type: str
        required: true
        choices: [accepted, delivered, not_delivered, refused, untouched]
      refused_in:
        description: Where it has to be refused, in V(tls) or by MQTT (V(connack)).
        type: str
        default: any
        choices: [any, tls, connack]
      observer:
        description: An authorised client that is subscribed to a topic while the case runs, and may publish on it.
        type: dict
        suboptions:
          client:
            description: Name of one of O(clients), whose properties count where this one has none of its own.
            type: str
          client_id:
            description: The MQTT client id that it claims.
            type: str
          username:
            description: The user name. Without it the client is anonymous.
            type: str
          password_file:
            description: File on the controller with the password (never the password itself), plain or encrypted with Ansible Vault.
            type: path
          tls:
            description: Its side of TLS.
            type: dict
            suboptions:
              cert_file:
                description: Its certificate (PEM).
                type: path
              key_file:
                description: The certificate's key.
                type: path
          topic:
            description: The topic.
            type: str
            required: true
"""

EXAMPLES = r"""
- name: Prove who may come in
  edgestack.iot.mqtt_check:
    host: broker.example.org
    ca_file: devices/kitchen-pi/ca.pem
    clients:
      pi:
        client_id: kitchen-pi
        username: kitchen-pi
        password_file: devices/kitchen-pi/password
        tls: {cert_file: devices/kitchen-pi/device.pem, key_file: devices/kitchen-pi/device.key}
    cases:
      - name: a registered device publishes
        client: pi
        action: publish
        topic: sensor/raspberrypi/kitchen-pi
        payload: '{"cpu_usage": 3.5}'
        expect: accepted
      - name: a client without a certificate
        client: pi
        certificate: none
        expect: refused
        refused_in: tls
"""

RETURN = r"""
cases:
  description: What came of each case, in the order of O(cases).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The case.
      type: str
    expected:
      description: What had to come of it.
      type: str
    observed:
      description: The CONNACK, TLS alert, PUBACK or what became of the message.
      type: str
    ok:
      description: Whether they agree.
      type: bool
    seconds:
      description: How long it took.
      type: float
    advice:
      description: What to do when they do not.
      type: str
readings:
  description: The readings that were published, in the order of their times.
  returned: always
  type: list
  elements: dict
  contains:
    case:
      description: The case.
      type: str
    topic:
      description: Where it was published.
      type: str
    device:
      description: The device in the topic.
      type: str
    time:
      description: Its time in ms since 1970.
      type: int
    nonce:
      description: What no other reading has.
      type: str
    value:
      description: Its value.
      type: float
    wanted:
      description: Whether it may be stored. False for what a case had no right to publish.
      type: bool
"""
