# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The private certificate authority: pure, typed, without Ansible.

The controller's side (authority, issue, batch) runs with a current cryptography; what runs on managed hosts
(request, inspect, install) also with Debian 12's version 38. Nothing here imports cryptography when the package
itself is imported: files.py is used where cryptography is not needed.
"""
