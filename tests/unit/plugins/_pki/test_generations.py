# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One authority after another, intermediates, limits, devices with a key of their own, revocation; openssl is the independent judge."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import pathlib
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from ansible_collections.edgestack.iot.plugins.module_utils._pki import authority, batch, files, index, inspect, install, issue, request, revocation
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Adoption, Authority, Revocation, WantedAuthority
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError, Wanted

# openssl judges with the machine's clock.
NOW = inspect.utc_now()
DAY = datetime.timedelta(days=1)
PASSPHRASE = "correct-horse"


def wanted(**options):
    return WantedAuthority("Test CA", "edgestack", **options)


def tree(path):
    return {str(one.relative_to(path)): one.read_bytes() for one in sorted(path.rglob("*")) if one.is_file()}


@pytest.fixture
def ca(tmp_path):
    made = Authority(str(tmp_path / "pki"))
    made.ensure(wanted(), PASSPHRASE, NOW)
    return made


def server(ca, name="broker.example", **options):
    leaf = Wanted.checked(name, **options)
    key = request.generate_key("ecdsa_p256")
    return ca.sign_request(leaf, request.make_request(key, name), PASSPHRASE, NOW)


def verifies(tmp_path, trusted, sent, purpose="sslserver", crl=None):
    """Whether openssl accepts the first certificate of what was sent, with the rest of it as untrusted."""
    certificates = [authority.certificate_pem(one) for one in inspect.load_certificates(sent)]
    (tmp_path / "trusted").write_bytes(trusted + (crl or b""))
    (tmp_path / "leaf").write_bytes(certificates[0])
    (tmp_path / "rest").write_bytes(b"".join(certificates[1:]))
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(tmp_path / "trusted")]
    command += ["-untrusted", str(tmp_path / "rest")] if certificates[1:] else []
    command += ["-crl_check"] if crl else []
    result = subprocess.run([*command, str(tmp_path / "leaf")], capture_output=True, text=True, check=False)
    return result.returncode == 0


def test_a_rollover(ca, tmp_path):
    first = ca.bundle()
    before = server(ca)
    predicted = ca.ensure(wanted(generation=2), PASSPHRASE, NOW, check=True)
    assert predicted.changed and predicted.after["subject"] == "O=edgestack, CN=Test CA G2" and ca.generation() == 1
    outcome = ca.ensure(wanted(generation=2), PASSPHRASE, NOW)
    assert outcome.changed and outcome.reasons == ["generation 2 follows 1"] and outcome.warnings == []
    assert outcome.trusted == ["O=edgestack, CN=Test CA G2", "O=edgestack, CN=Test CA"]
    assert ca.generation() == 2 and oct(os.stat(os.path.join(ca.directory, "old", "1", "ca.key")).st_mode & 0o777) == "0o600"
    again = ca.ensure(wanted(generation=2), PASSPHRASE, NOW)
    assert not again.changed and again.warnings == [] and again.trusted == outcome.trusted
    both, after = ca.bundle(), server(ca)
    second = authority.certificate_pem(ca.certificate())
    assert both == second + first
    # Old and new certificates, seen with what old and new clients trust. An old client follows by the cross certificate.
    assert verifies(tmp_path, both, before) and verifies(tmp_path, both, after)
    assert verifies(tmp_path, first, before) and verifies(tmp_path, first, after)
    assert verifies(tmp_path, second, after) and not verifies(tmp_path, second, before)
    assert not verifies(tmp_path, first, authority.certificate_pem(inspect.load_certificate(after)))

    assert ca.ensure(wanted(generation=2, retire=1), PASSPHRASE, NOW, check=True).trusted == ["O=edgestack, CN=Test CA G2"]
    assert ca.bundle() == both
    retired = ca.ensure(wanted(generation=2, retire=1), PASSPHRASE, NOW)
    assert retired.trusted_before == outcome.trusted and retired.trusted == ["O=edgestack, CN=Test CA G2"]
    assert retired.reasons == ["generation 1 is retired"] and ca.bundle() == second and ca.chain() == b""
    assert not ca.ensure(wanted(generation=2, retire=1), PASSPHRASE, NOW).changed
    assert not verifies(tmp_path, ca.bundle(), before) and verifies(tmp_path, ca.bundle(), server(ca))
    # The next one: two retired, one trusted.
    third = ca.ensure(wanted(generation=3, retire=1), PASSPHRASE, NOW)
    assert third.trusted == ["O=edgestack, CN=Test CA G3", "O=edgestack, CN=Test CA G2"]


def test_reasons_name_the_authority_before(ca):
    leaf = Wanted.checked("broker.example")
    key = request.generate_key("ecdsa_p256")
    pem = ca.sign_request(leaf, request.make_request(key, "x"), PASSPHRASE, NOW)

    def reasons():
        return inspect.regeneration_reasons(leaf, pem, request.private_pem(key), ca.certificate(), NOW, ca.history())

    assert reasons() == []
    ca.ensure(wanted(generation=2), PASSPHRASE, NOW)
    assert reasons() == ["issued by the CA before, which is still trusted (O=edgestack, CN=Test CA)"]
    ca.ensure(wanted(generation=2, retire=1), PASSPHRASE, NOW)
    assert reasons() == ["issued by a retired CA (O=edgestack, CN=Test CA)"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("intermediate", [False, True])
def test_a_rollover_killed_at_every_step(tmp_path, monkeypatch, intermediate):
    """Whatever was written last: the next run ends where an undisturbed one does, and nothing that was issued is lost."""
    step = 0
    while True:
        ca = Authority(str(tmp_path / f"pki-{step}"))
        ca.ensure(wanted(), PASSPHRASE, NOW)
        before = server(ca)
        calls = [0]

        def dying(real, calls=calls, step=step):
            def call(*words, **options):
                calls[0] += 1
                if calls[0] == step:
                    raise Killed
                return real(*words, **options)

            return call

        with monkeypatch.context() as patch:
            for module, name in ((files, "write_atomic"), (files, "write_new"), (os, "rename"), (os, "replace")):
                patch.setattr(module, name, dying(getattr(module, name)))
            with contextlib.suppress(Killed):
                if step:
                    ca.ensure(wanted(generation=2, intermediate=intermediate), PASSPHRASE, NOW)
        finished = step and calls[0] < step
        outcome = ca.ensure(wanted(generation=2, intermediate=intermediate), PASSPHRASE, NOW)
        assert outcome.generation == 2 and outcome.warnings == [], step
        assert not ca.ensure(wanted(generation=2, intermediate=intermediate), PASSPHRASE, NOW).changed
        assert len(inspect.load_certificates(ca.bundle())) == 2
        after = server(ca)
        assert verifies(tmp_path, ca.bundle(), before) and verifies(tmp_path, ca.bundle(), after), step
        assert verifies(tmp_path, authority.certificate_pem(ca.previous()[0].authority.root()), after), step
        assert {"next", "committed", "done"}.isdisjoint(os.listdir(ca.directory))
        assert all(record["state"] == "issued" for record in ca.issued())
        if finished:
            break
        step += 1
    assert step > 15


def test_an_intermediate(tmp_path):
    ca = Authority(str(tmp_path / "pki"))
    outcome = ca.ensure(wanted(intermediate=True), PASSPHRASE, NOW)
    assert outcome.after["subject"] == "O=edgestack, CN=Test CA Issuing" and outcome.after["issuer"] == "O=edgestack, CN=Test CA"
    assert outcome.trusted == ["O=edgestack, CN=Test CA"] and inspect.path_length(ca.certificate()) == 0
    assert not ca.ensure(wanted(intermediate=True), PASSPHRASE, NOW).changed
    assert verifies(tmp_path, ca.bundle(), server(ca))
    assert [record["profile"] for record in ca.issued()] == ["authority", "server"]
    # The root's key can be kept elsewhere: nothing but a rollover asks for it.
    os.rename(ca.root_key_path, tmp_path / "root.key")
    assert not ca.ensure(wanted(intermediate=True), PASSPHRASE, NOW).changed and verifies(tmp_path, ca.bundle(), server(ca))
    outcome = ca.ensure(wanted(intermediate=True, generation=2), PASSPHRASE, NOW)
    assert "path length 0" in outcome.warnings[0] and len(inspect.load_certificates(ca.bundle())) == 2


def test_limits(tmp_path):
    limits = {"permitted_names": ("DNS:iot.example", "IP:10.0.0.0/8"), "excluded_names": ("DNS:office.iot.example",), "path_length": 1}
    ca = Authority(str(tmp_path / "pki"))
    assert ca.ensure(wanted(**limits), PASSPHRASE, NOW).warnings == []
    assert ca.ensure(wanted(**limits), PASSPHRASE, NOW).warnings == []
    assert inspect.path_length(ca.certificate()) == 1
    for names in (["iot.example"], ["a.iot.example", "10.1.2.3"]):
        assert verifies(tmp_path, ca.bundle(), server(ca, "a.iot.example", names=names))
    for names in (["example.org"], ["notiot.example"], ["x.office.iot.example"], ["192.0.2.1"]):
        with pytest.raises(PkiError, match="not among the names"):
            server(ca, "a.iot.example", names=names)
    for change in ({"permitted_names": ()}, {"path_length": 2}):
        assert "kept as it is" in ca.ensure(wanted(**{**limits, **change}), PASSPHRASE, NOW).warnings[0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"generation": 3}, "one at a time"),
        ({"generation": 0}, "first one is 1"),
        ({"retire": 1}, "can't be retired"),
        ({"permitted_names": ("example.com",)}, "write DNS:"),
        ({"excluded_names": ("IP:10.0.0.1/8",)}, "is no network"),
        ({"intermediate": True, "path_length": 0}, "at least 1"),
        ({"generation": 2, "retire": 1, "adoption": Adoption("pki/ca.pem", "pki/ca.key", PASSPHRASE)}, "can't follow itself"),
    ],
)
def test_rollovers_that_are_refused(ca, tmp_path, monkeypatch, options, text):
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(PkiError, match=text):
        ca.ensure(wanted(**options), PASSPHRASE, NOW)
    assert tree(tmp_path) == before


def test_a_lower_generation_and_one_before_the_first(ca, tmp_path):
    ca.ensure(wanted(generation=2), PASSPHRASE, NOW)
    assert "generation 2, asked for was 1" in ca.ensure(wanted(), PASSPHRASE, NOW).warnings[0]
    with pytest.raises(PkiError, match="the next one is 1"):
        Authority(str(tmp_path / "x")).ensure(wanted(generation=2), PASSPHRASE, NOW)
    # ca.pem is lost: the same generation is made anew of its key.
    os.unlink(ca.certificate_path)
    assert ca.ensure(wanted(generation=2), PASSPHRASE, NOW).reasons == ["the key is there, its certificate is missing"]
    assert ca.generation() == 2 and len(inspect.load_certificates(ca.bundle())) == 2


def test_an_adopted_authority_follows(ca, tmp_path):
    old = server(ca)
    root_key, key = request.generate_key("ecdsa_p256"), request.generate_key("ecdsa_p256")
    root = issue.self_signed(root_key, "Corporate Root", "", 1000, NOW)
    sub = issue.sign_authority(request.subject_name("Corporate Sub"), key.public_key(), root, root_key, 900, NOW, path_length=0)
    (tmp_path / "sub.key").write_bytes(request.private_pem(key))
    (tmp_path / "sub.pem").write_bytes(authority.certificate_pem(sub))
    source = Adoption(str(tmp_path / "sub.pem"), str(tmp_path / "sub.key"))
    with pytest.raises(PkiError, match="all certificates up to the root"):
        ca.ensure(wanted(generation=2, adoption=source), PASSPHRASE, NOW)
    (tmp_path / "sub.pem").write_bytes(authority.certificate_pem(sub) + authority.certificate_pem(root))
    assert ca.ensure(wanted(generation=2, adoption=source), PASSPHRASE, NOW, check=True).after["subject"] == "CN=Corporate Sub"
    outcome = ca.ensure(wanted(generation=2, adoption=source), PASSPHRASE, NOW)
    assert outcome.trusted == ["CN=Corporate Root", "O=edgestack, CN=Test CA"]
    assert not ca.ensure(wanted(generation=2, adoption=source), PASSPHRASE, NOW).changed
    assert verifies(tmp_path, ca.bundle(), old) and verifies(tmp_path, ca.bundle(), server(ca))
    assert verifies(tmp_path, authority.certificate_pem(root), server(ca))


def test_what_a_killed_run_left_of_another_wish_is_not_used(ca, tmp_path, monkeypatch):
    """Killed before the rename that counts, and then something else was asked for."""

    def killed(source, *_words):
        raise Killed

    key = request.generate_key("ecdsa_p256")
    root = issue.self_signed(key, "Corporate Root", "", 1000, NOW)
    (tmp_path / "ca.key").write_bytes(request.private_pem(key))
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem(root))
    source = Adoption(str(tmp_path / "ca.pem"), str(tmp_path / "ca.key"))
    for first, then, name in (
        ({}, {"adoption": source}, "CN=Corporate Root"),
        ({}, {"intermediate": True}, "O=edgestack, CN=Test CA G3 Issuing"),
    ):
        generation = ca.generation() + 1
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(os, "rename", killed)
            ca.ensure(wanted(generation=generation, **first), PASSPHRASE, NOW)
        assert os.path.exists(os.path.join(ca.directory, "next", "ca.pem")) and ca.generation() == generation - 1
        assert ca.ensure(wanted(generation=generation, **then), PASSPHRASE, NOW).after["subject"] == name
        assert verifies(tmp_path, ca.bundle(), server(ca))


def test_an_expired_authority_can_be_followed(ca):
    later = NOW + 8000 * DAY
    with pytest.raises(PkiError, match="expired"):
        ca.ensure(wanted(), PASSPHRASE, later)
    outcome = ca.ensure(wanted(generation=2), PASSPHRASE, later)
    assert outcome.changed and any("can't be signed by the one before" in warning for warning in outcome.warnings)


# A host, and devices


def test_the_chain_on_a_host(ca, tmp_path):
    target = install.Target(str(tmp_path / "tls"), "server")
    leaf, ownership = Wanted.checked("broker.example"), install.Ownership()

    def state():
        return target.state(leaf, ca.certificate(), ca.bundle(), ownership, NOW, ca.chain(), ca.history())

    def converge():
        found = state()
        if found.reasons:
            signed = ca.sign_request(leaf, target.prepare(leaf, ownership), PASSPHRASE, NOW)
            target.install(leaf, signed, ca.certificate(), ca.bundle(), ownership, NOW)
        else:
            target.adjust(ca.bundle(), ownership, ca.chain())
        assert not state().changed
        return found

    converge()
    ca.ensure(wanted(generation=2), PASSPHRASE, NOW)
    assert "still trusted" in converge().reasons[0]
    pem = pathlib.Path(target.certificate)
    assert len(inspect.load_certificates(pem.read_bytes())) == 2
    leaf_before = inspect.load_certificate(pem.read_bytes())
    ca.ensure(wanted(generation=2, retire=1), PASSPHRASE, NOW)
    assert converge().changes == ["ca.pem", "server.pem: the chain behind it"]
    assert inspect.load_certificates(pem.read_bytes()) == [leaf_before]


def run_batch(ca, path, entries, **options):
    found = batch.devices_of(entries, "ecdsa_p256")
    template = Wanted.checked("device", profile="client", valid_days=3650)
    return batch.Batch(str(path), ca, template, NOW, 2, 100).run(found.present, PASSPHRASE, revoked=found.revoked, **options)


@pytest.fixture
def entries():
    return [{"id": f"dev-{number}"} for number in range(4)]


def test_devices_follow_a_rollover(ca, tmp_path, entries):
    path = tmp_path / "devices"
    run_batch(ca, path, entries)
    old = (path / "dev-1" / "device.pem").read_bytes()
    ca.ensure(wanted(generation=2, intermediate=True), PASSPHRASE, NOW)
    outcome = run_batch(ca, path, entries)
    assert len(outcome.issued) == 4 and "still trusted" in outcome.issued[0].reasons[0]
    assert (path / "dev-1" / "ca.pem").read_bytes() == ca.bundle()
    assert not run_batch(ca, path, entries).changed
    new = (path / "dev-1" / "device.pem").read_bytes()
    assert verifies(tmp_path, ca.bundle(), new, "sslclient") and verifies(tmp_path, ca.bundle(), old, "sslclient")
    ca.ensure(wanted(generation=2, intermediate=True, retire=1), PASSPHRASE, NOW)
    outcome = run_batch(ca, path, entries)
    assert not outcome.issued and [one.changes for one in outcome.adjusted] == [("ca.pem",)] * 4
    # A chain that somebody cut off.
    (path / "dev-1" / "device.pem").write_bytes(authority.certificate_pem(inspect.load_certificate(new)))
    assert [one.changes for one in run_batch(ca, path, entries).adjusted] == [(batch.CHAIN,)]
    assert (path / "dev-1" / "device.pem").read_bytes() == new


def test_a_device_that_keeps_its_key(ca, tmp_path, entries):
    path = tmp_path / "devices"
    keys = [request.generate_key(kind) for kind in ("ecdsa_p384", "ecdsa_p256")]
    (path / "dev-0").mkdir(parents=True)
    csr = path / "dev-0" / "device.csr"
    csr.write_bytes(request.make_request(keys[0], "what it says does not matter"))
    run_batch(ca, path, entries)
    assert sorted(os.listdir(path / "dev-0")) == ["ca.pem", "device.csr", "device.pem"]
    pem = (path / "dev-0" / "device.pem").read_bytes()
    assert install.fits(request.private_pem(keys[0]), pem) and inspect.certificate_info(inspect.load_certificate(pem))["subject"] == "CN=dev-0"
    assert not run_batch(ca, path, entries).changed
    # Another key of its own; then a device whose key was made here brings one.
    csr.write_bytes(request.make_request(keys[1], "x"))
    (path / "dev-1" / "device.csr").write_bytes(request.make_request(keys[0], "x"))
    outcome = run_batch(ca, path, entries)
    assert {one.device.id: one.reasons[0] for one in outcome.issued} == dict.fromkeys(["dev-0", "dev-1"], "the key does not fit the certificate")
    assert sorted(os.listdir(path / "dev-1")) == ["ca.pem", "device.csr", "device.pem"]
    assert not run_batch(ca, path, entries).changed
    before = tree(path)
    for data, text in ((b"no request", "dev-0/device.csr: this is no certificate request"), (_strange_request(), "its key is ed25519")):
        csr.write_bytes(data)
        with pytest.raises(PkiError, match=text):
            run_batch(ca, path, [*entries, {"id": "new"}])
        csr.write_bytes(before["dev-0/device.csr"])
        assert tree(path) == before


def _strange_request():
    builder = x509.CertificateSigningRequestBuilder().subject_name(request.subject_name("x"))
    return builder.sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(inspect.PEM)


def test_a_revoked_device_never_gets_its_certificate_back(ca, tmp_path, entries):
    path = tmp_path / "devices"
    run_batch(ca, path, entries)
    serial = inspect.serial_number(inspect.load_certificate((path / "dev-2" / "device.pem").read_bytes()))
    revoked = [{**one, "state": "revoked"} if one["id"] == "dev-2" else one for one in entries]
    before = tree(tmp_path)
    assert run_batch(ca, path, revoked, check=True).revoked == ["dev-2"]
    assert tree(tmp_path) == before
    pair = {name: (path / "dev-2" / name).read_bytes() for name in ("device.key", "device.pem")}
    outcome = run_batch(ca, path, revoked)
    assert outcome.revoked == outcome.removed == ["dev-2"] and list(ca.revoked()) == [serial]
    assert sorted(one.name for one in (path / "dev-2").iterdir()) == ["ca.pem"], "nobody takes them for good ones"
    assert not run_batch(ca, path, revoked).changed
    # A run that was killed in between, or a copy that somebody put back.
    (path / "dev-2" / "device.key").write_bytes(pair["device.key"])
    assert run_batch(ca, path, revoked).removed == ["dev-2"] and not (path / "dev-2" / "device.key").exists()
    for name, data in pair.items():
        (path / "dev-2" / name).write_bytes(data)
    [one] = run_batch(ca, path, entries).issued
    assert one.device.id == "dev-2" and one.reasons == ("it was revoked",)
    assert (path / "dev-2" / "device.key").read_bytes() != pair["device.key"]
    assert not run_batch(ca, path, entries).changed


def test_a_revoked_device_whose_files_cannot_be_removed_is_an_error(ca, tmp_path, entries, monkeypatch):
    path = tmp_path / "devices"
    run_batch(ca, path, entries)
    revoked = [{**one, "state": "revoked"} if one["id"] == "dev-2" else one for one in entries]

    def unlink(file, *_words, **_options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), file)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", unlink)
        with pytest.raises(PkiError, match="Read-only file system"):
            run_batch(ca, path, revoked)
    # It is recorded all the same, and the next run goes on.
    assert len(ca.revoked()) == 1
    assert run_batch(ca, path, revoked).removed == ["dev-2"]


def _full(after):
    """A disk that is full after so many files."""
    real, count = files.write_new, [0]

    def write(path, *words, **options):
        count[0] += 1
        if count[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return real(path, *words, **options)

    return write


def test_the_disk_is_full_in_the_middle_of_a_batch(ca, tmp_path, monkeypatch):
    path = tmp_path / "devices"
    entries = [{"id": f"dev-{number}"} for number in range(30)]
    found = batch.devices_of(entries, "ecdsa_p256").present
    work = batch.Batch(str(path), ca, Wanted.checked("device", profile="client"), NOW, 1, 10)
    monkeypatch.setattr(files, "write_new", _full(50))
    with pytest.raises(PkiError, match="No space left on device"):
        work.run(found, PASSPHRASE)
    monkeypatch.undo()
    complete = [one.name for one in path.glob("dev-*")]
    assert len(complete) == 10 and all(sorted(os.listdir(path / name)) == ["ca.pem", "device.key", "device.pem"] for name in complete)
    before = tree(path)
    outcome = work.run(found, PASSPHRASE)
    assert len(outcome.issued) == 20 and {name: data for name, data in tree(path).items() if name.split("/")[0] in complete} == {
        name: data for name, data in before.items() if name.split("/")[0] in complete
    }
    assert not list(path.glob(".*.new"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_real_small_disk(ca, tmp_path):
    path = tmp_path / "devices"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(path)], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        found = batch.devices_of([{"id": f"dev-{number}"} for number in range(60)], "ecdsa_p256").present
        work = batch.Batch(str(path), ca, Wanted.checked("device", profile="client"), NOW, 2, 10)
        with pytest.raises(PkiError, match="No space left on device"):
            work.run(found, PASSPHRASE)
        complete = list(path.glob("dev-*"))
        assert complete and all(len(os.listdir(one)) == 3 for one in complete)
        subprocess.run(["mount", "-o", "remount,size=5m", str(path)], check=True)
        assert len(work.run(found, PASSPHRASE).issued) == 60 - len(complete)
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_the_disk_is_full_when_the_authority_is_made_or_followed(tmp_path, monkeypatch):
    ca = Authority(str(tmp_path / "pki"))
    for generation in (1, 2):
        for after in range(1, 4):
            monkeypatch.setattr(files, "write_new", _full(after))
            with pytest.raises(PkiError, match="No space left on device"):
                ca.ensure(wanted(generation=generation, intermediate=True), PASSPHRASE, NOW)
            monkeypatch.undo()
        ca.ensure(wanted(generation=generation, intermediate=True), PASSPHRASE, NOW)
        assert verifies(tmp_path, ca.bundle(), server(ca))


# Revocation lists


def test_revocation_lists(ca, tmp_path):
    good, lost = server(ca, "good.example"), server(ca, "lost.example")
    serial = inspect.serial_number(inspect.load_certificate(lost))
    assert revocation.read(ca.crl_path) == revocation.Lists()
    [record] = ca.revoke([Revocation("keyCompromise", serial=serial)], NOW)
    assert record["state"] == "revoked" and record["reason"] == "keyCompromise"
    assert ca.revoke([Revocation("keyCompromise", common_name="lost.example")], NOW) == []
    with pytest.raises(PkiError, match="no record"):
        ca.revoke([Revocation(serial="123abc")], NOW)
    assert revocation.expected(ca, NOW) == ([serial], ["O=edgestack, CN=Test CA"])
    lists = revocation.renew(ca, PASSPHRASE, NOW, 30)
    assert lists.serials == [serial] and lists.days_left(NOW) == 30 and lists.issuers == ["O=edgestack, CN=Test CA"]
    crl = pathlib.Path(ca.crl_path).read_bytes()
    assert crl.startswith(b"-----BEGIN X509 CRL-----")
    assert verifies(tmp_path, ca.bundle(), good, crl=crl) and not verifies(tmp_path, ca.bundle(), lost, crl=crl)
    [entry] = x509.load_pem_x509_crl(crl)
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise
    # Beside a new authority, the list of the old one is still signed.
    ca.ensure(wanted(generation=2), PASSPHRASE, NOW)
    after = server(ca, "later.example")
    lists = revocation.renew(ca, PASSPHRASE, NOW, 30)
    assert lists.issuers == ["O=edgestack, CN=Test CA G2", "O=edgestack, CN=Test CA"] and lists.serials == [serial]
    crl = pathlib.Path(ca.crl_path).read_bytes()
    for pem, accepted in ((good, True), (lost, False), (after, True)):
        assert verifies(tmp_path, ca.bundle(), pem, crl=crl) is accepted
    # What has ended anyway leaves the list.
    assert revocation.expected(ca, NOW + 1000 * DAY)[0] == []
    assert revocation.renew(ca, PASSPHRASE, NOW + 1000 * DAY, 30).serials == []


def test_revocation_lists_that_cannot_be_made(ca, tmp_path):
    with pytest.raises(PkiError, match="does not open"):
        revocation.renew(ca, "wrong", NOW, 30)
    with pytest.raises(PkiError, match="1 to 365"):
        revocation.renew(ca, PASSPHRASE, NOW, 0)
    os.mkdir(ca.crl_path)
    with pytest.raises(PkiError, match="can't be written"):
        revocation.renew(ca, PASSPHRASE, NOW, 30)
    os.rmdir(ca.crl_path)
    pathlib.Path(ca.crl_path).write_bytes(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    assert revocation.read(ca.crl_path).next_update is None
    os.rename(ca.index_path, tmp_path / "index") if os.path.exists(ca.index_path) else None
    os.mkdir(ca.index_path)
    with pytest.raises(PkiError, match="index can't be written"):
        ca.revoke([Revocation(common_name="x")], NOW)


def test_a_foreign_authority_that_may_not_sign_lists(tmp_path, monkeypatch, ca):
    monkeypatch.setattr(inspect, "may_sign_lists", lambda _certificate: False)
    with pytest.raises(PkiError, match="cRLSign"):
        revocation.renew(ca, PASSPHRASE, NOW, 30)


def test_what_there_is(ca):
    server(ca, "old.example", valid_days=40)
    server(ca, "old.example", valid_days=50)
    server(ca, "new.example")
    server(ca, "lost.example", valid_days=60)
    ca.revoke([Revocation(common_name="lost.example")], NOW)
    with open(ca.index_path, "ab") as stream:
        stream.write(b'{"serial": "trunc\n')
    found = revocation.information(ca, NOW, 60)
    assert found["counts"] == {"issued": 3, "revoked": 1, "expired": 0, "damaged": 1}
    assert [(row["subject"], row["days_left"]) for row in found["expiring"]] == [("CN=old.example", 50)]
    assert found["authority"]["generation"] == 1 and found["crl"]["days_left"] is None
    text = revocation.table(found, 2)
    assert "CN=old.example" in text and "and 1 more" in text and "1 damaged" in text and "CRL         none" in text
    revocation.renew(ca, PASSPHRASE, NOW, 30)
    later = revocation.information(ca, NOW + 45 * DAY, 10)
    assert later["crl"]["days_left"] == -15 and later["counts"]["expired"] == 1
    assert index.latest([]) == {}
