package main

// Connectors, actions, sources, bridges and rules. They can be made, changed, probed and removed as in
// EMQX, and the state of a connector is that of a real MQTT login at its server; but the stand-in does
// not carry messages over them: nothing in the lab asks for it yet.

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Bridges remembers when things were made; what they are is in the configuration.
type Bridges struct {
	mu    sync.Mutex
	times map[string]int64 // "actions:mqtt:up" -> milliseconds
}

func NewBridges() *Bridges { return &Bridges{times: map[string]int64{}} }

func (b *Bridges) touch(key string) {
	b.mu.Lock()
	b.times[key] = time.Now().UnixMilli()
	b.mu.Unlock()
}

func (b *Bridges) at(key string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.times[key]
}

// bridgeKind is what differs between the four kinds.
type bridgeKind struct {
	root    string // path and root of the configuration
	exists  string
	missing string // %s: name, %s: type
	v2      bool   // an action or a source: belongs to a connector
	post    map[string][]string
	put     map[string][]string
}

var bridgeKinds = []bridgeKind{
	{root: "bridges", exists: "bridge already exists", missing: "Bridge lookup failed: bridge named '%s' of type %s does not exist.",
		post: map[string][]string{"mqtt": {"bridge_mqtt.post"}, "http": {"bridge_http.post"}, "webhook": {"bridge_http.post", "bridge_webhook.post"}},
		put:  map[string][]string{"mqtt": {"bridge_mqtt.put"}, "http": {"bridge_http.put"}, "webhook": {"bridge_http.put", "bridge_webhook.put"}}},
	{root: "connectors", exists: "connector already exists", missing: "Connector lookup failed: connector named '%s' of type %s does not exist.",
		post: map[string][]string{"mqtt": {"connector_mqtt.post_connector"}, "http": {"bridge_http.post_connector"}},
		put:  map[string][]string{"mqtt": {"connector_mqtt.put_connector"}, "http": {"bridge_http.put_connector"}}},
	{root: "actions", exists: "bridge already exists", missing: "Bridge lookup failed: bridge named '%s' of type %s does not exist.", v2: true,
		post: map[string][]string{"mqtt": {"bridge_mqtt_publisher.post_bridge_v2"}, "http": {"bridge_http.post_bridge_v2"}},
		put:  map[string][]string{"mqtt": {"bridge_mqtt_publisher.put_bridge_v2"}, "http": {"bridge_http.put_bridge_v2"}}},
	{root: "sources", exists: "bridge already exists", missing: "Bridge lookup failed: bridge named '%s' of type %s does not exist.", v2: true,
		post: map[string][]string{"mqtt": {"bridge_mqtt_publisher.post_source"}},
		put:  map[string][]string{"mqtt": {"bridge_mqtt_publisher.put_source"}}},
}

func (n *Node) bridgeRoutes() {
	for i := range bridgeKinds {
		k := &bridgeKinds[i]
		here := k.root == "bridges" || n.ver.Connectors
		if !here {
			continue
		}
		p := "/" + k.root
		n.handle(p, map[string]apiHandler{"GET": n.listBridges(k), "POST": n.createBridge(k)})
		n.handle(p+"/{id}", map[string]apiHandler{"GET": n.getBridge(k), "PUT": n.updateBridge(k), "DELETE": n.deleteBridge(k)})
		n.handle(p+"/{id}/enable/{enable}", map[string]apiHandler{"PUT": n.enableBridge(k)})
		n.handle(p+"/{id}/metrics", map[string]apiHandler{"GET": n.bridgeMetrics(k)})
		n.handle(p+"/{id}/metrics/reset", map[string]apiHandler{"PUT": n.withBridge(k, func(*Req, string, Map) Res { return status(204) })})
		for _, op := range []string{"start", "stop", "restart"} {
			n.handle(p+"/{id}/"+op, map[string]apiHandler{"POST": n.withBridge(k, func(*Req, string, Map) Res { return status(204) })})
		}
		n.handle(p+"_probe", map[string]apiHandler{"POST": n.probeBridge(k)})
	}
	n.handle("/rules", map[string]apiHandler{"GET": n.listRules, "POST": n.createRule})
	n.handle("/rules/{id}", map[string]apiHandler{"GET": n.getRule, "PUT": n.updateRule, "DELETE": n.deleteRule})
}

// withBridge finds the thing that the path names.
func (n *Node) withBridge(k *bridgeKind, f func(r *Req, id string, conf Map) Res) apiHandler {
	return func(r *Req) Res {
		kind, name, found := strings.Cut(r.path[0], ":")
		if !found {
			return badRequest("Invalid bridge id, must be 'type:name'")
		}
		conf, there := n.cfg.GetPath(k.root, kind, name).(Map)
		if !there {
			return fail(404, "NOT_FOUND", fmt.Sprintf(k.missing, name, kind))
		}
		return f(r, r.path[0], conf)
	}
}

func (n *Node) bridgeSchema(k *bridgeKind, kind string, put bool) (Map, string) {
	names := k.post[kind]
	if put {
		names = k.put[kind]
	}
	return n.ver.Schemas.Named(names...)
}

// checkBridge validates a body; a PUT's findings do not name the type.
func (n *Node) checkBridge(k *bridgeKind, kind string, conf Map, put bool) error {
	schema, name := n.bridgeSchema(k, kind, put)
	if schema == nil {
		return Fault{"kind": "validation_error", "path": "root", "value": kind, "field_name": "type",
			"reason": "unknown " + strings.TrimSuffix(k.root, "s") + " type"}
	}
	if k.root == "bridges" && !put && conf["egress"] == nil && conf["ingress"] == nil && n.ver.BridgeCompat {
		return errNoDirection
	}
	c := &checker{s: n.ver.Schemas}
	path := "root"
	if k.root == "bridges" && !put && !n.ver.BridgeCompat {
		path = "bridges." + kind + "." + asStr(conf["name"])
	} else if !put {
		c.matched = strings.Replace(name, ".", ":", 1)
	}
	return c.check(schema, conf, path)
}

// errNoDirection: the newer version makes a bridge of a connector and an action, and fails on one
// that has neither direction.
var errNoDirection = fmt.Errorf("error, {incompatible_bridge_v1,no_action_or_source}, [{%s}]", standIn)

func (n *Node) bridgeFault(err error) Res {
	if err == errNoDirection {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return badRequest(err.Error())
}

func (n *Node) bridgeView(k *bridgeKind, id string, conf Map) Map {
	kind, name, _ := strings.Cut(id, ":")
	schema, _ := n.bridgeSchema(k, kind, false)
	v := n.ver.Schemas.defaults(schema, clone(conf).(Map))
	v["type"], v["name"] = kind, name
	if k.root == "bridges" && asMap(v["egress"])["remote"] == nil && conf["egress"] == nil {
		delete(v, "egress")
	}
	if conf["ingress"] == nil && k.root == "bridges" {
		delete(v, "ingress")
	}
	if e, hasEgress := v["egress"].(Map); hasEgress && n.ver.BridgeCompat && e["local"] == nil {
		e["local"] = Map{}
	}
	state, why := n.bridgeState(k, kind, conf)
	node := Map{"node": n.cfg.NodeName(), "status": state}
	v["status"] = state
	switch {
	case k.v2:
		node["status_reason"], v["status_reason"], v["error"] = why, why, ""
		at := n.bridges.at(k.root + ":" + id)
		v["created_at"], v["last_modified_at"] = at, at
		v["rules"] = n.rulesUsing(id)
	case k.root == "connectors":
		v["actions"], v["sources"] = n.channels("actions", kind, name), n.channels("sources", kind, name)
	}
	v["node_status"] = []any{node}
	hideSecrets(v)
	return v
}

// hideSecrets: secrets of bridges and connectors are masked in every version.
func hideSecrets(m Map) {
	for k, v := range m {
		switch t := v.(type) {
		case Map:
			hideSecrets(t)
		case string:
			if k == "password" && t != "" && !strings.HasPrefix(t, "file://") {
				m[k] = mask
			}
		}
	}
}

func (n *Node) channels(root, kind, connector string) []any {
	out := []any{}
	for name, c := range n.cfg.GetMap(root, kind) {
		if asMap(c)["connector"] == connector {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return out
}

func (n *Node) rulesUsing(id string) []any {
	out := []any{}
	for name, r := range n.cfg.GetMap("rule_engine", "rules") {
		if slices.Contains(asList(asMap(r)["actions"]), any(id)) {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return out
}

// bridgeState logs in at the remote broker to see whether it would let us.
func (n *Node) bridgeState(k *bridgeKind, kind string, conf Map) (state, why string) {
	if !enabled(conf) {
		return "disconnected", "disabled"
	}
	if k.v2 {
		connector, _ := n.cfg.GetPath("connectors", kind, asStr(conf["connector"])).(Map)
		if connector == nil {
			return "disconnected", "connector not found"
		}
		conf = connector
		if !enabled(conf) {
			return "disconnected", "connector disabled"
		}
	}
	if kind != "mqtt" {
		return "connecting", standIn
	}
	if err := mqttProbe(conf, n.cfg.expand); err != nil {
		return "disconnected", err.Error()
	}
	return "connected", ""
}

func mqttProbe(conf Map, expand func(string) string) error {
	addr := asStr(conf["server"])
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(addr, "1883")
	}
	nc, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	if ssl := asMap(conf["ssl"]); asBool(ssl["enable"], false) {
		tc, err := clientTLS(ssl, expand)
		if err != nil {
			return err
		}
		if tc.ServerName == "" {
			tc.ServerName, _, _ = net.SplitHostPort(addr)
		}
		nc = tlsClient(nc, tc)
	}
	_ = nc.SetDeadline(time.Now().Add(2 * time.Second))
	password, err := Secret(asStr(conf["password"]))
	if err != nil {
		return err
	}
	version := byte(4)
	if conf["proto_ver"] == "v5" {
		version = 5
	}
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: version,
		Connect: packets.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true, Keepalive: 10,
			ClientIdentifier: asStr(conf["clientid_prefix"]) + "_probe_" + randomText(4),
			Username:         []byte(asStr(conf["username"])), UsernameFlag: conf["username"] != nil,
			Password: []byte(password), PasswordFlag: conf["password"] != nil}}
	var buf bytes.Buffer
	if err := pk.ConnectEncode(&buf); err != nil {
		return err
	}
	if _, err := nc.Write(buf.Bytes()); err != nil {
		return err
	}
	r := bufio.NewReader(nc)
	var head [4]byte
	for i := range head {
		if head[i], err = r.ReadByte(); err != nil {
			return err
		}
	}
	if head[0]>>4 != packets.Connack || head[3] != 0 {
		return fmt.Errorf("refused with reason code %d", head[3])
	}
	_, _ = nc.Write([]byte{packets.Disconnect << 4, 0})
	return nil
}

func (n *Node) listBridges(k *bridgeKind) apiHandler {
	return func(*Req) Res {
		out := []any{}
		all := n.cfg.GetMap(k.root)
		for _, kind := range sortedKeys(all) {
			names := asMap(all[kind])
			for _, name := range sortedKeys(names) {
				out = append(out, n.bridgeView(k, kind+":"+name, asMap(names[name])))
			}
		}
		return ok(out)
	}
}

func (n *Node) bridgeBody(k *bridgeKind, r *Req, kind string) (Map, string, error) {
	v, err := r.json()
	if err != nil {
		return nil, "", err
	}
	conf := asMap(v)
	put := kind != ""
	if !put {
		kind = asStr(conf["type"])
	}
	if err := n.checkBridge(k, kind, conf, put); err != nil {
		return nil, "", err
	}
	if connector := asStr(conf["connector"]); k.v2 && n.cfg.GetPath("connectors", kind, connector) == nil {
		return nil, "", Fault{"reason": "connector_not_found_or_wrong_type", "connector_name": connector,
			"conf_root_key": k.root, "bridge_type": kind, "bridge_name": conf["name"]}
	}
	return conf, kind, nil
}

func (n *Node) createBridge(k *bridgeKind) apiHandler {
	return func(r *Req) Res {
		v, err := r.json()
		if err != nil {
			return badRequest(err.Error())
		}
		m := asMap(v)
		if n.cfg.GetPath(k.root, asStr(m["type"]), asStr(m["name"])) != nil {
			return fail(400, "ALREADY_EXISTS", k.exists)
		}
		conf, kind, err := n.bridgeBody(k, r, "")
		if err != nil {
			return n.bridgeFault(err)
		}
		name := asStr(conf["name"])
		delete(conf, "type")
		delete(conf, "name")
		n.bridges.touch(k.root + ":" + kind + ":" + name)
		if err := n.cfg.Set(conf, k.root, kind, name); err != nil {
			return fail(500, "INTERNAL_ERROR", err.Error())
		}
		return Res{status: 201, body: n.bridgeView(k, kind+":"+name, conf)}
	}
}

func (n *Node) getBridge(k *bridgeKind) apiHandler {
	return n.withBridge(k, func(_ *Req, id string, conf Map) Res { return ok(n.bridgeView(k, id, conf)) })
}

func (n *Node) updateBridge(k *bridgeKind) apiHandler {
	return n.withBridge(k, func(r *Req, id string, old Map) Res {
		kind, name, _ := strings.Cut(id, ":")
		conf, _, err := n.bridgeBody(k, r, kind)
		if err != nil {
			return n.bridgeFault(err)
		}
		if conf["password"] == mask && old["password"] != nil {
			conf["password"] = old["password"]
		}
		n.bridges.touch(k.root + ":" + id)
		if err := n.cfg.Set(conf, k.root, kind, name); err != nil {
			return fail(500, "INTERNAL_ERROR", err.Error())
		}
		return ok(n.bridgeView(k, id, conf))
	})
}

func (n *Node) deleteBridge(k *bridgeKind) apiHandler {
	return n.withBridge(k, func(_ *Req, id string, _ Map) Res {
		kind, name, _ := strings.Cut(id, ":")
		if rules := n.rulesUsing(id); len(rules) > 0 && k.root != "connectors" {
			if k.root == "bridges" && !n.ver.BridgeInUse {
				terms := []string{}
				for _, r := range rules {
					terms = append(terms, "<<\""+asStr(r)+"\">>")
				}
				return badRequest("{<<\"Cannot delete bridge while active rules are defined for this bridge\">>,[" + strings.Join(terms, ",") + "]}")
			}
			what := map[string]string{"bridges": "bridge", "actions": "action", "sources": "source"}[k.root]
			return Res{status: 400, body: Map{"code": "BAD_REQUEST", "rules": rules,
				"message": "Cannot delete " + what + " while active rules are depending on it"}}
		}
		if k.root == "connectors" {
			terms := []string{}
			for _, root := range []string{"actions", "sources"} {
				for _, c := range n.channels(root, kind, name) {
					terms = append(terms, fmt.Sprintf("{<<\"%s:%s:%s:connector:%s\">>,#{bridge_name => <<\"%s\">>}}",
						strings.TrimSuffix(root, "s"), kind, c, id, c))
				}
			}
			if len(terms) > 0 {
				return badRequest("{<<\"Cannot delete connector while there are active channels defined for this connector\">>,[" + strings.Join(terms, ",") + "]}")
			}
		}
		if err := n.cfg.Set(nil, k.root, kind, name); err != nil {
			return fail(500, "INTERNAL_ERROR", err.Error())
		}
		return status(204)
	})
}

func (n *Node) enableBridge(k *bridgeKind) apiHandler {
	return n.withBridge(k, func(r *Req, id string, conf Map) Res {
		on, err := strconv.ParseBool(r.path[1])
		if err != nil {
			return badRequest("not a boolean: " + r.path[1])
		}
		kind, name, _ := strings.Cut(id, ":")
		conf["enable"] = on
		if err := n.cfg.Set(conf, k.root, kind, name); err != nil {
			return fail(500, "INTERNAL_ERROR", err.Error())
		}
		return status(204)
	})
}

func (n *Node) bridgeMetrics(k *bridgeKind) apiHandler {
	return n.withBridge(k, func(_ *Req, id string, _ Map) Res {
		m := rates(Map{})
		for _, name := range strings.Fields("dropped dropped.expired dropped.other dropped.queue_full dropped.resource_not_found " +
			"dropped.resource_stopped failed inflight late_reply matched queuing received retried success") {
			m[name] = 0
		}
		if k.v2 {
			m["queuing_bytes"] = 0
		}
		return ok(Map{"metrics": m, "node_metrics": []any{Map{"node": n.cfg.NodeName(), "metrics": m}}})
	})
}

func (n *Node) probeBridge(k *bridgeKind) apiHandler {
	return func(r *Req) Res {
		conf, kind, err := n.bridgeBody(k, r, "")
		if err != nil {
			return n.bridgeFault(err)
		}
		if stored := asMap(n.cfg.GetPath(k.root, kind, asStr(conf["name"]))); conf["password"] == mask {
			conf["password"] = stored["password"]
		}
		if state, why := n.bridgeState(k, kind, conf); state != "connected" {
			return fail(400, "TEST_FAILED", why)
		}
		return status(204)
	}
}

// --- rules ------------------------------------------------------------------------------------------------

var (
	sqlSelect = regexp.MustCompile(`(?is)^\s*(?:select|foreach)\s.*?\sfrom\s+(.+?)(?:\s+where\s.*)?$`)
	sqlTopic  = regexp.MustCompile(`"([^"]*)"|'([^']*)'`)
)

func (n *Node) ruleView(id string, conf Map) Map {
	var from []any
	if m := sqlSelect.FindStringSubmatch(asStr(conf["sql"])); m != nil {
		for _, t := range sqlTopic.FindAllStringSubmatch(m[1], -1) {
			from = append(from, t[1]+t[2])
		}
	}
	v := Map{"id": id, "name": asStr(conf["name"]), "sql": conf["sql"], "from": from, "actions": conf["actions"],
		"enable": enabled(conf), "description": asStr(conf["description"]), "created_at": asMap(conf["metadata"])["created_at"]}
	if n.ver.RuleModified {
		v["last_modified_at"] = asMap(conf["metadata"])["last_modified_at"]
	}
	if v["actions"] == nil {
		v["actions"] = []any{}
	}
	return v
}

func (n *Node) rule(id string) Map {
	m, _ := n.cfg.GetPath("rule_engine", "rules", id).(Map)
	return m
}

var ruleMissing = fail(404, "NOT_FOUND", "Rule Id Not Found")

func (n *Node) listRules(r *Req) Res {
	rules := n.cfg.GetMap("rule_engine", "rules")
	list := []any{}
	for _, id := range sortedKeys(rules) {
		list = append(list, n.ruleView(id, asMap(rules[id])))
	}
	return paged(r, list, true)
}

// checkRuleSQL words a refusal as EMQX's parser does: the words and their lengths.
func checkRuleSQL(id, sql string) error {
	if sqlSelect.MatchString(sql) {
		return nil
	}
	tokens := []string{}
	first := ""
	for _, w := range strings.Fields(sql) {
		if first == "" {
			first = w
		}
		tokens = append(tokens, fmt.Sprintf("{'NAME',%d,%q}", len(w), w))
	}
	return fmt.Errorf("Bad Arguments: #{kind => validation_error,path => \"rule_engine.rules.%s.sql\","+
		"reason => {parse_error,{\"%d: syntax error before: \\\"%s\\\"\",[%s]}},value => <<\"%s\">>}",
		id, len(first), first, strings.Join(tokens, ","), sql)
}

func (n *Node) createRule(r *Req) Res {
	v, err := n.body(r, "/rules", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	m := asMap(v)
	id := asStr(m["id"])
	if id == "" {
		id = "rule_" + randomText(3)
	}
	if n.rule(id) != nil {
		return badRequest("rule id already exists")
	}
	if err := checkRuleSQL(id, asStr(m["sql"])); err != nil {
		return badRequest(err.Error())
	}
	delete(m, "id")
	stamp := nowMillis()
	m["metadata"] = Map{"created_at": stamp, "last_modified_at": stamp}
	if err := n.cfg.Set(m, "rule_engine", "rules", id); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return Res{status: 201, body: n.ruleView(id, m)}
}

func (n *Node) getRule(r *Req) Res {
	if m := n.rule(r.path[0]); m != nil {
		return ok(n.ruleView(r.path[0], m))
	}
	return ruleMissing
}

// updateRule merges: what the body leaves out stays.
func (n *Node) updateRule(r *Req) Res {
	v, err := r.json()
	if err != nil {
		return badRequest(err.Error())
	}
	old := n.rule(r.path[0])
	if old == nil {
		return ruleMissing
	}
	created := asMap(old["metadata"])["created_at"]
	mergeInto(old, asMap(v))
	if err := checkRuleSQL(r.path[0], asStr(old["sql"])); err != nil {
		return badRequest(err.Error())
	}
	old["metadata"] = Map{"created_at": created, "last_modified_at": nowMillis()}
	if err := n.cfg.Set(old, "rule_engine", "rules", r.path[0]); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return ok(n.ruleView(r.path[0], old))
}

func (n *Node) deleteRule(r *Req) Res {
	if n.rule(r.path[0]) == nil {
		return ruleMissing
	}
	if err := n.cfg.Set(nil, "rule_engine", "rules", r.path[0]); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return status(204)
}
