# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a short script with PyMySQL takes for the devices' rows: bare_rows.py SOCKET COUNT [check]."""

from __future__ import annotations

import hashlib
import secrets
import sys

import pymysql

connection = pymysql.connect(unix_socket=sys.argv[1], user="root", database="bare", autocommit=False)
names = [f"device-{number:05d}" for number in range(int(sys.argv[2]))]
with connection, connection.cursor() as cursor:
    if sys.argv[3:]:
        cursor.execute("SELECT username, password_hash, salt FROM mqtt_user")
        users = cursor.fetchall()
        cursor.execute("SELECT username, action, topic FROM mqtt_acl")
        assert len(users) == len(names) and len(cursor.fetchall()) == 2 * len(names)
    else:
        cursor.execute("CREATE TABLE mqtt_user (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(100) UNIQUE, password_hash VARCHAR(100), salt VARCHAR(35))")
        cursor.execute("CREATE TABLE mqtt_acl (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(255), action VARCHAR(9), topic VARCHAR(255))")
        users = []
        for name in names:
            salt, password = secrets.token_hex(16), secrets.token_urlsafe(24)
            users.append((name, hashlib.sha256((password + salt).encode()).hexdigest(), salt))
        cursor.executemany("INSERT INTO mqtt_user (username, password_hash, salt) VALUES (%s, %s, %s)", users)
        rules = [(name, action, "sensor/${username}") for name in names for action in ("publish", "subscribe")]
        cursor.executemany("INSERT INTO mqtt_acl (username, action, topic) VALUES (%s, %s, %s)", rules)
        connection.commit()
