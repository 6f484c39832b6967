package main

// Authentication and authorization: the chain of authenticators, the sources of permissions and the
// cache between them and the clients.

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// verdict is the outcome of the chain.
type verdict struct {
	code      byte
	why       string
	superuser bool
	anonymous bool
	stalled   bool
}

// authnCounters and authzCounters feed the status answers.
type authnCounters struct{ total, success, failed, nomatch atomic.Int64 }
type authzCounters struct{ total, allow, deny, nomatch, ignore atomic.Int64 }

// Authenticator is one link of the chain.
type Authenticator struct {
	ID    string
	Conf  Map
	mysql *MySQL
	n     authnCounters
}

// Source is one source of permissions.
type Source struct {
	Type  string
	Conf  Map
	mysql *MySQL
	rules []*Rule
	n     authzCounters
}

// Auth holds both lists; they are replaced as a whole when the configuration changes.
type Auth struct {
	cfg   *Config
	m     *Metrics
	store *Store

	mu      sync.RWMutex
	chain   []*Authenticator
	sources []*Source
	drained atomic.Int64 // the time of the last clean of all caches
}

func NewAuth(cfg *Config, m *Metrics, store *Store) (*Auth, error) {
	a := &Auth{cfg: cfg, m: m, store: store}
	return a, a.Reload()
}

func authnID(conf Map) string {
	id := asStr(conf["mechanism"])
	if b := asStr(conf["backend"]); b != "" {
		id += ":" + b
	}
	return id
}

// AuthnConf lists the configured authenticators; a single object is a list of one.
func (a *Auth) AuthnConf() []any {
	switch v := a.cfg.Get("authentication").(type) {
	case []any:
		return v
	case Map:
		if len(v) > 0 {
			return []any{v}
		}
	}
	return []any{}
}

// SourcesConf lists the configured sources; without any it is acl.conf alone.
func (a *Auth) SourcesConf() []any {
	if list, ok := a.cfg.Get("authorization.sources").([]any); ok {
		return list
	}
	return []any{Map{"type": "file", "enable": true, "path": "${EMQX_ETC_DIR}/acl.conf"}}
}

// Reload makes the lists anew. What did not change keeps its connections and counters, unless it is
// named in force: a PUT of equal content reads a secret's file again.
func (a *Auth) Reload(force ...string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var chain []*Authenticator
	for _, e := range a.AuthnConf() {
		conf := asMap(e)
		id := authnID(conf)
		if i := slices.IndexFunc(a.chain, func(x *Authenticator) bool { return x.ID == id }); i >= 0 {
			old := a.chain[i]
			if same(old.Conf, conf) && !slices.Contains(force, id) {
				chain = append(chain, old)
				a.chain = slices.Delete(slices.Clone(a.chain), i, i+1)
				continue
			}
		}
		n := &Authenticator{ID: id, Conf: conf}
		if conf["backend"] == "mysql" {
			n.mysql = openMySQL(conf, a.cfg.expand)
		}
		chain = append(chain, n)
	}
	for _, old := range a.chain {
		if old.mysql != nil && !slices.Contains(chain, old) {
			old.mysql.Close()
		}
	}
	a.chain = chain

	var sources []*Source
	for _, e := range a.SourcesConf() {
		conf := asMap(e)
		kind := asStr(conf["type"])
		if i := slices.IndexFunc(a.sources, func(x *Source) bool { return x.Type == kind }); i >= 0 && kind != "file" {
			old := a.sources[i]
			if same(old.Conf, conf) && !slices.Contains(force, "source:"+kind) {
				sources = append(sources, old)
				continue
			}
		}
		s := &Source{Type: kind, Conf: conf}
		switch kind {
		case "mysql":
			s.mysql = openMySQL(conf, a.cfg.expand)
		case "file":
			text, err := a.aclText(conf)
			if err != nil {
				return err
			}
			if s.rules, err = ParseACL(text); err != nil {
				return err
			}
		}
		sources = append(sources, s)
	}
	for _, old := range a.sources {
		if old.mysql != nil && !slices.Contains(sources, old) {
			old.mysql.Close()
		}
	}
	a.sources = sources
	return nil
}

func same(a, b Map) bool { return string(mustJSON(a)) == string(mustJSON(b)) }

// aclText is the text of a file source: what stands in it, or in the file it names.
func (a *Auth) aclText(conf Map) (string, error) {
	if rules, ok := conf["rules"].(string); ok {
		return rules, nil
	}
	text, err := os.ReadFile(a.cfg.expand(asStr(conf["path"])))
	return string(text), err
}

func (a *Auth) aclFile() string { return filepath.Join(a.cfg.dataDir, "authz", "acl.conf") }

func (a *Auth) Authn(id string) *Authenticator {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, n := range a.chain {
		if n.ID == id {
			return n
		}
	}
	return nil
}

func (a *Auth) Source(kind string) *Source {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, s := range a.sources {
		if s.Type == kind {
			return s
		}
	}
	return nil
}

func enabled(conf Map) bool { return asBool(conf["enable"], true) }

// Authenticate asks the chain. An authenticator that knows nothing of the client passes it on; when
// all do, the client is refused; without an enabled authenticator everyone is let in.
func (a *Auth) Authenticate(c *ClientInfo) verdict {
	a.mu.RLock()
	chain := a.chain
	a.mu.RUnlock()
	asked := false
	for _, n := range chain {
		if !enabled(n.Conf) {
			continue
		}
		asked = true
		n.n.total.Add(1)
		v, known := a.try(n, c)
		switch {
		case v.stalled:
			return v
		case !known:
			n.n.nomatch.Add(1)
		case v.code == 0:
			n.n.success.Add(1)
			return v
		default:
			n.n.failed.Add(1)
			return v
		}
	}
	if !asked {
		return verdict{anonymous: true}
	}
	return verdict{code: 0x87, why: "not_authorized"}
}

func (a *Auth) try(n *Authenticator, c *ClientInfo) (v verdict, known bool) {
	badPassword := verdict{code: 0x86, why: "bad_username_or_password"}
	switch asStr(n.Conf["backend"]) {
	case "mysql":
		if !c.HasPass {
			return badPassword, true
		}
		rows, err := n.mysql.Query(c)
		if errors.Is(err, errStalled) {
			return verdict{stalled: true}, false
		}
		if err != nil || len(rows) == 0 {
			return verdict{}, false
		}
		row := rows[0]
		stored, found := row["password_hash"]
		if !found {
			stored = row["password"]
		}
		if stored == nil {
			return verdict{code: 0x87, why: "not_authorized"}, true
		}
		salt := ""
		if p := row["salt"]; p != nil {
			salt = *p
		}
		if !checkPassword(asMap(n.Conf["password_hash_algorithm"]), *stored, salt, string(c.Password)) {
			return badPassword, true
		}
		super := false
		if p := row["is_superuser"]; p != nil {
			super = *p != "" && *p != "0" && *p != "false"
		}
		return verdict{superuser: super}, true
	case "built_in_database":
		id := c.Username
		if n.Conf["user_id_type"] == "clientid" {
			id = c.ClientID
		}
		if !c.HasPass {
			return badPassword, true
		}
		u, ok := a.store.AuthnUser(n.ID, id)
		if !ok {
			return verdict{}, false
		}
		if !checkPassword(asMap(n.Conf["password_hash_algorithm"]), u.Hash, u.Salt, string(c.Password)) {
			return badPassword, true
		}
		return verdict{superuser: u.Super}, true
	}
	return verdict{}, false
}

// --- authorization ----------------------------------------------------------------------------------

// authzCache is one client's: the newest max_size answers, each for ttl.
type authzCache struct {
	mu      sync.Mutex
	entries map[string]cached
	order   []string
}

type cached struct {
	allow bool
	at    time.Time
}

// CleanCache makes every client's cache old.
func (a *Auth) CleanCache() { a.drained.Store(time.Now().UnixNano()) }

func (c *authzCache) clean() {
	c.mu.Lock()
	c.entries, c.order = nil, nil
	c.mu.Unlock()
}

// Authorize says whether a client may publish or subscribe.
func (a *Auth) Authorize(c *ClientInfo, action, topic string, qos byte, retain bool) bool {
	a.m.Add("client.authorize", 1)
	if c.Superuser {
		a.m.Add("authorization.superuser", 1)
		a.m.Add("authorization.allow", 1)
		return true
	}
	use := a.cfg.Bool("authorization.cache.enable", true)
	for _, f := range asList(a.cfg.Get("authorization.cache.excludes")) {
		if topicMatches(topic, strings.TrimPrefix(asStr(f), "eq ")) {
			use = false
		}
	}
	key := action + "\x00" + string('0'+rune(qos)) + map[bool]string{true: "r", false: "-"}[retain] + topic
	if use {
		ttl := a.cfg.Duration("authorization.cache.ttl", time.Minute)
		c.cache.mu.Lock()
		e, ok := c.cache.entries[key]
		c.cache.mu.Unlock()
		if ok && (ttl < 0 || time.Since(e.at) < ttl) && e.at.UnixNano() > a.drained.Load() {
			a.m.Add("authorization.cache_hit", 1)
			a.count(e.allow)
			return e.allow
		}
		a.m.Add("authorization.cache_miss", 1)
	}
	allow := a.decide(c, action, topic, qos, retain)
	a.count(allow)
	if use {
		size := a.cfg.Int("authorization.cache.max_size", 32)
		c.cache.mu.Lock()
		if c.cache.entries == nil {
			c.cache.entries = map[string]cached{}
		}
		if _, known := c.cache.entries[key]; known {
			c.cache.order = slices.DeleteFunc(c.cache.order, func(k string) bool { return k == key })
		} else if len(c.cache.order) >= size {
			delete(c.cache.entries, c.cache.order[0])
			c.cache.order = c.cache.order[1:]
		}
		c.cache.entries[key] = cached{allow, time.Now()}
		c.cache.order = append(c.cache.order, key)
		c.cache.mu.Unlock()
	}
	return allow
}

func (a *Auth) count(allow bool) {
	if allow {
		a.m.Add("authorization.allow", 1)
	} else {
		a.m.Add("authorization.deny", 1)
	}
}

func (a *Auth) decide(c *ClientInfo, action, topic string, qos byte, retain bool) bool {
	a.mu.RLock()
	sources := a.sources
	a.mu.RUnlock()
	for _, s := range sources {
		if !enabled(s.Conf) {
			continue
		}
		s.n.total.Add(1)
		rules, ok := a.rulesFor(s, c)
		if !ok {
			s.n.ignore.Add(1)
			continue
		}
		for _, r := range rules {
			if !r.matches(c, action, topic, qos, retain) {
				continue
			}
			if r.Allow {
				s.n.allow.Add(1)
				a.m.Add("authorization.matched.allow", 1)
			} else {
				s.n.deny.Add(1)
				a.m.Add("authorization.matched.deny", 1)
			}
			return r.Allow
		}
		s.n.nomatch.Add(1)
	}
	a.m.Add("authorization.nomatch", 1)
	return a.cfg.Str("authorization.no_match", "allow") == "allow"
}

// rulesFor gives a source's rules for a client; false: the source cannot be asked.
func (a *Auth) rulesFor(s *Source, c *ClientInfo) ([]*Rule, bool) {
	switch s.Type {
	case "file":
		return s.rules, true
	case "built_in_database":
		return a.store.AuthzRules(c), true
	case "mysql":
		rows, err := s.mysql.Query(c)
		if err != nil {
			return nil, false
		}
		var rules []*Rule
		for _, row := range rows {
			if r := ruleOfRow(row); r != nil {
				rules = append(rules, r)
			}
		}
		return rules, true
	}
	return nil, false
}

// ruleOfRow reads a row of mqtt_acl. A row that makes no sense is skipped, as EMQX does.
func ruleOfRow(row map[string]*string) *Rule {
	get := func(name string) string {
		if p := row[name]; p != nil {
			return *p
		}
		return ""
	}
	r := &Rule{Action: strings.ToLower(get("action")), Retain: "all"}
	switch strings.ToLower(get("permission")) {
	case "allow":
		r.Allow = true
	case "deny":
	default:
		return nil
	}
	if r.Action != "publish" && r.Action != "subscribe" && r.Action != "all" {
		return nil
	}
	topic, ok := row["topic"]
	if !ok || topic == nil {
		return nil
	}
	r.Topics = []string{*topic}
	if q := get("qos"); q != "" {
		for _, part := range strings.Split(q, ",") {
			n := asInt(strings.TrimSpace(part), -1)
			if n < 0 || n > 2 {
				return nil
			}
			r.Qos = append(r.Qos, n)
		}
	}
	switch get("retain") {
	case "", "all":
	case "1", "true":
		r.Retain = "true"
	case "0", "false":
		r.Retain = "false"
	default:
		return nil
	}
	var who []func(*ClientInfo) bool
	if v := get("username"); v != "" {
		who = append(who, func(c *ClientInfo) bool { return c.Username == v })
	}
	if v := get("clientid"); v != "" {
		who = append(who, func(c *ClientInfo) bool { return c.ClientID == v })
	}
	if v := get("ipaddress"); v != "" {
		r.Who, _ = whoOf(erlTuple{erlAtom("ipaddr"), v})
		if r.Who == nil {
			return nil
		}
		who = append(who, r.Who)
	}
	if who != nil {
		r.Who = func(c *ClientInfo) bool {
			for _, f := range who {
				if !f(c) {
					return false
				}
			}
			return true
		}
	}
	return r
}
