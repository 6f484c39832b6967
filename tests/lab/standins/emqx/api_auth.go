package main

// /authentication and /authorization.

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const mask = "******"

func (n *Node) authRoutes() {
	n.handle("/authentication", map[string]apiHandler{"GET": n.listAuthn, "POST": n.createAuthn})
	n.handle("/authentication/order", map[string]apiHandler{"PUT": n.orderAuthn}, n.ver.Connectors)
	n.handle("/authentication/{id}", map[string]apiHandler{"GET": n.getAuthn, "PUT": n.updateAuthn, "DELETE": n.deleteAuthn})
	n.handle("/authentication/{id}/status", map[string]apiHandler{"GET": n.authnStatus})
	n.handle("/authentication/{id}/position/{position}", map[string]apiHandler{"PUT": n.moveAuthn})
	n.handle("/authentication/{id}/users", map[string]apiHandler{"GET": n.listAuthnUsers, "POST": n.createAuthnUser})
	n.handle("/authentication/{id}/users/{user}", map[string]apiHandler{"GET": n.getAuthnUser, "PUT": n.updateAuthnUser, "DELETE": n.deleteAuthnUser})

	n.handle("/authorization/settings", map[string]apiHandler{"GET": n.authzSettings, "PUT": n.updateAuthzSettings})
	n.handle("/authorization/cache", map[string]apiHandler{"DELETE": func(*Req) Res { n.auth.CleanCache(); return status(204) }})
	n.handle("/authorization/sources", map[string]apiHandler{"GET": n.listSources, "POST": n.createSource})
	n.handle("/authorization/sources/order", map[string]apiHandler{"PUT": n.orderSources}, n.ver.Connectors)
	n.handle("/authorization/sources/{type}", map[string]apiHandler{"GET": n.getSource, "PUT": n.updateSource, "DELETE": n.deleteSource})
	n.handle("/authorization/sources/{type}/status", map[string]apiHandler{"GET": n.sourceStatus})
	n.handle("/authorization/sources/{type}/move", map[string]apiHandler{"POST": n.moveSource})
	builtin := "/authorization/sources/built_in_database/rules"
	n.handle(builtin, map[string]apiHandler{"DELETE": n.purgeRules})
	n.handle(builtin+"/all", map[string]apiHandler{"GET": n.rulesForAll, "POST": n.setRulesForAll, "DELETE": n.dropRulesForAll})
	for _, kind := range []string{"users", "clients"} {
		k := ruleKinds[kind]
		n.handle(builtin+"/"+kind, map[string]apiHandler{"GET": k.list(n), "POST": k.create(n)})
		n.handle(builtin+"/"+kind+"/{name}", map[string]apiHandler{"GET": k.get(n), "PUT": k.update(n), "DELETE": k.remove(n)})
	}
}

// masked hides secrets of an answer, where the version does that.
func (n *Node) masked(conf Map) Map {
	if !n.ver.Masked {
		return conf
	}
	for k, v := range conf {
		switch t := v.(type) {
		case Map:
			n.masked(t)
		case string:
			if (k == "password" || k == "secret") && t != "" && !strings.HasPrefix(t, "file://") {
				conf[k] = mask
			}
		}
	}
	return conf
}

// unmasked puts the stored secret in place of ****** in a PUT.
func (n *Node) unmasked(conf, stored Map) {
	if !n.ver.Masked {
		return // the older version stores the stars
	}
	for k, v := range conf {
		switch t := v.(type) {
		case Map:
			n.unmasked(t, asMap(stored[k]))
		case string:
			if t == mask && (k == "password" || k == "secret") && stored[k] != nil {
				conf[k] = stored[k]
			}
		}
	}
}

func (n *Node) authnSchema(conf Map) Map {
	switch conf["backend"] {
	case "built_in_database":
		s, _ := n.ver.Schemas.Named("authn.builtin_db_api", "authn.builtin_db")
		return s
	case "http":
		s, _ := n.ver.Schemas.Named("authn.http_" + asStr(conf["method"]))
		return s
	}
	s, _ := n.ver.Schemas.Named("authn." + asStr(conf["backend"]))
	return s
}

func (n *Node) authnView(conf Map) Map {
	view := n.ver.Schemas.defaults(n.authnSchema(conf), clone(conf).(Map))
	view["id"] = authnID(conf)
	return view
}

func authnMissing(id string) Res {
	return fail(404, "NOT_FOUND", fmt.Sprintf("Authenticator '%s' does not exist", id))
}

func (n *Node) saveAuthn(list []any, force ...string) Res {
	if err := n.cfg.Set(list, "authentication"); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	if err := n.auth.Reload(force...); err != nil {
		return badRequest(err.Error())
	}
	return status(204)
}

func authnIndex(list []any, id string) int {
	return slices.IndexFunc(list, func(e any) bool { return authnID(asMap(e)) == id })
}

func (n *Node) listAuthn(*Req) Res {
	out := []any{}
	for _, e := range n.auth.AuthnConf() {
		out = append(out, n.masked(n.authnView(asMap(e))))
	}
	return ok(out)
}

func (n *Node) getAuthn(r *Req) Res {
	list := n.auth.AuthnConf()
	i := authnIndex(list, r.path[0])
	if i < 0 {
		return authnMissing(r.path[0])
	}
	return ok(n.masked(n.authnView(asMap(list[i]))))
}

func (n *Node) createAuthn(r *Req) Res {
	v, err := n.body(r, "/authentication", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	conf := asMap(v)
	list := n.auth.AuthnConf()
	if authnIndex(list, authnID(conf)) >= 0 {
		return fail(409, "ALREADY_EXISTS", fmt.Sprintf("Authenticator '%s' already exist", authnID(conf)))
	}
	if res := n.saveAuthn(append(list, conf)); res.status != 204 {
		return res
	}
	return ok(n.authnView(conf)) // the answer to a POST shows the plain secret, in all versions
}

func (n *Node) updateAuthn(r *Req) Res {
	v, err := n.body(r, "/authentication/{id}", "put")
	if err != nil {
		return badRequest(err.Error())
	}
	conf := asMap(v)
	list := n.auth.AuthnConf()
	i := authnIndex(list, r.path[0])
	if i < 0 {
		return authnMissing(r.path[0])
	}
	n.unmasked(conf, asMap(list[i]))
	list[i] = conf
	return n.saveAuthn(list, r.path[0])
}

func (n *Node) deleteAuthn(r *Req) Res {
	list := n.auth.AuthnConf()
	i := authnIndex(list, r.path[0])
	if i < 0 {
		if n.ver.DeleteAuthnTwice {
			return status(204)
		}
		return authnMissing(r.path[0])
	}
	if err := n.store.change(func() { delete(n.store.Authn, r.path[0]) }); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return n.saveAuthn(slices.Delete(list, i, i+1))
}

// moved puts list[i] to a position: front, rear, before:ID, after:ID; nil: no such position.
func moved(list []any, i int, position string, index func([]any, string) int) []any {
	e := list[i]
	rest := slices.Delete(slices.Clone(list), i, i+1)
	where, ref, _ := strings.Cut(position, ":")
	switch where {
	case "front":
		return slices.Insert(rest, 0, e)
	case "rear":
		return append(rest, e)
	case "before", "after":
		at := index(rest, ref)
		if at < 0 {
			return nil
		}
		if where == "after" {
			at++
		}
		return slices.Insert(rest, at, e)
	}
	return nil
}

func (n *Node) moveAuthn(r *Req) Res {
	list := n.auth.AuthnConf()
	i := authnIndex(list, r.path[0])
	if i < 0 {
		return authnMissing(r.path[0])
	}
	list = moved(list, i, r.path[1], authnIndex)
	if list == nil {
		return badRequest("Invalid value for 'position'")
	}
	return n.saveAuthn(list)
}

func (n *Node) reorder(r *Req, list []any, field string, id func(Map) string) ([]any, error) {
	v, err := r.json()
	if err != nil {
		return nil, err
	}
	var out []any
	for _, e := range asList(v) {
		want := asStr(asMap(e)[field])
		i := slices.IndexFunc(list, func(x any) bool { return id(asMap(x)) == want })
		if i < 0 {
			return nil, fmt.Errorf("not found: %s", want)
		}
		out = append(out, list[i])
	}
	if len(out) != len(list) {
		return nil, fmt.Errorf("the order must name all of them once")
	}
	return out, nil
}

func (n *Node) orderAuthn(r *Req) Res {
	list, err := n.reorder(r, n.auth.AuthnConf(), "id", authnID)
	if err != nil {
		return badRequest(err.Error())
	}
	return n.saveAuthn(list)
}

// --- status -----------------------------------------------------------------------------------------

func rates(m Map) Map {
	m["rate"], m["rate_max"], m["rate_last5m"] = Float(0), Float(0), Float(0)
	return m
}

func (n *Node) resourceStatus(metrics Map, db *MySQL, conf Map) Res {
	node := n.cfg.NodeName()
	state := "connected"
	res := rates(Map{"matched": int64(0), "success": int64(0), "failed": int64(0)})
	if db != nil {
		if !enabled(conf) {
			state = "stopped"
		} else {
			state = db.Status()
		}
		res["matched"], res["success"], res["failed"] = db.n.matched.Load(), db.n.success.Load(), db.n.failed.Load()
	}
	return ok(Map{"metrics": metrics, "node_error": []any{},
		"node_metrics": []any{Map{"node": node, "metrics": metrics}}, "node_resource_metrics": []any{Map{"node": node, "metrics": res}},
		"node_status": []any{Map{"node": node, "status": state}}, "resource_metrics": res, "status": state})
}

func (n *Node) authnStatus(r *Req) Res {
	a := n.auth.Authn(r.path[0])
	if a == nil {
		return authnMissing(r.path[0])
	}
	return n.resourceStatus(rates(Map{"total": a.n.total.Load(), "success": a.n.success.Load(),
		"failed": a.n.failed.Load(), "nomatch": a.n.nomatch.Load()}), a.mysql, a.Conf)
}

// --- users of the built-in database -------------------------------------------------------------------

var authnUserMissing = fail(404, "NOT_FOUND", "User not found")

func authnUserView(u AuthnUser) Map { return Map{"user_id": u.ID, "is_superuser": u.Super} }

func (n *Node) builtinAuthn(r *Req) (*Authenticator, *Res) {
	a := n.auth.Authn(r.path[0])
	if a == nil {
		res := authnMissing(r.path[0])
		return nil, &res
	}
	if a.Conf["backend"] != "built_in_database" {
		res := badRequest("unsupported_operation")
		return nil, &res
	}
	return a, nil
}

func (n *Node) listAuthnUsers(r *Req) Res {
	a, res := n.builtinAuthn(r)
	if res != nil {
		return *res
	}
	list := []any{}
	n.store.mu.RLock()
	for _, u := range n.store.Authn[a.ID] {
		list = append(list, authnUserView(u))
	}
	n.store.mu.RUnlock()
	return paged(r, list, true)
}

func (n *Node) createAuthnUser(r *Req) Res {
	a, res := n.builtinAuthn(r)
	if res != nil {
		return *res
	}
	v, err := n.body(r, "/authentication/{id}/users", "post", "user_id", "password")
	if err != nil {
		return badRequest(err.Error())
	}
	m := asMap(v)
	if _, exists := n.store.AuthnUser(a.ID, asStr(m["user_id"])); exists {
		return fail(409, "ALREADY_EXISTS", "User already exists")
	}
	u := AuthnUser{ID: asStr(m["user_id"]), Super: asBool(m["is_superuser"], false)}
	if u.Hash, u.Salt, err = newHash(asMap(a.Conf["password_hash_algorithm"]), asStr(m["password"])); err != nil {
		return badRequest(err.Error())
	}
	if err := n.store.change(func() { n.store.Authn[a.ID] = append(n.store.Authn[a.ID], u) }); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return Res{status: 201, body: authnUserView(u)}
}

func (n *Node) getAuthnUser(r *Req) Res {
	a, res := n.builtinAuthn(r)
	if res != nil {
		return *res
	}
	u, found := n.store.AuthnUser(a.ID, r.path[1])
	if !found {
		return authnUserMissing
	}
	return ok(authnUserView(u))
}

func (n *Node) updateAuthnUser(r *Req) Res {
	a, res := n.builtinAuthn(r)
	if res != nil {
		return *res
	}
	v, err := n.body(r, "/authentication/{id}/users/{user_id}", "put", "password")
	if err != nil {
		return badRequest(err.Error())
	}
	m := asMap(v)
	u, found := n.store.AuthnUser(a.ID, r.path[1])
	if !found {
		return authnUserMissing
	}
	u.Super = asBool(m["is_superuser"], u.Super)
	if u.Hash, u.Salt, err = newHash(asMap(a.Conf["password_hash_algorithm"]), asStr(m["password"])); err != nil {
		return badRequest(err.Error())
	}
	err = n.store.change(func() {
		users := n.store.Authn[a.ID]
		users[slices.IndexFunc(users, func(x AuthnUser) bool { return x.ID == u.ID })] = u
	})
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return ok(authnUserView(u))
}

func (n *Node) deleteAuthnUser(r *Req) Res {
	a, res := n.builtinAuthn(r)
	if res != nil {
		return *res
	}
	if _, found := n.store.AuthnUser(a.ID, r.path[1]); !found {
		return authnUserMissing
	}
	err := n.store.change(func() {
		n.store.Authn[a.ID] = slices.DeleteFunc(n.store.Authn[a.ID], func(u AuthnUser) bool { return u.ID == r.path[1] })
	})
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return status(204)
}

// --- authorization ------------------------------------------------------------------------------------

func (n *Node) authzSettingsView() Map {
	conf := n.cfg.GetMap("authorization")
	out := Map{"no_match": "allow", "deny_action": "ignore"}
	for k := range out {
		if conf[k] != nil {
			out[k] = conf[k]
		}
	}
	schema, _ := n.ver.Schemas.Named("emqx.authz_cache", "broker.authz_cache")
	out["cache"] = n.ver.Schemas.defaults(schema, asMap(conf["cache"]))
	return out
}

func (n *Node) authzSettings(*Req) Res { return ok(n.authzSettingsView()) }

func (n *Node) updateAuthzSettings(r *Req) Res {
	v, err := n.body(r, "/authorization/settings", "put")
	if err != nil {
		return badRequest(err.Error())
	}
	m := asMap(v)
	// what the body leaves out goes back to its default; the sources are not part of it
	conf := Map{"sources": n.auth.SourcesConf(), "no_match": "allow", "deny_action": "ignore"}
	for _, k := range []string{"no_match", "deny_action", "cache"} {
		if m[k] != nil {
			conf[k] = m[k]
		}
	}
	if err := n.cfg.Set(conf, "authorization"); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return ok(n.authzSettingsView())
}

func (n *Node) sourceView(conf Map) (Map, error) {
	if conf["type"] == "file" {
		text, err := n.auth.aclText(conf)
		return Map{"type": "file", "enable": enabled(conf), "rules": text}, err
	}
	schema, _ := n.ver.Schemas.Named("authz."+asStr(conf["type"]), "authz.builtin_db", "emqx_authz_api_schema."+asStr(conf["type"]))
	if conf["type"] == "mysql" {
		schema, _ = n.ver.Schemas.Named("authz.mysql", "emqx_authz_api_schema.mysql")
	}
	return n.ver.Schemas.defaults(schema, clone(conf).(Map)), nil
}

func sourceIndex(list []any, kind string) int {
	return slices.IndexFunc(list, func(e any) bool { return asMap(e)["type"] == kind })
}

func sourceMissing(kind string) Res { return fail(404, "NOT_FOUND", "Not found: "+kind) }

func (n *Node) saveSources(list []any, force ...string) Res {
	if err := n.cfg.Set(list, "authorization", "sources"); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	if err := n.auth.Reload(force...); err != nil {
		return badRequest(err.Error())
	}
	n.auth.CleanCache()
	return status(204)
}

func (n *Node) listSources(*Req) Res {
	out := []any{}
	for _, e := range n.auth.SourcesConf() {
		view, err := n.sourceView(asMap(e))
		if err != nil {
			return fail(500, "INTERNAL_ERROR", err.Error())
		}
		out = append(out, n.masked(view))
	}
	return ok(Map{"sources": out})
}

func (n *Node) getSource(r *Req) Res {
	list := n.auth.SourcesConf()
	i := sourceIndex(list, r.path[0])
	if i < 0 {
		return sourceMissing(r.path[0])
	}
	view, err := n.sourceView(asMap(list[i]))
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return ok(n.masked(view))
}

// sourceBody validates a source; a file's rules are written to data/authz/acl.conf.
func (n *Node) sourceBody(r *Req, path, method string) (Map, error) {
	v, err := n.body(r, path, method)
	if err != nil {
		if f, isFault := err.(Fault); isFault && n.ver.AuthzUnionAll && f["reason"] != "matched_no_union_member" {
			// the older version tells what every type of source has against the body
			kind := asStr(asMap(v)["type"])
			return nil, fault("root", "matched_no_union_member", Map{"mismatches": Map{kind: Map(f)}})
		}
		return nil, err
	}
	conf := asMap(v)
	if conf["type"] != "file" {
		return conf, nil
	}
	rules := asStr(conf["rules"])
	if _, err := ParseACL(rules); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(n.auth.aclFile()), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(n.auth.aclFile(), []byte(rules), 0o644); err != nil {
		return nil, err
	}
	return Map{"type": "file", "enable": enabled(conf), "path": "data/authz/acl.conf"}, nil
}

func (n *Node) createSource(r *Req) Res {
	v, err := r.json()
	if err != nil {
		return badRequest(err.Error())
	}
	list := n.auth.SourcesConf()
	if kind := asStr(asMap(v)["type"]); sourceIndex(list, kind) >= 0 {
		return badRequest("{duplicated_authz_source_type," + kind + "}")
	}
	conf, err := n.sourceBody(r, "/authorization/sources", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	return n.saveSources(append([]any{conf}, list...)) // a new source goes in front
}

func (n *Node) updateSource(r *Req) Res {
	list := n.auth.SourcesConf()
	conf, err := n.sourceBody(r, "/authorization/sources/{type}", "put")
	if err != nil {
		return badRequest(err.Error())
	}
	i := sourceIndex(list, r.path[0])
	if i < 0 {
		return sourceMissing(r.path[0])
	}
	if conf["type"] != r.path[0] {
		return badRequest("Type mismatch")
	}
	n.unmasked(conf, asMap(list[i]))
	list[i] = conf
	return n.saveSources(list, "source:"+r.path[0])
}

func (n *Node) deleteSource(r *Req) Res {
	list := n.auth.SourcesConf()
	i := sourceIndex(list, r.path[0])
	if i < 0 {
		return sourceMissing(r.path[0])
	}
	return n.saveSources(slices.Delete(list, i, i+1))
}

func (n *Node) moveSource(r *Req) Res {
	list := n.auth.SourcesConf()
	i := sourceIndex(list, r.path[0])
	if i < 0 {
		return sourceMissing(r.path[0])
	}
	v, err := r.json()
	if err != nil {
		return badRequest(err.Error())
	}
	list = moved(list, i, asStr(asMap(v)["position"]), sourceIndex)
	if list == nil {
		return badRequest("<<\"Invalid parameter. Unknow position\">>")
	}
	return n.saveSources(list)
}

func (n *Node) orderSources(r *Req) Res {
	list, err := n.reorder(r, n.auth.SourcesConf(), "type", func(m Map) string { return asStr(m["type"]) })
	if err != nil {
		return badRequest(err.Error())
	}
	return n.saveSources(list)
}

func (n *Node) sourceStatus(r *Req) Res {
	s := n.auth.Source(r.path[0])
	if s == nil {
		return sourceMissing(r.path[0])
	}
	m := rates(Map{"total": s.n.total.Load(), "allow": s.n.allow.Load(), "deny": s.n.deny.Load(), "nomatch": s.n.nomatch.Load()})
	if n.ver.AuthzIgnore {
		m["ignore"] = s.n.ignore.Load()
	}
	return n.resourceStatus(m, s.mysql, s.Conf)
}

// --- rules of the built-in database -------------------------------------------------------------------

// normalRules adds what GET shows: qos and retain.
func normalRules(v any) []Map {
	out := []Map{}
	for _, e := range asList(v) {
		m := asMap(clone(e))
		if m["qos"] == nil {
			m["qos"] = []any{int64(0), int64(1), int64(2)}
		}
		if m["retain"] == nil {
			m["retain"] = "all"
		}
		out = append(out, m)
	}
	return out
}

func (n *Node) setRules(key string, rules []Map) Res {
	err := n.store.change(func() {
		if rules == nil {
			delete(n.store.Rules, key)
		} else {
			n.store.Rules[key] = rules
		}
	})
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return status(204)
}

func (n *Node) rulesAt(key string) ([]Map, bool) {
	n.store.mu.RLock()
	defer n.store.mu.RUnlock()
	r, found := n.store.Rules[key]
	return r, found
}

func (n *Node) rulesForAll(*Req) Res {
	rules, _ := n.rulesAt("all")
	if rules == nil {
		rules = []Map{}
	}
	return ok(Map{"rules": rules})
}

func (n *Node) setRulesForAll(r *Req) Res {
	v, err := n.body(r, "/authorization/sources/built_in_database/rules/all", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	return n.setRules("all", normalRules(asMap(v)["rules"]))
}

func (n *Node) dropRulesForAll(*Req) Res { return n.setRules("all", nil) }

func (n *Node) purgeRules(*Req) Res {
	if s := n.auth.Source("built_in_database"); s != nil && enabled(s.Conf) {
		return badRequest("'built_in_database' type source must be disabled before purge.")
	}
	if err := n.store.change(func() { n.store.Rules = map[string][]Map{} }); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return status(204)
}

// ruleKind is the difference between rules for users and for clients.
type ruleKind struct{ path, field, missing, label string }

var ruleKinds = map[string]ruleKind{
	"users":   {"users", "username", "Username Not Found", "User"},
	"clients": {"clients", "clientid", "ClientID Not Found", "Client"},
}

func (k ruleKind) key(name string) string { return k.field + ":" + name }

func (k ruleKind) absent() Res { return fail(404, "NOT_FOUND", k.missing) }

const rulesPath = "/authorization/sources/built_in_database/rules/"

func (k ruleKind) list(n *Node) apiHandler {
	return func(r *Req) Res {
		list := []any{}
		n.store.mu.RLock()
		for _, key := range sortedKeys(n.store.Rules) {
			if name, mine := strings.CutPrefix(key, k.field+":"); mine {
				list = append(list, Map{k.field: name, "rules": n.store.Rules[key]})
			}
		}
		n.store.mu.RUnlock()
		return paged(r, list, true)
	}
}

func (k ruleKind) create(n *Node) apiHandler {
	return func(r *Req) Res {
		v, err := n.body(r, rulesPath+k.path, "post")
		if err != nil {
			return badRequest(err.Error())
		}
		for _, e := range asList(v) {
			name := asStr(asMap(e)[k.field])
			if _, exists := n.rulesAt(k.key(name)); exists {
				msg := n.ver.RulesUserExists
				if k.label != "User" {
					msg = strings.Replace(msg, "User", k.label, 1)
				}
				return fail(409, "ALREADY_EXISTS", fmt.Sprintf(msg, name))
			}
		}
		for _, e := range asList(v) {
			if res := n.setRules(k.key(asStr(asMap(e)[k.field])), normalRules(asMap(e)["rules"])); res.status != 204 {
				return res
			}
		}
		return status(204)
	}
}

func (k ruleKind) get(n *Node) apiHandler {
	return func(r *Req) Res {
		rules, found := n.rulesAt(k.key(r.path[0]))
		if !found {
			return k.absent()
		}
		return ok(Map{k.field: r.path[0], "rules": rules})
	}
}

func (k ruleKind) update(n *Node) apiHandler {
	return func(r *Req) Res {
		v, err := n.body(r, rulesPath+k.path+"/{"+k.field+"}", "put")
		if err != nil {
			return badRequest(err.Error())
		}
		return n.setRules(k.key(r.path[0]), normalRules(asMap(v)["rules"]))
	}
}

func (k ruleKind) remove(n *Node) apiHandler {
	return func(r *Req) Res {
		if _, found := n.rulesAt(k.key(r.path[0])); !found {
			return k.absent()
		}
		return n.setRules(k.key(r.path[0]), nil)
	}
}
