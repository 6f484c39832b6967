package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestHocon(t *testing.T) {
	got, err := ParseHocon(`
# a comment
a.b = 1, a { c : "two" }     // another
list = [1, "x", {k = v}
  true]
text = some words here
both = "quoted:" plain
long = """multi
line"""
dur = 1m30s
"dotted.key" = 1.5
a { d += 1 }
a { d += 2 }
from = ${a.c}
optional = ${?nothing}
path = "${EMQX_ETC_DIR}/x"
empty = {}
`, "")
	if err != nil {
		t.Fatal(err)
	}
	want := Map{"a": Map{"b": int64(1), "c": "two", "d": []any{int64(1), int64(2)}},
		"list": []any{int64(1), "x", Map{"k": "v"}, true}, "text": "some words here", "both": "quoted: plain",
		"long": "multi\nline", "dur": "1m30s", "dotted.key": 1.5, "from": "two", "path": "${EMQX_ETC_DIR}/x", "empty": Map{}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
	again, err := ParseHocon(WriteHocon(got, true), "")
	if err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("written and read again: %v %#v", err, again)
	}
}

func TestHoconRefuses(t *testing.T) {
	for _, bad := range []string{"mqtt { = }", "a {", "a = [1", `a = "x`, "a = b@c", "a = 1.2.3.4:5", "a", "a = ", "}", "a = ${none}",
		"a = ${b}\nb = ${a}", `a = 1 } `, "= 1", `a = """x`} {
		if m, err := ParseHocon(bad, ""); err == nil {
			t.Errorf("%q was read as %v", bad, m)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := envLayer([]string{"EMQX_LISTENERS__SSL__DEFAULT__BIND=\"127.0.0.1:8883\"", "EMQX_NODE__NAME=emqx@host.example",
		"EMQX_MQTT__MAX_INFLIGHT=5", "EMQX_ETC_DIR=/x", "EMQX_NO_SUCH__ROOT=1", "PATH=/bin"})
	want := Map{"listeners": Map{"ssl": Map{"default": Map{"bind": "127.0.0.1:8883"}}}, "node": Map{"name": "emqx@host.example"},
		"mqtt": Map{"max_inflight": int64(5)}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
}

func TestValues(t *testing.T) {
	for in, want := range map[string]time.Duration{"2h": 2 * time.Hour, "1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond,
		"1d": 24 * time.Hour, "infinity": -1, "1500": 1500 * time.Millisecond, "soon": 7} {
		if got := asDuration(in, 7); got != want {
			t.Errorf("%s is %v, not %v", in, got, want)
		}
	}
	for in, want := range map[string]int{"1MB": 1 << 20, "32mb": 32 << 20, "4KB": 4096, "100": 100, "12B": 12, "much": 9} {
		if got := asBytes(in, 9); got != want {
			t.Errorf("%s is %d, not %d", in, got, want)
		}
	}
	for in, want := range map[string]string{"1883": ":1883", ":1883": ":1883", "127.0.0.1:1": "127.0.0.1:1", "[::1]:2": "[::1]:2",
		"nowhere": "", "1.2.3.4:70000": "", "1.2.3.4": "", "host:1": ""} {
		if got, _ := parseBind(in); got != want {
			t.Errorf("bind %s is %q, not %q", in, got, want)
		}
	}
}

func TestSQLTemplate(t *testing.T) {
	q := ParseSQL(`SELECT h FROM u WHERE n = ${username} AND "${clientid}" = n AND COALESCE(${cert_common_name}, '') = '' AND x = ${nope}`)
	if want := `SELECT h FROM u WHERE n = ? AND ? = n AND COALESCE(?, '') = '' AND x = ?`; q.Query != want {
		t.Errorf("query %s", q.Query)
	}
	args := q.Args(&ClientInfo{Username: "it's", ClientID: "c"})
	if want := []any{"it's", "c", "", "${nope}"}; !reflect.DeepEqual(args, want) {
		t.Errorf("args %#v", args)
	}
}

func TestTopics(t *testing.T) {
	for _, c := range []struct {
		name, filter string
		want         bool
	}{{"a/b", "a/b", true}, {"a/b", "a/+", true}, {"a/b/c", "a/+", false}, {"a", "a/#", true}, {"a/b/c", "a/#", true}, {"a", "a/+", false},
		{"$SYS/x", "#", false}, {"$SYS/x", "+/x", false}, {"$SYS/x", "$SYS/#", true}, {"a//b", "a/+/b", true}, {"", "+", true},
		{"a/+", "a/+", true}, {"a/#", "a/+", true}, {"a/#", "a/b", false}, {"ab", "a", false}} {
		if got := topicMatches(c.name, c.filter); got != c.want {
			t.Errorf("%s under %s: %v", c.name, c.filter, got)
		}
		r := Routes{}
		s := &Session{ClientID: "c"}
		sub := &Sub{real: c.filter}
		r.Add(s, sub)
		if strings.ContainsAny(c.name, "+#") {
			continue // the tree is asked with names only
		}
		found := r.Match(c.name, nil)
		if (len(found) == 1) != c.want || len(found) > 1 {
			t.Errorf("%s under %s in the tree: %v", c.name, c.filter, found)
		}
		if len(found) == 1 && found[0].filter != c.filter {
			t.Errorf("the tree says %s for %s", found[0].filter, c.filter)
		}
		r.Remove(s, sub)
		if len(r.root.children) != 0 {
			t.Errorf("%s was not removed", c.filter)
		}
	}
	for filter, want := range map[string]bool{"a/+/#": true, "a/b#": false, "#/a": false, "a+": false, "": false, "+": true} {
		if validTopicFilter(filter) != want {
			t.Errorf("filter %q", filter)
		}
	}
}

func TestACL(t *testing.T) {
	rules, err := ParseACL(`%% comments
{allow, {username, {re, "^dash"}}, subscribe, ["$SYS/#"]}.
{allow, {'and', [{ipaddr, "10.0.0.0/8"}, {clientid, "c1"}]}, {publish, [{qos, 1}, {retain, false}]}, ["t/${username}", {eq, "a/+"}]}.
{deny, all}.
`)
	if err != nil || len(rules) != 3 {
		t.Fatal(err, rules)
	}
	decide := func(c *ClientInfo, action, topic string, qos byte, retain bool) bool {
		for _, r := range rules {
			if r.matches(c, action, topic, qos, retain) {
				return r.Allow
			}
		}
		t.Fatal("the last rule did not match")
		return false
	}
	c := &ClientInfo{Username: "u", ClientID: "c1", PeerHost: "10.1.2.3"}
	for _, e := range []struct {
		action, topic string
		qos           byte
		retain, want  bool
	}{{"publish", "t/u", 1, false, true}, {"publish", "t/u", 2, false, false}, {"publish", "t/u", 1, true, false},
		{"publish", "t/v", 1, false, false}, {"publish", "a/+", 1, false, true}, {"publish", "a/b", 1, false, false},
		{"subscribe", "t/u", 1, false, false}, {"subscribe", "$SYS/x", 0, false, false}} {
		if got := decide(c, e.action, e.topic, e.qos, e.retain); got != e.want {
			t.Errorf("%+v: %v", e, got)
		}
	}
	if !decide(&ClientInfo{Username: "dashboard"}, "subscribe", "$SYS/x", 0, false) || decide(&ClientInfo{PeerHost: "10.1.2.3", ClientID: "c1"}, "publish", "t/", 1, false) {
		t.Error("a pattern, or a placeholder without a value")
	}
	for bad, want := range map[string]string{"{allow, oops": `{bad_acl_file_content,{1,erl_parse,["syntax error before: ",[]]}}`,
		"{allow, all}\n{deny, all}.": `{bad_acl_file_content,{2,erl_parse,["syntax error before: ","{"]}}`} {
		if _, err := ParseACL(bad); err == nil || err.Error() != want {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ParseACL("{perhaps, all}."); err == nil {
		t.Error("a permission that is none")
	}
}

func TestHashes(t *testing.T) {
	for _, alg := range []Map{{"name": "bcrypt", "salt_rounds": int64(4)}, {"name": "sha256", "salt_position": "suffix"},
		{"name": "plain", "salt_position": "disable"}, {"name": "pbkdf2", "mac_fun": "sha512", "iterations": int64(10), "dk_length": int64(16)}} {
		stored, salt, err := newHash(alg, "secret")
		if err != nil || !checkPassword(alg, stored, salt, "secret") || checkPassword(alg, stored, salt, "secreu") {
			t.Errorf("%v: %v", alg, err)
		}
	}
	if checkPassword(Map{"name": "rot13"}, "", "", "") {
		t.Error("an unknown algorithm admits")
	}
}

func TestQueue(t *testing.T) {
	var q queue
	for i := range 100 {
		q.push(delivery{msg: &Message{Topic: "t"}, subID: i})
		if i%3 == 0 {
			q.pop()
		}
	}
	for want := 34; q.n > 0; want++ {
		if d := q.pop(); d.subID != want {
			t.Fatalf("%d instead of %d", d.subID, want)
		}
	}
	if q.heap != 0 {
		t.Errorf("heap %d", q.heap)
	}
}

func TestPasswordPolicy(t *testing.T) {
	for p, want := range map[string]error{"short1": errPwdLength, "alllettersonly": errPwdWeak, "letters-and": nil, "letters1": nil,
		"umläuts1": errPwdChars, strings.Repeat("a1", 33): errPwdLength} {
		if err := passwordPolicy(p); !errors.Is(err, want) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, number := range []string{"5.8.9", "5.3.0"} {
		v, err := NewVersion(number)
		if err != nil || len(v.Metrics) < 80 || len(v.PromTree) < 100 {
			t.Errorf("%s: %v", number, err)
		}
	}
	if _, err := NewVersion("4.4"); err == nil {
		t.Error("a version that is none")
	}
}
