# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables, in a real MariaDB or MySQL server of this test's own."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest
import yaml

from ansible_collections.edgestack.iot.plugins.module_utils._devices import database, hashing, profiles, registry, rows
from ansible_collections.edgestack.iot.plugins.plugin_utils import _devices

pymysql = pytest.importorskip("pymysql", reason="PyMySQL")
SERVER = shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin")
INSTALL = shutil.which("mariadb-install-db")
pytestmark = pytest.mark.skipif(SERVER is None or INSTALL is None, reason="needs mariadb-server-core and mariadb-client-core")

PROFILES = profiles.read(_devices.collection_profiles())
HASHER = hashing.Hasher(b"k" * 32)
# The old stack's tables: another collation, and none of our columns.
OLD = [
    "CREATE TABLE mqtt_user (id INT UNSIGNED NOT NULL AUTO_INCREMENT, username VARCHAR(100) DEFAULT NULL, password_hash VARCHAR(100)"
    " DEFAULT NULL, salt VARCHAR(35) DEFAULT NULL, is_superuser TINYINT(1) DEFAULT 0, created DATETIME DEFAULT NULL, PRIMARY KEY (id),"
    " UNIQUE KEY mqtt_username (username)) ENGINE=InnoDB DEFAULT CHARSET=latin1",
    "CREATE TABLE mqtt_acl (id INT UNSIGNED NOT NULL AUTO_INCREMENT, ipaddress VARCHAR(60) NOT NULL DEFAULT '', username VARCHAR(255)"
    " NOT NULL DEFAULT '', clientid VARCHAR(255) NOT NULL DEFAULT '', action ENUM('publish','subscribe','all') NOT NULL, permission"
    " ENUM('allow','deny') NOT NULL, topic VARCHAR(255) NOT NULL DEFAULT '', qos TINYINT(1), retain TINYINT(1), PRIMARY KEY (id))"
    " ENGINE=InnoDB DEFAULT CHARSET=latin1",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("db")
    # A unix socket's path has 107 characters at most.
    socket = f"/tmp/edgestack-test-{os.getpid()}.sock"
    data = base / "data"
    user = [] if os.getuid() else ["--user=root"]
    subprocess.run(
        [INSTALL, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", *user],
        check=True, capture_output=True,
    )  # fmt: skip
    process = subprocess.Popen(
        [SERVER, "--no-defaults", f"--datadir={data}", f"--socket={socket}", f"--pid-file={base / 'pid'}", "--skip-networking",
         "--innodb-flush-log-at-trx-commit=0", "--character-set-server=latin1", *user],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not pathlib.Path(socket).exists():
            assert process.poll() is None and time.monotonic() < end, "the server does not start"
            time.sleep(0.05)
        yield socket
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def connect(server):
    def open_one(**options):
        return pymysql.connect(unix_socket=server, user="root", charset="utf8mb4", autocommit=False, **options)

    with open_one() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS mqtt")
        cursor.execute("CREATE DATABASE mqtt")
    return lambda: open_one(database="mqtt")


def user(name, password="a-long-password-1", profile="raspberrypi", previous=None, **options):
    return rows.device_user(registry.Device(name, profile, **options), PROFILES[profile], password, HASHER, previous)


def query(connect, statement, *args):
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(statement, args)
        return cursor.fetchall()


def run(connect, users, gone=(), purge=False, check=False):
    with connect() as connection:
        outcome = database.converge(connection, users, gone, purge=purge, check=check)
        assert (outcome.state is None) is check
        return outcome.plan, outcome.schema


def state(connect):
    with connect() as connection:
        return database.state(connection)


def test_a_life(connect):
    users = [user("dev-1"), user("dev-2", auth="password"), user("plug", profile="sonoff_pow")]
    predicted, schema = run(connect, users, check=True)
    assert len(predicted.add) == 3 and schema == [f"create table mqtt_{name}" for name in ("user", "acl", "user_previous")]
    assert query(connect, "SHOW TABLES") == ()
    assert state(connect) is None
    made, schema = run(connect, users)
    assert made.counts()["added"] == 3 and len(schema) == 3
    first = state(connect)
    again, schema = run(connect, users)
    assert state(connect) == first
    assert not again.changed and schema == [] and again.unchanged == 3
    # One password, one kind of authentication, other permissions; one that is revoked.
    users = [user("dev-1", "a-new-password-22"), user("dev-2"), user("plug", profile="dht11")]
    changed, _schema = run(connect, users, check=True)
    assert [why for _user, why in changed.update] == [["password"], ["authentication"], ["permissions"]]
    assert state(connect) == first
    run(connect, users, gone=["dev-9"])
    assert state(connect) != first and not run(connect, users)[0].changed
    assert query(connect, "SELECT topic FROM mqtt_acl WHERE username = 'plug' ORDER BY id") == (
        ("sensor/dht11/${username}",), ("command/dht11/${username}",),
    )  # fmt: skip
    gone, _schema = run(connect, users[1:], gone=["dev-1"])
    assert gone.remove == ["dev-1"]
    assert query(connect, "SELECT COUNT(*) FROM mqtt_acl WHERE username = 'dev-1'") == ((0,),)
    left, _schema = run(connect, users[1:2])
    assert left.unlisted == ["plug"] and not left.changed
    assert run(connect, users[1:2], purge=True)[0].remove == ["plug"]


def test_old_tables_are_adopted_without_losing_rows(connect):
    with connect() as connection, connection.cursor() as cursor:
        for statement in OLD:
            cursor.execute(statement)
        cursor.execute("INSERT INTO mqtt_user (username, password_hash, salt) VALUES ('dev-1', 'x', 'y'), ('theirs', 'x', 'y')")
        cursor.execute("INSERT INTO mqtt_acl (username, action, permission, topic, qos) VALUES ('dev-1', 'all', 'allow', '#', 1)")
        cursor.execute("INSERT INTO mqtt_acl (username, action, permission, topic) VALUES ('nobody', 'all', 'allow', '#')")
        connection.commit()
    predicted, schema = run(connect, [user("dev-1")], check=True)
    assert "convert table mqtt_user to utf8mb4_bin" in schema and "add column mqtt_user.auth" in schema and predicted.changed
    done, _schema = run(connect, [user("dev-1")], purge=True)
    assert done.update[0][1] == ["password", "permissions", "owner"] and done.remove == []
    assert query(connect, "SELECT username, managed FROM mqtt_user ORDER BY id") == (("dev-1", 1), ("theirs", 0))
    assert query(connect, "SELECT topic FROM mqtt_acl WHERE username = 'dev-1' AND topic = '#'") == ()
    assert query(
        connect,
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = 'mqtt' AND collation_name IS NOT NULL",
    ) == (("utf8mb4_bin",),)
    assert not run(connect, [user("dev-1")])[0].changed


def test_what_somebody_changed_by_hand_is_put_right(connect):
    users = [user("dev-1"), user("dev-2")]
    run(connect, users)
    right = state(connect)
    for statement in (
        "UPDATE mqtt_user SET is_superuser = 1 WHERE username = 'dev-1'",
        "INSERT INTO mqtt_acl (username, action, permission, topic) VALUES ('dev-2', 'all', 'allow', '#')",
        "UPDATE mqtt_acl SET qos = 0 WHERE username = 'dev-1'",
        "DELETE FROM mqtt_acl WHERE username = 'dev-1' LIMIT 1",
    ):
        with connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            connection.commit()
        assert state(connect) != right, statement
        assert run(connect, users)[0].changed, statement
        assert state(connect) == right, statement


def test_all_or_nothing(connect):
    users = [user("dev-1")]
    run(connect, users)
    before = query(connect, "SELECT * FROM mqtt_user")

    class Breaks:
        """A connection that breaks at the first write of permissions."""

        def __init__(self, connection):
            self.real = connection

        def commit(self):
            self.real.commit()

        def rollback(self):
            self.real.rollback()

        def cursor(self):
            cursor = self.real.cursor()
            plain = cursor.executemany

            def executemany(statement, args):
                if "mqtt_acl" in statement:
                    raise pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
                return plain(statement, args)

            cursor.executemany = executemany
            return cursor

    with connect() as connection, pytest.raises(pymysql.MySQLError) as error:
        database.converge(Breaks(connection), [user("dev-1", "a-new-password-22"), user("dev-2")], [], purge=False, check=False)
    assert query(connect, "SELECT * FROM mqtt_user") == before
    assert "nothing of this run was kept" in str(database.explain(error.value))
    assert run(connect, [user("dev-1", "a-new-password-22"), user("dev-2")])[0].counts()["added"] == 1


# What the emqx role configures; ${...} become parameters of a prepared statement. EMQX gives '' for a certificate that is not there.
ROLE = yaml.safe_load((pathlib.Path(__file__).parents[4] / "roles" / "emqx" / "vars" / "main.yml").read_text())
QUERIES = ["_emqx_authentication_plain", "_emqx_authentication_with_previous"]


def ask(connect, query_name, **values):
    """As EMQX does: prepared on the server, parameters as strings."""
    template = ROLE[query_name]
    names = re.findall(r"\$\{(\w+)\}", template)
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("PREPARE q FROM %s", (re.sub(r"\$\{\w+\}", "?", template),))
        for number, name in enumerate(names):
            cursor.execute(f"SET @p{number} = %s", (values[name],))
        cursor.execute("EXECUTE q USING " + ", ".join(f"@p{number}" for number in range(len(names))))
        return cursor.fetchall()


@pytest.mark.parametrize("query_name", QUERIES)
@pytest.mark.parametrize(
    ("username", "clientid", "common_name", "admitted"),
    [
        ("dev-1", "dev-1", "dev-1", True),
        ("dev-1", "dev-1", "dev-2", False),  # another device's certificate
        ("dev-1", "dev-1", "", False),  # no certificate
        ("dev-1", "dev-2", "dev-1", False),  # another's client id
        ("DEV-1", "DEV-1", "DEV-1", False),
        ("DEV-1", "dev-1", "dev-1", False),
        ("dev-1 ", "dev-1", "dev-1", False),  # trailing blanks are equal to MySQL's PAD SPACE collations
        ("dev-1", "dev-1 ", "dev-1", False),
        ("dev-1", "dev-1", "dev-1 ", False),
        ("plug", "plug", "", True),
        ("plug", "plug ", "", False),
        ("plug ", "plug ", "", False),
        ("plug", "other", "", False),
        ("plug", "plug", "plug", False),
        ("plug", "plug", "dev-1", False),
        ("", "", "", False),
        ("nobody", "nobody", "nobody", False),
    ],
)
def test_the_brokers_query_binds_user_client_and_certificate(connect, query_name, username, clientid, common_name, admitted):
    run(connect, [user("dev-1"), user("dev-2"), user("plug", profile="sonoff_pow", auth="password")])
    found = ask(connect, query_name, username=username, clientid=clientid, cert_common_name=common_name, password="a-long-password-1")
    assert len(found) == (1 if admitted else 0)
    if admitted:
        assert found[0][0] == user(username, profile="raspberrypi").password_hash and not found[0][2]


def test_two_passwords_for_a_while(connect):
    old, new, future = "an-old-password-1", "the-new-password-1", "2099-01-01 00:00:00"
    users = [user("dev-1", new, previous=(old, future)), user("dev-2", new, previous=(old, "2020-01-01 00:00:00")), user("dev-3", new)]
    run(connect, users)
    assert not run(connect, users)[0].changed

    def admitted(name, password, query_name=QUERIES[1]):
        [(hashed, salt, _superuser)] = ask(connect, query_name, username=name, clientid=name, cert_common_name=name, password=password)
        return hashlib.sha256((password + salt).encode()).hexdigest() == hashed

    assert [admitted("dev-1", word) for word in (new, old, "another-password")] == [True, True, False]
    assert [admitted("dev-2", word) for word in (new, old)] == [True, False], "its time is over"
    assert [admitted("dev-3", word) for word in (new, old)] == [True, False]
    assert [admitted("dev-1", word, QUERIES[0]) for word in (new, old)] == [True, False]
    # Over, and revoked.
    plan, _schema = run(connect, [user("dev-1", new), *users[1:]])
    assert plan.update[0][1] == ["previous password"] and not admitted("dev-1", old)
    run(connect, users[2:], gone=["dev-1", "dev-2"])
    assert query(connect, "SELECT * FROM mqtt_user_previous") == ()


@pytest.mark.parametrize("algorithm", ["sha256", "pbkdf2"])
def test_the_role_names_the_same_hash(algorithm):
    told = ROLE["_emqx_password_hashes"][algorithm]
    hashed, salt = hashing.Hasher(b"k" * 32, algorithm).row("dev-1", "a-long-password-1")
    if algorithm == "pbkdf2":
        mine = hashlib.pbkdf2_hmac(told["mac_fun"], b"a-long-password-1", salt.encode(), told["iterations"], told["dk_length"]).hex()
    else:
        mine = hashlib.new(told["name"], f"a-long-password-1{salt}".encode()).hexdigest()
    assert hashed == mine and set(ROLE["_emqx_password_hashes"]) == set(hashing.ALGORITHMS)
