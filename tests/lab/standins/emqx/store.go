package main

// What EMQX keeps in its own database and not in the configuration: dashboard users, API keys, the
// built-in users and rules, bans. As there, it lies under the node's name: a node that was renamed
// starts empty.

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// DashUser is a user of the dashboard.
type DashUser struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Salt        string `json:"salt"`
	Hash        string `json:"hash"`
}

// APIKey is a key for the REST API.
type APIKey struct {
	Name      string `json:"name"`
	Key       string `json:"key"`
	Salt      string `json:"salt"`
	Hash      string `json:"hash"`
	Desc      string `json:"desc"`
	Enable    bool   `json:"enable"`
	ExpiredAt string `json:"expired_at"` // RFC 3339, or infinity
	CreatedAt string `json:"created_at"`
	Bootstrap bool   `json:"bootstrap"`
}

func (k *APIKey) expired() bool {
	t, err := time.Parse(time.RFC3339, k.ExpiredAt)
	return err == nil && time.Now().After(t)
}

// AuthnUser is a user of the built-in database.
type AuthnUser struct {
	ID    string `json:"id"`
	Hash  string `json:"hash"`
	Salt  string `json:"salt"`
	Super bool   `json:"super"`
}

// Ban is an entry of the banned table.
type Ban struct {
	As     string `json:"as"`
	Who    string `json:"who"`
	By     string `json:"by"`
	Reason string `json:"reason"`
	At     string `json:"at"`
	Until  string `json:"until"`
}

// Store is all of it, written as one file after every change.
type Store struct {
	mu   sync.RWMutex
	file string

	Users []*DashUser            `json:"users"`
	Keys  []*APIKey              `json:"keys"`
	Authn map[string][]AuthnUser `json:"authn"` // by authenticator
	Rules map[string][]Map       `json:"rules"` // "username:x", "clientid:x", "all"
	Bans  []*Ban                 `json:"bans"`
}

func OpenStore(dir string) (*Store, error) {
	s := &Store{file: filepath.Join(dir, "standin.json"), Authn: map[string][]AuthnUser{}, Rules: map[string][]Map{}}
	raw, err := os.ReadFile(s.file)
	if errors.Is(err, os.ErrNotExist) {
		return s, os.MkdirAll(dir, 0o755)
	} else if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, err
	}
	for _, rules := range s.Rules {
		for _, r := range rules {
			for k, v := range r {
				r[k] = integral(v)
			}
		}
	}
	return s, nil
}

// integral undoes encoding/json's float64 for whole numbers.
func integral(v any) any {
	switch t := v.(type) {
	case float64:
		return int64(t)
	case []any:
		for i, e := range t {
			t[i] = integral(e)
		}
	}
	return v
}

// change runs f under the lock and writes the file.
func (s *Store) change(f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	tmp := s.file + ".tmp"
	if err := os.WriteFile(tmp, mustJSON(s), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, s.file)
}

func randomText(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw)
	return hex.EncodeToString(raw)
}

func seal(salt, secret string) string {
	sum := sha256.Sum256([]byte(salt + secret))
	return hex.EncodeToString(sum[:])
}

func sealed(salt, hash, secret string) bool {
	return subtle.ConstantTimeCompare([]byte(seal(salt, secret)), []byte(hash)) == 1
}

// --- dashboard users ----------------------------------------------------------------------------------

func (s *Store) User(name string) *DashUser {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, u := range s.Users {
		if u.Name == name {
			return u
		}
	}
	return nil
}

func (s *Store) CheckUser(name, password string) bool {
	u := s.User(name)
	return u != nil && sealed(u.Salt, u.Hash, password)
}

// SetPassword makes the user when there is none.
func (s *Store) SetPassword(name, password, description string) error {
	u := s.User(name)
	return s.change(func() {
		if u == nil {
			u = &DashUser{Name: name, Description: description}
			s.Users = append(s.Users, u)
		}
		u.Salt = randomText(8)
		u.Hash = seal(u.Salt, password)
	})
}

var (
	errPwdLength = errors.New("The range of password length is 8~64")
	errPwdChars  = errors.New("only ascii characters are allowed in the password")
	errPwdWeak   = errors.New("password should contain at least two of letters, numbers and special characters")
)

// passwordPolicy is the dashboard's: 8 to 64 ASCII characters of at least two classes.
func passwordPolicy(p string) error {
	if len(p) < 8 || len(p) > 64 {
		return errPwdLength
	}
	classes := map[string]bool{}
	for _, r := range p {
		switch {
		case r >= '0' && r <= '9':
			classes["digit"] = true
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			classes["letter"] = true
		case r > ' ' && r < 0x7f:
			classes["special"] = true
		default:
			return errPwdChars
		}
	}
	if len(classes) < 2 {
		return errPwdWeak
	}
	return nil
}

// --- API keys -----------------------------------------------------------------------------------------

func (s *Store) Key(name string) *APIKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, k := range s.Keys {
		if k.Name == name {
			return k
		}
	}
	return nil
}

func (s *Store) CheckKey(key, secret string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, k := range s.Keys {
		if k.Key == key {
			return k.Enable && !k.expired() && sealed(k.Salt, k.Hash, secret)
		}
	}
	return false
}

// Bootstrap loads api_key.bootstrap_file: lines key:secret[:role[:scope]]. A known key gets the new
// secret; a key that is no longer in the file stays.
func (s *Store) Bootstrap(text string) error {
	var bad bool
	err := s.change(func() {
		for _, line := range strings.Split(text, "\n") {
			line = strings.TrimRight(line, "\r")
			if line == "" {
				continue
			}
			f := strings.Split(line, ":")
			if len(f) < 2 || f[0] == "" || f[1] == "" {
				bad = true
				return
			}
			var k *APIKey
			for _, e := range s.Keys {
				if e.Key == f[0] {
					k = e
				}
			}
			if k == nil {
				k = &APIKey{Name: "from_bootstrap_file_" + f[0], Key: f[0], Desc: "Bootstrapped From File", CreatedAt: now()}
				s.Keys = append(s.Keys, k)
			}
			k.Salt = randomText(8)
			k.Hash = seal(k.Salt, f[1])
			k.Enable, k.ExpiredAt, k.Bootstrap = true, "infinity", true
		}
	})
	if bad {
		return errors.New("bootstrap file has a line that is not key:secret")
	}
	return err
}

func now() string { return time.Now().Format("2006-01-02T15:04:05-07:00") }

func nowMillis() string { return time.Now().Format("2006-01-02T15:04:05.000-07:00") }

// --- built-in database --------------------------------------------------------------------------------

func (s *Store) AuthnUser(authn, id string) (AuthnUser, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, u := range s.Authn[authn] {
		if u.ID == id {
			return u, true
		}
	}
	return AuthnUser{}, false
}

// AuthzRules are the built-in rules for a client: its own by client id, by user name, then those for all.
func (s *Store) AuthzRules(c *ClientInfo) []*Rule {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*Rule
	for _, key := range []string{"clientid:" + c.ClientID, "username:" + c.Username, "all"} {
		for _, m := range s.Rules[key] {
			r := &Rule{Allow: m["permission"] == "allow", Action: asStr(m["action"]), Topics: []string{asStr(m["topic"])}, Retain: asStr(m["retain"])}
			for _, q := range asList(m["qos"]) {
				r.Qos = append(r.Qos, asInt(q, -1))
			}
			out = append(out, r)
		}
	}
	return out
}

// --- bans ---------------------------------------------------------------------------------------------

func (b *Ban) over() bool {
	t, err := time.Parse(time.RFC3339, b.Until)
	return err == nil && time.Now().After(t)
}

func (s *Store) Banned(c *ClientInfo) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, b := range s.Bans {
		if !b.over() && b.hits(c) {
			return true
		}
	}
	return false
}

func (b *Ban) hits(c *ClientInfo) bool {
	switch b.As {
	case "clientid":
		return b.Who == c.ClientID
	case "username":
		return c.HasUsername && b.Who == c.Username
	case "peerhost":
		return b.Who == c.PeerHost
	case "clientid_re", "username_re":
		re, err := regexp.Compile(b.Who)
		text := c.ClientID
		if b.As == "username_re" {
			text = c.Username
		}
		return err == nil && re.MatchString(text)
	case "peerhost_net":
		n, err := parseNet(b.Who)
		ip := net.ParseIP(c.PeerHost)
		return err == nil && ip != nil && n.Contains(ip)
	}
	return false
}

// merge takes in a backup: what it holds replaces its like, nothing is removed.
func (s *Store) merge(raw []byte) error {
	var in Store
	if err := json.Unmarshal(raw, &in); err != nil {
		return err
	}
	return s.change(func() {
		for _, u := range in.Users {
			s.Users = append(slices.DeleteFunc(s.Users, func(x *DashUser) bool { return x.Name == u.Name }), u)
		}
		for _, k := range in.Keys {
			s.Keys = append(slices.DeleteFunc(s.Keys, func(x *APIKey) bool { return x.Name == k.Name }), k)
		}
		for _, b := range in.Bans {
			s.Bans = append(slices.DeleteFunc(s.Bans, func(x *Ban) bool { return x.As == b.As && x.Who == b.Who }), b)
		}
		for id, users := range in.Authn {
			for _, u := range users {
				s.Authn[id] = append(slices.DeleteFunc(s.Authn[id], func(x AuthnUser) bool { return x.ID == u.ID }), u)
			}
		}
		for key, rules := range in.Rules {
			for _, r := range rules {
				for k, v := range r {
					r[k] = integral(v)
				}
			}
			s.Rules[key] = rules
		}
	})
}
