# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import re
import stat
import string
import subprocess

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._secrets import policy, tracked
from ansible_collections.edgestack.iot.plugins.module_utils._secrets.policy import SecretsError
from ansible_collections.edgestack.iot.plugins.module_utils._secrets.store import Store, Wanted, placeholder


class Reverse:
    """A cipher that can be seen through, so that what is on the disk can be compared."""

    def __init__(self, can_encrypt=True):
        self.can_encrypt = can_encrypt

    def is_encrypted(self, data):
        return data.startswith(b"REVERSED:")

    def encrypt(self, data):
        return b"REVERSED:" + data[::-1]

    def decrypt(self, data):
        return data.removeprefix(b"REVERSED:")[::-1]


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# Policies


@pytest.mark.parametrize("name", sorted(policy.POLICIES))
@pytest.mark.parametrize("which", ["default_length", "minimum", "maximum"])
def test_generated_secrets_fit_every_consumer(name, which):
    length = getattr(policy.POLICIES[name], which)
    for _round in range(30):
        secret = policy.generate(name, None if which == "default_length" else length)
        assert len(secret) == length
        assert secret[0] in string.ascii_letters + string.digits
        assert set(secret) <= set(string.ascii_letters + string.digits + "-_")


def test_a_password_has_the_classes_that_emqx_asks_for():
    for _round in range(200):
        secret = policy.generate("password", 8)
        assert all(set(secret) & set(characters) for characters in (string.ascii_lowercase, string.ascii_uppercase, string.digits))


def test_a_passphrase_is_readable():
    assert re.fullmatch(r"([a-km-z2-9]{4}-){7}[a-km-z2-9]{4}", policy.generate("passphrase"))
    assert not policy.generate("passphrase", 20).endswith("-")


def test_a_cookie_begins_like_an_atom():
    assert all(policy.generate("cookie")[0] in string.ascii_letters for _round in range(50))


def test_secrets_differ():
    assert len({policy.generate("hex", 16) for _round in range(100)}) == 100


@pytest.mark.parametrize(("name", "length"), [("password", 7), ("password", 65), ("token", 0), ("hex", -1), ("cookie", 256)])
def test_lengths_that_a_consumer_refuses(name, length):
    with pytest.raises(SecretsError, match="characters"):
        policy.generate(name, length)


def test_an_unknown_policy():
    with pytest.raises(SecretsError, match="use one of cookie, hex"):
        policy.generate("strong")


# The store


def test_makes_what_is_missing_once(tmp_path):
    store = Store(str(tmp_path / "secrets"))
    outcome = store.ensure([Wanted("one"), Wanted("two", "hex", 32)])
    assert (outcome.created, outcome.changed) == (["one", "two"], True)
    first = store.read("one")
    assert re.fullmatch("[0-9a-f]{32}", store.read("two"))
    again = store.ensure([Wanted("one"), Wanted("three")])
    assert (again.created, again.unchanged) == (["three"], ["one"])
    assert store.read("one") == first
    assert not store.ensure([Wanted("one")]).changed


def test_everything_is_private(tmp_path):
    old = os.umask(0)
    try:
        Store(str(tmp_path / "secrets")).ensure([Wanted("one")])
    finally:
        os.umask(old)
    assert mode(tmp_path / "secrets") == 0o700
    assert mode(tmp_path / "secrets" / "one") == 0o600
    assert "*" in (tmp_path / "secrets" / ".gitignore").read_text().splitlines()
    assert sorted(os.listdir(tmp_path / "secrets")) == [".gitignore", ".lock", "one"]


def test_a_directory_that_was_open_is_closed(tmp_path):
    (tmp_path / "secrets").mkdir(mode=0o755)
    Store(str(tmp_path / "secrets")).ensure([Wanted("one")])
    assert mode(tmp_path / "secrets") == 0o700


def test_check_mode_writes_nothing(tmp_path):
    store = Store(str(tmp_path / "secrets"))
    assert store.ensure([Wanted("one"), Wanted("two", value="x")], check=True).created == ["one", "two"]
    assert os.listdir(tmp_path) == []


def test_a_value_is_stored_and_replaced(tmp_path):
    store = Store(str(tmp_path))
    assert store.put("token", "first==") is True
    assert store.put("token", "first==") is False
    outcome = store.ensure([Wanted("token", value="second")])
    assert (outcome.updated, outcome.created) == (["token"], [])
    assert store.read("token") == "second"


def test_what_a_user_wrote_is_kept_without_the_line_end(tmp_path):
    (tmp_path / "one").write_text("from an editor\r\n")
    store = Store(str(tmp_path))
    assert not store.ensure([Wanted("one")]).changed
    assert store.read("one") == "from an editor"


def test_an_empty_file_is_missing(tmp_path):
    (tmp_path / "one").write_text("\n")
    store = Store(str(tmp_path))
    assert store.read("one") is None
    assert store.ensure([Wanted("one")]).created == ["one"]
    assert len(store.read("one")) == 24


def test_encrypted_when_there_is_a_password_and_readable_both_ways(tmp_path):
    Store(str(tmp_path)).ensure([Wanted("plain", value="abc")])
    store = Store(str(tmp_path), Reverse())
    store.ensure([Wanted("plain"), Wanted("closed", value="xyz")])
    assert (tmp_path / "plain").read_bytes() == b"abc"
    assert (tmp_path / "closed").read_bytes() == b"REVERSED:zyx"
    assert (store.read("plain"), store.read("closed")) == ("abc", "xyz")
    Store(str(tmp_path), Reverse(can_encrypt=False)).ensure([Wanted("later", value="def")])
    assert (tmp_path / "later").read_bytes() == b"def"


@pytest.mark.parametrize("name", ["", ".gitignore", ".lock", "a/b", "../x", "a b", "-x", "x" * 129, "ñ", "a\n"])
def test_names_that_are_no_files_of_ours(tmp_path, name):
    with pytest.raises(SecretsError, match="name"):
        Store(str(tmp_path / "s")).ensure([Wanted("good"), Wanted(name)])
    with pytest.raises(SecretsError, match="name"):
        Store(str(tmp_path)).read(name)
    assert not (tmp_path / "s").exists()


def test_a_name_with_a_host_in_it(tmp_path):
    store = Store(str(tmp_path))
    store.ensure([Wanted("telegraf_mqtt_password_gateway-1.example.com")])
    assert store.read("telegraf_mqtt_password_gateway-1.example.com")


@pytest.mark.parametrize("value", ["", "a\nb", "a\r", "\x00", "a\x7f"])
def test_values_that_are_no_secrets(tmp_path, value):
    with pytest.raises(SecretsError, match="one") as caught:
        Store(str(tmp_path)).ensure([Wanted("one", value=value)])
    assert value == "" or value not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_twice_the_same_name(tmp_path):
    with pytest.raises(SecretsError, match="twice"):
        Store(str(tmp_path)).ensure([Wanted("one"), Wanted("one", "hex")])


def test_a_value_is_not_in_the_representation():
    assert "hidden" not in repr(Wanted("one", value="hidden"))


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "one").write_bytes(b"\xff\xfe\x00secret")
    with pytest.raises(SecretsError, match="not UTF-8") as caught:
        Store(str(tmp_path)).read("one")
    assert caught.value.__suppress_context__


def test_a_directory_in_a_secrets_place(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(SecretsError, match="can't be read"):
        Store(str(tmp_path)).read("one")


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretsError, match="can't be"):
        Store(str(tmp_path / "file" / "secrets")).ensure([Wanted("one")])


def test_what_a_killed_run_left_is_overwritten(tmp_path):
    (tmp_path / ".one.tmp").write_text("half")
    Store(str(tmp_path)).ensure([Wanted("one")])
    assert not (tmp_path / ".one.tmp").exists()


def test_a_link_in_the_temporary_files_place_is_not_followed(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "elsewhere").write_text("untouched")
    (tmp_path / "secrets" / ".one.tmp").symlink_to(tmp_path / "elsewhere")
    Store(str(tmp_path / "secrets")).ensure([Wanted("one")])
    assert (tmp_path / "elsewhere").read_text() == "untouched"


def _ensure(path):
    store = Store(path)
    outcome = store.ensure([Wanted(f"secret{number}") for number in range(20)])
    return len(outcome.created), [store.read(f"secret{number}") for number in range(20)]


def test_parallel_forks_make_each_secret_once(tmp_path):
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(8, mp_context=context) as pool:
        results = list(pool.map(_ensure, [str(tmp_path / "secrets")] * 8))
    assert sum(created for created, _values in results) == 20
    assert all(values == results[0][1] for _created, values in results)


def test_the_placeholder_is_stable():
    assert placeholder("one") == placeholder("one") != placeholder("two")
    assert 8 <= len(placeholder("one")) <= 64


# git


def git(path, *words):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(path), *words], check=True, capture_output=True
    )


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q")
    return tmp_path


def test_outside_of_a_repository_nothing_is_tracked(tmp_path):
    assert tracked.tracked_files(str(tmp_path / "not" / "there")) == []


def test_ignored_secrets_are_not_tracked(repository):
    Store(str(repository / "secrets")).ensure([Wanted("one")])
    git(repository, "add", "-A")
    assert tracked.tracked_files(str(repository / "secrets")) == []


def test_tracked_secrets_are_found(repository, monkeypatch):
    Store(str(repository / "secrets")).ensure([Wanted("one")])
    git(repository, "add", "-f", "secrets/one", "secrets/.gitignore")
    # As in a git hook, which must not lead to another repository.
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert tracked.tracked_files(str(repository / "secrets")) == ["one"]


def test_a_deleted_directory_that_git_still_has(repository):
    Store(str(repository / "secrets")).ensure([Wanted("one")])
    git(repository, "add", "-f", "secrets/one")
    subprocess.run(["rm", "-r", str(repository / "secrets")], check=True)
    assert tracked.tracked_files(str(repository / "secrets")) == ["secrets/one"]


def test_a_link_into_a_repository(repository, tmp_path_factory):
    Store(str(repository / "secrets")).ensure([Wanted("one")])
    git(repository, "add", "-f", "secrets/one")
    link = tmp_path_factory.mktemp("other") / "link"
    link.symlink_to(repository / "secrets")
    assert tracked.tracked_files(str(link)) == ["one"]


def test_a_repository_without_git(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(tracked.GitUnavailable, match="no git command"):
        tracked.tracked_files(str(repository))


def test_a_damaged_repository(tmp_path):
    (tmp_path / ".git").write_text("gitdir: nowhere")
    with pytest.raises(tracked.GitUnavailable, match="can't say"):
        tracked.tracked_files(str(tmp_path))
