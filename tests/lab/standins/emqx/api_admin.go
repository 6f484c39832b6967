package main

// Login, users of the dashboard, API keys, bans.

import (
	"encoding/base64"
	"fmt"
	"slices"
	"time"
)

func (n *Node) adminRoutes() {
	n.handle("/login", map[string]apiHandler{"POST": n.login}).public = true
	n.handle("/logout", map[string]apiHandler{"POST": n.logout}).userOnly = true

	n.handle("/users", map[string]apiHandler{"GET": n.listUsers, "POST": n.createUser}).userOnly = true
	n.handle("/users/{username}", map[string]apiHandler{"PUT": n.updateUser, "DELETE": n.deleteUser}).userOnly = true
	n.handle("/users/{username}/change_pwd", map[string]apiHandler{"POST": n.changePassword}).userOnly = true

	n.handle("/api_key", map[string]apiHandler{"GET": n.listKeys, "POST": n.createKey}).userOnly = true
	n.handle("/api_key/{name}", map[string]apiHandler{"GET": n.getKey, "PUT": n.updateKey, "DELETE": n.deleteKey}).userOnly = true

	n.handle("/banned", map[string]apiHandler{"GET": n.listBans, "POST": n.createBan, "DELETE": n.clearBans})
	n.handle("/banned/{as}/{who}", map[string]apiHandler{"DELETE": n.deleteBan})
}

func (n *Node) login(r *Req) Res {
	v, err := n.body(r, "/login", "post", "username", "password")
	if err != nil {
		return badRequest(err.Error())
	}
	m := asMap(v)
	name := asStr(m["username"])
	if !n.store.CheckUser(name, asStr(m["password"])) {
		return fail(401, "BAD_USERNAME_OR_PWD", "Auth failed")
	}
	until := time.Now().Add(n.cfg.Duration("dashboard.token_expired_time", time.Hour))
	b64 := base64.RawURLEncoding.EncodeToString
	t := b64([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64([]byte(fmt.Sprintf(`{"exp":%d,"iss":"EMQX"}`, until.UnixMilli()))) + "." + randomText(24)
	n.tokenMu.Lock()
	n.tokens[t] = token{name, until}
	n.tokenMu.Unlock()
	return ok(Map{"license": Map{"edition": "ce"}, "token": t, "version": n.ver.Number})
}

func (n *Node) logout(r *Req) Res {
	v, err := r.json()
	if err != nil {
		return badRequest(err.Error())
	}
	if name := asStr(asMap(v)["username"]); name != r.user {
		return fail(401, "WRONG_TOKEN_OR_USERNAME", "Wrong token or username")
	}
	n.tokenMu.Lock()
	delete(n.tokens, r.tok)
	n.tokenMu.Unlock()
	return status(204)
}

// --- users ------------------------------------------------------------------------------------------

// userView has no role: the open-source edition takes one in a body and forgets it.
func userView(u *DashUser) Map { return Map{"username": u.Name, "description": u.Description} }

var userMissing = fail(404, "USER_NOT_FOUND", "username_not_found")

func (n *Node) listUsers(*Req) Res {
	list := []any{}
	n.store.mu.RLock()
	defer n.store.mu.RUnlock()
	for _, u := range n.store.Users {
		list = append(list, userView(u))
	}
	return ok(list)
}

func (n *Node) createUser(r *Req) Res {
	v, err := n.body(r, "/users", "post", "username", "password")
	if err != nil {
		return badRequest(err.Error())
	}
	m := asMap(v)
	name := asStr(m["username"])
	if n.store.User(name) != nil {
		return badRequest(n.ver.UserExists)
	}
	if err := passwordPolicy(asStr(m["password"])); err != nil {
		return badRequest(err.Error())
	}
	if err := n.store.SetPassword(name, asStr(m["password"]), asStr(m["description"])); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return ok(userView(n.store.User(name)))
}

func (n *Node) updateUser(r *Req) Res {
	v, err := n.body(r, "/users/{username}", "put", "description")
	if err != nil {
		return badRequest(err.Error())
	}
	u := n.store.User(r.path[0])
	if u == nil {
		return userMissing
	}
	if err := n.store.change(func() { u.Description = asStr(asMap(v)["description"]) }); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return ok(userView(u))
}

func (n *Node) deleteUser(r *Req) Res {
	u := n.store.User(r.path[0])
	if u == nil {
		return userMissing
	}
	if u.Name == r.user {
		return badRequest("Cannot delete self")
	}
	err := n.store.change(func() {
		n.store.Users = slices.DeleteFunc(n.store.Users, func(x *DashUser) bool { return x == u })
	})
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	n.dropTokens(u.Name)
	return status(204)
}

func (n *Node) dropTokens(user string) {
	n.tokenMu.Lock()
	defer n.tokenMu.Unlock()
	for t, e := range n.tokens {
		if e.user == user {
			delete(n.tokens, t)
		}
	}
}

func (n *Node) changePassword(r *Req) Res {
	v, err := n.body(r, "/users/{username}/change_pwd", "post", "old_pwd", "new_pwd")
	if err != nil {
		return badRequest(err.Error())
	}
	m := asMap(v)
	if n.store.User(r.path[0]) == nil {
		return userMissing
	}
	if !n.store.CheckUser(r.path[0], asStr(m["old_pwd"])) {
		return fail(400, "ERROR_PWD_NOT_MATCH", "Old password not match")
	}
	if err := passwordPolicy(asStr(m["new_pwd"])); err != nil {
		return badRequest(err.Error())
	}
	if err := n.store.SetPassword(r.path[0], asStr(m["new_pwd"]), ""); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	if r.path[0] != r.user {
		n.dropTokens(r.path[0])
	}
	return status(204)
}

// --- API keys -----------------------------------------------------------------------------------------

func keyView(k *APIKey) Map {
	return Map{"name": k.Name, "api_key": k.Key, "desc": k.Desc, "enable": k.Enable, "expired": k.expired(),
		"expired_at": k.ExpiredAt, "created_at": k.CreatedAt}
}

var keyMissing = fail(404, "NOT_FOUND", "Name NOT FOUND")

func (n *Node) listKeys(*Req) Res {
	list := []any{}
	n.store.mu.RLock()
	defer n.store.mu.RUnlock()
	for _, k := range n.store.Keys {
		list = append(list, keyView(k))
	}
	return ok(list)
}

// expiry reads expired_at and until: a time, seconds since 1970, or nothing for ever.
func expiry(v any) (string, error) {
	switch t := v.(type) {
	case nil:
		return "infinity", nil
	case int64:
		return time.Unix(t, 0).Format("2006-01-02T15:04:05-07:00"), nil
	case string:
		if t == "infinity" || t == "undefined" || t == "" {
			return "infinity", nil
		}
		if at, err := time.Parse(time.RFC3339, t); err == nil {
			if at.Location() == time.UTC { // EMQX prints +00:00, never Z
				return at.Format("2006-01-02T15:04:05+00:00"), nil
			}
			return at.Format("2006-01-02T15:04:05-07:00"), nil
		}
	}
	return "", fault("expired_at", "bad_rfc3339_timestamp", Map{"value": v})
}

func (n *Node) createKey(r *Req) Res {
	v, err := n.body(r, "/api_key", "post", "name")
	if err != nil {
		return badRequest(err.Error())
	}
	m := asMap(v)
	name := asStr(m["name"])
	if n.store.Key(name) != nil {
		return badRequest("name_already_existed")
	}
	until, err := expiry(m["expired_at"])
	if err != nil {
		return badRequest(err.Error())
	}
	secret := randomText(23)
	k := &APIKey{Name: name, Key: randomText(8), Salt: randomText(8), Desc: asStr(m["desc"]),
		Enable: asBool(m["enable"], true), ExpiredAt: until, CreatedAt: now()}
	k.Hash = seal(k.Salt, secret)
	if err := n.store.change(func() { n.store.Keys = append(n.store.Keys, k) }); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	view := keyView(k)
	view["api_secret"] = secret // this once
	return ok(view)
}

func (n *Node) getKey(r *Req) Res {
	if k := n.store.Key(r.path[0]); k != nil {
		return ok(keyView(k))
	}
	return keyMissing
}

func (n *Node) updateKey(r *Req) Res {
	v, err := n.body(r, "/api_key/{name}", "put")
	if err != nil {
		return badRequest(err.Error())
	}
	k := n.store.Key(r.path[0])
	if k == nil {
		return keyMissing
	}
	m := asMap(v)
	until, err := expiry(m["expired_at"]) // left out: for ever, whatever it was before
	if err != nil {
		return badRequest(err.Error())
	}
	err = n.store.change(func() {
		k.ExpiredAt = until
		k.Enable = asBool(m["enable"], k.Enable)
		if m["desc"] != nil {
			k.Desc = asStr(m["desc"])
		}
	})
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return ok(keyView(k))
}

func (n *Node) deleteKey(r *Req) Res {
	k := n.store.Key(r.path[0])
	if k == nil {
		return keyMissing
	}
	err := n.store.change(func() {
		n.store.Keys = slices.DeleteFunc(n.store.Keys, func(x *APIKey) bool { return x == k })
	})
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return status(204)
}

// --- bans -----------------------------------------------------------------------------------------------

func banView(b *Ban) Map {
	return Map{"as": b.As, "who": b.Who, "by": b.By, "reason": b.Reason, "at": b.At, "until": b.Until}
}

func (n *Node) listBans(r *Req) Res {
	list := []any{}
	n.store.mu.RLock()
	for _, b := range n.store.Bans {
		if !b.over() && like(r.URL.Query(), "clientid", b.Who) && like(r.URL.Query(), "username", b.Who) {
			list = append(list, banView(b))
		}
	}
	n.store.mu.RUnlock()
	return paged(r, list, false)
}

func (n *Node) createBan(r *Req) Res {
	v, err := n.body(r, "/banned", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	m := asMap(v)
	b := &Ban{As: asStr(m["as"]), Who: asStr(m["who"]), By: "mgmt_api", Reason: asStr(m["reason"]), At: now()}
	if m["by"] != nil {
		b.By = asStr(m["by"])
	}
	if b.Until, err = expiry(m["until"]); err != nil {
		return badRequest(err.Error())
	}
	if b.Until == "infinity" && !n.ver.BannedForever {
		b.Until = time.Now().AddDate(1, 0, 0).Format("2006-01-02T15:04:05-07:00")
	}
	var twin *Ban
	err = n.store.change(func() {
		n.store.Bans = slices.DeleteFunc(n.store.Bans, (*Ban).over)
		for _, e := range n.store.Bans {
			if e.As == b.As && e.Who == b.Who {
				twin = e
				return
			}
		}
		n.store.Bans = append(n.store.Bans, b)
	})
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	if twin != nil {
		return fail(400, "ALREADY_EXISTS", reverseJSON(banView(twin)))
	}
	return ok(banView(b)) // the live session goes on: only new connections are refused
}

func (n *Node) deleteBan(r *Req) Res {
	as, who := r.path[0], r.path[1]
	found := false
	err := n.store.change(func() {
		n.store.Bans = slices.DeleteFunc(n.store.Bans, func(b *Ban) bool {
			hit := b.As == as && b.Who == who
			found = found || hit
			return hit
		})
	})
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	if !found {
		return fail(404, "NOT_FOUND", as+": "+who+" not found")
	}
	return status(204)
}

func (n *Node) clearBans(*Req) Res {
	if err := n.store.change(func() { n.store.Bans = nil }); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return status(204)
}
