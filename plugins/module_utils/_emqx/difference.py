# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted, what is there, what to send.

`changed`, the diff and the request body come from the same comparison, so they cannot disagree. Fields that are not
wanted stay as they are; what the server adds or writes differently ("5s" for 5000, "true" for true) is no change.
"""

from __future__ import annotations

import copy
import json
import re
import typing as t

MASK = "******"
Json = t.Any
Path = tuple[str, ...]

# Names of fields whose values are secret wherever they stand.
SECRET_KEYS = frozenset(
    {
        "password", "secret", "api_secret", "secret_key", "secret_access_key", "token", "access_token",
        "private_key", "keyfile_password", "default_password", "bind_password", "passcode", "jwt_secret",
        "account_key", "authorization", "security_token", "service_account_json", "sp_private_key", "new_pwd", "old_pwd",
    }
)  # fmt: skip
# Fields that are plain texts: "5s" is not 5000 in them.
_TEXT_KEYS = frozenset(
    {
        "name", "username", "user_id", "clientid", "database", "query", "description", "desc", "reason", "who", "by",
        "topic", "mountpoint", "certfile", "keyfile", "cacertfile", "url", "body", "rules", "filter", "base_dn",
        "password_hash", "salt", "payload", "sql", "server_name_indication", "cmd",
    }
)  # fmt: skip
# Lists in which the order of the entries means nothing.
_SETS = frozenset({"versions", "excludes"})

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+", re.IGNORECASE)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.IGNORECASE)
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(b|kb|mb|gb)", re.IGNORECASE)
_BYTES = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def normal(value: Json, key: str = "") -> Json:
    """One spelling of what the server takes for the same value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return {name: normal(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        items = [normal(item, key) for item in value]
        return sorted(items, key=_order) if key in _SETS else items
    if value is None:
        return None
    if key in _TEXT_KEYS or key in SECRET_KEYS:
        return str(value)
    if key == "bind":
        return _bind(str(value))
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value).strip()
    lower = text.lower()
    if _NUMBER.fullmatch(text):
        return float(text)
    if _DURATION.fullmatch(text):
        parts = _DURATION_PART.findall(text)
        return float(sum(float(number) * _MILLISECONDS[unit.lower()] for number, unit in parts))
    size = _SIZE.fullmatch(text)
    if size:
        return float(size.group(1)) * _BYTES[size.group(2).lower()]
    return lower if lower in ("true", "false", "infinity") else text


def _order(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def _bind(text: str) -> str:
    # 1883, ":1883" and "0.0.0.0:1883" are one address to EMQX.
    host, _colon, port = text.rpartition(":")
    return f"{host or '0.0.0.0'}:{port}"  # noqa: S104 - compared, not bound


def is_open(text: str) -> bool:
    """What stands in a secret's place and is none: the path of a file, or a placeholder that EMQX fills (${password})."""
    return text.startswith("file://") or re.fullmatch(r"\$\{[^}]*\}", text) is not None


def is_secret(path: Path) -> bool:
    return bool(path) and path[-1] in SECRET_KEYS


def same_secret(wanted: str, current: Json, *, files_shown: bool, update: bool) -> bool:
    """Whether a wanted secret is the one that is there, as far as the server's answer tells.

    A masked answer does not tell: then `update` (update_secret: always) decides. Where the server shows paths of
    file:// secrets, a masked answer cannot be one.
    """
    if current is None or current == "":
        return wanted in ("", None)
    if current == MASK:
        if wanted.startswith("file://") and files_shown:
            return False
        return not update
    return bool(wanted == current)


class Difference:
    """wanted against current (None: absent).

    files_shown: the server answers with the paths of file:// secrets. resend_secrets: a secret that the
    server masks is sent anew, else only when the object is made. read_only: fields of the answer that are
    never sent. merges: the server keeps what is not sent, so that only what is wanted is sent.
    """

    def __init__(
        self,
        wanted: t.Mapping[str, Json] | None,
        current: t.Mapping[str, Json] | None,
        *,
        files_shown: bool = True,
        resend_secrets: bool = False,
        read_only: t.Iterable[str] = (),
        merges: bool = False,
    ) -> None:
        self.wanted: dict[str, Json] | None = prune(dict(wanted)) if wanted is not None else None
        self.current: dict[str, Json] | None = dict(current) if current is not None else None
        self._files_shown = files_shown
        self._update = resend_secrets
        self._read_only = frozenset(read_only)
        self._merges = merges
        self.paths: list[Path] = []
        if self.wanted is not None and self.current is not None:
            self._compare(self.wanted, self.current, ())

    @property
    def changed(self) -> bool:
        if self.wanted is None or self.current is None:
            return (self.wanted is None) != (self.current is None)
        return bool(self.paths)

    @property
    def fields(self) -> list[str]:
        """Names of the fields that differ."""
        return [".".join(path) for path in self.paths]

    def body(self) -> dict[str, Json]:
        """What is sent: all of it when it is made or replaced, the wanted part where the server merges."""
        wanted = self.wanted or {}
        if self.current is None or self._merges:
            body = copy.deepcopy(wanted)
        else:
            kept = {name: value for name, value in self.current.items() if name not in self._read_only}
            body = _merged(kept, wanted)
        if self.current is not None:
            self._keep_secrets(body, self.current, ())
        return body

    def after(self) -> dict[str, Json] | None:
        """What will be there, as far as it can be told."""
        if self.wanted is None:
            return None
        if self.current is None:
            return copy.deepcopy(self.wanted)
        if not self.paths:
            return copy.deepcopy(self.current)
        return _merged(self.current, self.wanted)

    def diff(self, header: str) -> dict[str, t.Any]:
        """Ansible's diff: only fields that differ, or all that is wanted of a new object; no secret."""
        before: dict[str, Json] = {}
        after: dict[str, Json] = {}
        if self.wanted is not None and self.current is not None:
            for path in self.paths:
                before[".".join(path)] = _shown(_at(self.current, path), path, "previous")
                after[".".join(path)] = _shown(_at(self.wanted, path), path, "new")
        elif self.wanted is not None:
            after = mask(self.wanted)
        elif self.current is not None:
            before = mask(self.current)
        return {"before_header": header, "after_header": header, "before": before, "after": after}

    def _compare(self, wanted: t.Mapping[str, Json], current: t.Mapping[str, Json], path: Path) -> None:
        for name in sorted(wanted):
            here = (*path, name)
            want, have = wanted[name], current.get(name)
            if isinstance(want, dict) and isinstance(have, dict):
                self._compare(want, have, here)
            elif is_secret(here) and isinstance(want, str):
                if not same_secret(want, have, files_shown=self._files_shown, update=self._update):
                    self.paths.append(here)
            elif not _fits(want, have, name):
                self.paths.append(here)

    def _keep_secrets(self, body: dict[str, Json], current: t.Mapping[str, Json], path: Path) -> None:
        """A secret that shall stay and that the server masks is sent as the mask: EMQX keeps what it has."""
        for name, value in list(body.items()):
            here = (*path, name)
            have = current.get(name)
            if isinstance(value, dict) and isinstance(have, dict):
                self._keep_secrets(value, have, here)
            elif is_secret(here) and have == MASK and here not in self.paths:
                body[name] = MASK


def _fits(want: Json, have: Json, key: str) -> bool:
    """Whether what is there satisfies what is wanted: dictionaries may hold more, also those in lists."""
    if isinstance(want, dict) and isinstance(have, dict):
        return all(_fits(inner, have.get(name), name) for name, inner in want.items())
    if isinstance(want, list) and isinstance(have, list):
        if key in _SETS or len(want) != len(have):
            return bool(normal(want, key) == normal(have, key))
        return all(_fits(one, other, key) for one, other in zip(want, have, strict=True))
    if have is None:
        # An empty wish is fulfilled by what is not there.
        return want in ("", None) or want == [] or want == {}
    return bool(normal(want, key) == normal(have, key))


def _merge(base: Json, over: Json) -> Json:
    if isinstance(base, dict) and isinstance(over, dict):
        if "name" in over and base.get("name") != over["name"]:
            # Another kind of the same thing, for example a hash: its fields are not those of the kind before.
            return copy.deepcopy(over)
        merged = {name: copy.deepcopy(value) for name, value in base.items()}
        for name, value in over.items():
            merged[name] = _merge(merged.get(name), value)
        return merged
    return copy.deepcopy(over)


def _merged(base: t.Mapping[str, Json], over: t.Mapping[str, Json]) -> dict[str, Json]:
    merged: dict[str, Json] = _merge(dict(base), dict(over))
    return merged


def _at(tree: t.Mapping[str, Json], path: Path) -> Json:
    value: Json = tree
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _shown(value: Json, path: Path, which: str) -> Json:
    if is_secret(path) and value not in (None, ""):
        return value if isinstance(value, str) and is_open(value) else f"{MASK} ({which})"
    return mask(value)


def prune(value: Json) -> Json:
    """Without fields whose value is None: they are not wanted, so they stay as they are."""
    if isinstance(value, dict):
        return {name: prune(inner) for name, inner in value.items() if inner is not None}
    return value


def mask(value: Json, key: str = "") -> Json:
    """A copy in which no secret can be read; paths of secret files stay."""
    if isinstance(value, dict):
        return {name: mask(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [mask(item, key) for item in value]
    if key in SECRET_KEYS and isinstance(value, str) and value and not is_open(value):
        return MASK
    return value


def secrets_in(value: Json, key: str = "") -> list[str]:
    """All secret texts, so that messages can be cleaned of them."""
    if isinstance(value, dict):
        return [text for name, inner in value.items() for text in secrets_in(inner, name)]
    if isinstance(value, list):
        return [text for item in value for text in secrets_in(item, key)]
    if key in SECRET_KEYS and isinstance(value, str) and value not in ("", MASK) and not is_open(value):
        return [value]
    return []
