package main

// Clients, subscriptions, topics, messages and listeners.

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

func (n *Node) mqttRoutes() {
	n.handle("/clients", map[string]apiHandler{"GET": n.listClients})
	n.handle("/clients/kickout/bulk", map[string]apiHandler{"POST": n.kickMany})
	n.handle("/clients/{clientid}", map[string]apiHandler{"GET": n.getClient, "DELETE": n.kickClient})
	n.handle("/clients/{clientid}/authorization/cache", map[string]apiHandler{"GET": n.clientCache, "DELETE": n.cleanClientCache})
	n.handle("/clients/{clientid}/subscriptions", map[string]apiHandler{"GET": n.clientSubs})
	n.handle("/clients/{clientid}/subscribe", map[string]apiHandler{"POST": n.subscribeOne})
	n.handle("/clients/{clientid}/subscribe/bulk", map[string]apiHandler{"POST": n.subscribeMany})
	n.handle("/clients/{clientid}/unsubscribe", map[string]apiHandler{"POST": n.unsubscribeOne})
	n.handle("/clients/{clientid}/unsubscribe/bulk", map[string]apiHandler{"POST": n.unsubscribeMany})
	n.handle("/subscriptions", map[string]apiHandler{"GET": n.listSubs})
	n.handle("/topics", map[string]apiHandler{"GET": n.listTopics})
	n.handle("/topics/{topic}", map[string]apiHandler{"GET": n.getTopic})
	n.handle("/publish", map[string]apiHandler{"POST": n.publishOne})
	n.handle("/publish/bulk", map[string]apiHandler{"POST": n.publishMany})
	n.handle("/mqtt/retainer", map[string]apiHandler{"GET": n.retainerConf, "PUT": n.updateRetainer})
	n.handle("/mqtt/retainer/messages", map[string]apiHandler{"GET": n.listRetained, "DELETE": n.dropAllRetained})
	n.handle("/mqtt/retainer/message/{topic}", map[string]apiHandler{"GET": n.getRetained, "DELETE": n.dropRetained})

	n.handle("/listeners", map[string]apiHandler{"GET": n.listListeners, "POST": n.createListener})
	n.handle("/listeners_status", map[string]apiHandler{"GET": n.listenersStatus})
	n.handle("/listeners/{id}", map[string]apiHandler{"GET": n.getListener, "POST": n.createListener, "PUT": n.updateListener, "DELETE": n.deleteListener})
	for _, op := range []string{"start", "stop", "restart"} {
		n.handle("/listeners/{id}/"+op, map[string]apiHandler{"POST": n.operateListener(op)})
	}
}

// --- clients ------------------------------------------------------------------------------------------

var clientMissing = fail(404, "CLIENTID_NOT_FOUND", "Client ID not found")

func (n *Node) clientView(s *Session) Map {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, k := s.client, &s.n
	stamp := func(t time.Time) string { return t.Format("2006-01-02T15:04:05.000-07:00") }
	seconds := int64(s.expiry / time.Second)
	if s.expiry < 0 {
		seconds = 0xFFFFFFFF
	}
	var username any = c.Username
	if !c.HasUsername {
		username = nil
	}
	var queueMax any = s.limits.Queue
	if s.limits.Queue < 0 {
		queueMax = "infinity"
	}
	m := Map{
		"clientid": s.ClientID, "username": username, "node": n.cfg.NodeName(), "listener": c.Listener,
		"connected": s.conn != nil, "ip_address": c.PeerHost, "port": c.PeerPort, "peerport": c.PeerPort,
		"proto_name": c.ProtoName, "proto_ver": c.ProtoVer, "clean_start": c.Clean, "keepalive": c.Keepalive,
		"expiry_interval": seconds, "created_at": stamp(s.CreatedAt), "connected_at": stamp(s.ConnectedAt),
		"is_bridge": false, "is_persistent": false, "is_expired": false, "durable": s.durable(), "enable_authn": true,
		"mountpoint": nil, "subscriptions_cnt": len(s.subs), "subscriptions_max": "infinity",
		"inflight_cnt": len(s.window), "inflight_max": s.limits.Inflight,
		"mqueue_len": s.mqueue.n, "mqueue_max": queueMax, "mqueue_dropped": k.MqueueDropped,
		"awaiting_rel_cnt": len(s.awaiting), "awaiting_rel_max": s.limits.AwaitingRel,
		"mailbox_len": len(s.mailbox), "heap_size": 600 + s.mqueue.heap/8, "reductions": k.RecvCnt + k.SendCnt,
		"recv_pkt": k.RecvPkt, "recv_cnt": k.RecvCnt, "recv_oct": k.RecvOct, "recv_msg": k.RecvMsg,
		"recv_msg.qos0": k.RecvQos[0], "recv_msg.qos1": k.RecvQos[1], "recv_msg.qos2": k.RecvQos[2],
		"recv_msg.dropped": k.RecvDropped, "recv_msg.dropped.await_pubrel_timeout": k.AwaitRelTimeouts,
		"send_pkt": k.SendPkt, "send_cnt": k.SendCnt, "send_oct": k.SendOct, "send_msg": k.SendMsg,
		"send_msg.qos0": k.SendQos[0], "send_msg.qos1": k.SendQos[1], "send_msg.qos2": k.SendQos[2],
		"send_msg.dropped": k.Dropped, "send_msg.dropped.queue_full": k.DroppedFull,
		"send_msg.dropped.expired": k.DroppedExpired, "send_msg.dropped.too_large": k.DroppedLarge,
	}
	if s.conn == nil {
		m["disconnected_at"] = stamp(s.DisconnectedAt)
	}
	return m
}

func (n *Node) listClients(r *Req) Res {
	q := r.URL.Query()
	list := []any{}
	for _, s := range n.broker.Sessions() {
		v := n.clientView(s)
		state := map[bool]string{true: "connected", false: "disconnected"}[v["connected"].(bool)]
		if like(q, "username", asStr(v["username"])) && like(q, "clientid", s.ClientID) && like(q, "conn_state", state) &&
			like(q, "ip_address", asStr(v["ip_address"])) &&
			strings.Contains(s.ClientID, q.Get("like_clientid")) && strings.Contains(asStr(v["username"]), q.Get("like_username")) {
			list = append(list, v)
		}
	}
	return paged(r, list, true)
}

func (n *Node) getClient(r *Req) Res {
	if s := n.broker.Session(r.path[0]); s != nil {
		return ok(n.clientView(s))
	}
	return clientMissing
}

func (n *Node) kickClient(r *Req) Res {
	if !n.broker.Kick(r.path[0]) {
		return clientMissing
	}
	return status(204)
}

func (n *Node) kickMany(r *Req) Res {
	v, err := r.json()
	list, isList := v.([]any)
	if err != nil || !isList {
		return badRequest("a list of client ids is expected")
	}
	for _, id := range list {
		n.broker.Kick(asStr(id))
	}
	return status(204)
}

func (n *Node) clientCache(r *Req) Res {
	s := n.broker.Session(r.path[0])
	if s == nil {
		return clientMissing
	}
	list := []any{}
	s.mu.Lock()
	c := &s.client.cache
	s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range c.order {
		e := c.entries[key]
		if e.at.UnixNano() <= n.auth.drained.Load() {
			continue
		}
		action, rest, _ := strings.Cut(key, "\x00")
		result := map[bool]string{true: "allow", false: "deny"}[e.allow]
		list = append(list, Map{"access": Map{"action_type": action, "qos": int64(rest[0] - '0'), "retain": rest[1] == 'r'},
			"topic": rest[2:], "result": result, "updated_time": e.at.UnixMilli()})
	}
	return ok(list)
}

func (n *Node) cleanClientCache(r *Req) Res {
	s := n.broker.Session(r.path[0])
	if s == nil {
		return clientMissing
	}
	s.mu.Lock()
	c := &s.client.cache
	s.mu.Unlock()
	c.clean()
	return status(204)
}

// --- subscriptions --------------------------------------------------------------------------------------

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (n *Node) subView(s *Session, sub Sub) Map {
	m := Map{"clientid": s.ClientID, "node": n.cfg.NodeName(), "topic": sub.Filter, "qos": sub.Qos,
		"nl": bit(sub.NL), "rap": bit(sub.RAP), "rh": sub.RH}
	if n.ver.SubsDurable {
		s.mu.Lock()
		m["durable"] = s.durable()
		s.mu.Unlock()
	}
	return m
}

func (n *Node) clientSubs(r *Req) Res {
	s := n.broker.Session(r.path[0])
	if s == nil {
		return clientMissing
	}
	list := []any{}
	for _, sub := range s.Subs() {
		list = append(list, n.subView(s, sub))
	}
	return ok(list)
}

func (n *Node) listSubs(r *Req) Res {
	q := r.URL.Query()
	list := []any{}
	for _, s := range n.broker.Sessions() {
		if !like(q, "clientid", s.ClientID) {
			continue
		}
		for _, sub := range s.Subs() {
			if like(q, "topic", sub.Filter) && like(q, "qos", fmt.Sprint(sub.Qos)) &&
				(!q.Has("match_topic") || topicMatches(q.Get("match_topic"), sub.real)) {
				list = append(list, n.subView(s, sub))
			}
		}
	}
	return paged(r, list, true)
}

// subscribe works on sessions that are offline as well. There is no permission to ask: this is the
// administrator speaking.
func (n *Node) subscribe(r *Req, bodies []any) ([]any, *Res) {
	s := n.broker.Session(r.path[0])
	if s == nil {
		return nil, &clientMissing
	}
	out := []any{}
	for _, e := range bodies {
		m := asMap(e)
		sub := &Sub{Filter: asStr(m["topic"]), Qos: byte(asInt(m["qos"], 0)), NL: asInt(m["nl"], 0) == 1,
			RAP: asInt(m["rap"], 0) == 1, RH: byte(asInt(m["rh"], 0))}
		if _, real := splitShare(sub.Filter); !validTopicFilter(real) {
			res := badRequest("topic_filter_invalid")
			return nil, &res
		}
		n.broker.Subscribe(s, sub)
		out = append(out, n.subView(s, *sub))
	}
	return out, nil
}

func (n *Node) subscribeOne(r *Req) Res {
	v, err := n.body(r, "/clients/{clientid}/subscribe", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	out, res := n.subscribe(r, []any{v})
	if res != nil {
		return *res
	}
	return ok(out[0])
}

func (n *Node) subscribeMany(r *Req) Res {
	v, err := n.body(r, "/clients/{clientid}/subscribe/bulk", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	out, res := n.subscribe(r, asList(v))
	if res != nil {
		return *res
	}
	return ok(out)
}

func (n *Node) unsubscribe(r *Req, bodies []any) Res {
	s := n.broker.Session(r.path[0])
	if s == nil {
		return clientMissing
	}
	for _, e := range bodies {
		n.broker.Unsubscribe(s, asStr(asMap(e)["topic"]))
	}
	return status(204)
}

func (n *Node) unsubscribeOne(r *Req) Res {
	v, err := n.body(r, "/clients/{clientid}/unsubscribe", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	return n.unsubscribe(r, []any{v})
}

func (n *Node) unsubscribeMany(r *Req) Res {
	v, err := n.body(r, "/clients/{clientid}/unsubscribe/bulk", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	return n.unsubscribe(r, asList(v))
}

func (n *Node) listTopics(r *Req) Res {
	list := []any{}
	for _, t := range n.broker.Topics() {
		if like(r.URL.Query(), "topic", t) {
			list = append(list, Map{"topic": t, "node": n.cfg.NodeName()})
		}
	}
	return paged(r, list, true)
}

func (n *Node) getTopic(r *Req) Res {
	if !slices.Contains(n.broker.Topics(), r.path[0]) {
		return fail(404, "TOPIC_NOT_FOUND", "Topic not found")
	}
	return ok([]any{Map{"topic": r.path[0], "node": n.cfg.NodeName()}})
}

// --- messages -------------------------------------------------------------------------------------------

var errTopicName = errors.New("topic_name_invalid")

func (n *Node) messageOf(v any) (*Message, error) {
	m := asMap(v)
	msg := &Message{ID: n.broker.newID(), Topic: asStr(m["topic"]), Payload: []byte(asStr(m["payload"])),
		Qos: byte(asInt(m["qos"], 0)), Retain: asBool(m["retain"], false), From: "http_api", At: time.Now()}
	if m["payload_encoding"] == "base64" {
		raw, err := base64.StdEncoding.DecodeString(asStr(m["payload"]))
		if err != nil {
			return nil, errors.New("bad_base64")
		}
		msg.Payload = raw
	}
	if !validTopicName(msg.Topic) {
		return nil, errTopicName
	}
	if secs := asInt(asMap(m["properties"])["message_expiry_interval"], 0); secs > 0 {
		msg.Expires = msg.At.Add(time.Duration(secs) * time.Second)
	}
	return msg, nil
}

func (n *Node) publishOne(r *Req) Res {
	v, err := n.body(r, "/publish", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	msg, err := n.messageOf(v)
	if err != nil {
		return Res{status: 400, body: Map{"message": err.Error(), "reason_code": 0x90}}
	}
	if n.broker.Publish(msg) == 0 {
		return Res{status: 202, body: Map{"message": "no_matching_subscribers", "reason_code": 0x10}}
	}
	return ok(Map{"id": msg.ID})
}

func (n *Node) publishMany(r *Req) Res {
	v, err := n.body(r, "/publish/bulk", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	out, code := []any{}, 200
	for _, e := range asList(v) {
		msg, err := n.messageOf(e)
		switch {
		case err != nil:
			out, code = append(out, Map{"message": err.Error(), "reason_code": 0x90}), 400
		case n.broker.Publish(msg) == 0:
			out = append(out, Map{"message": "no_matching_subscribers", "reason_code": 0x10})
			code = max(code, 202)
		default:
			out = append(out, Map{"id": msg.ID})
		}
	}
	return Res{status: code, body: out}
}

func retainedView(m *Message, payload bool) Map {
	v := Map{"topic": m.Topic, "qos": m.Qos, "msgid": m.ID, "from_clientid": m.From, "from_username": m.FromUser,
		"publish_at": m.At.Format("2006-01-02T15:04:05.000-07:00")}
	if payload {
		v["payload"] = base64.StdEncoding.EncodeToString(m.Payload)
	}
	return v
}

func (n *Node) listRetained(r *Req) Res {
	list := []any{}
	filter := r.URL.Query().Get("topic")
	for _, msg := range append(n.broker.Retained("$SYS/#"), n.broker.Retained("#")...) {
		if filter == "" || topicMatches(msg.Topic, filter) {
			list = append(list, retainedView(msg, false))
		}
	}
	return paged(r, list, n.ver.RetainHasNext)
}

func (n *Node) getRetained(r *Req) Res {
	if msg := n.broker.RetainedAt(r.path[0]); msg != nil {
		return ok(retainedView(msg, true))
	}
	return fail(404, "NOT_FOUND", "Viewed message doesn't exist")
}

func (n *Node) dropRetained(r *Req) Res {
	if !n.broker.DropRetained(r.path[0]) {
		return fail(404, "NOT_FOUND", "Viewed message doesn't exist")
	}
	return status(204)
}

func (n *Node) dropAllRetained(*Req) Res {
	n.broker.DropAllRetained()
	return status(204)
}

func (n *Node) retainerConf(*Req) Res {
	schema, _ := n.ver.Schemas.Named("retainer.retainer")
	return ok(n.ver.Schemas.defaults(schema, n.cfg.GetMap("retainer")))
}

func (n *Node) updateRetainer(r *Req) Res {
	v, err := n.body(r, "/mqtt/retainer", "put")
	if err != nil {
		return badRequest(err.Error())
	}
	if err := n.cfg.Set(v, "retainer"); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return n.retainerConf(r)
}

// --- listeners ------------------------------------------------------------------------------------------

func listenerMissing() Res { return fail(404, "BAD_LISTENER_ID", "Listener id not found") }

func (n *Node) listenerState(id string) (Map, bool) {
	l := n.listeners.Get(id)
	var limit any = "infinity"
	conns := int64(0)
	if l != nil {
		conns = l.conns.Load()
		if v := l.Conf["max_connections"]; v != nil {
			limit = v
		}
	}
	running := l != nil && l.Running()
	return Map{"current_connections": conns, "max_connections": limit, "running": running}, running
}

func (n *Node) listenerConf(id string) Map {
	kind, name, found := strings.Cut(id, ":")
	if !found {
		return nil
	}
	return n.listeners.Conf(kind, name)
}

func (n *Node) listenerView(id string) Map {
	v := n.listenerConf(id)
	state, running := n.listenerState(id)
	v["id"], v["type"] = id, strings.SplitN(id, ":", 2)[0]
	v["running"], v["current_connections"] = running, state["current_connections"]
	return v
}

func (n *Node) listListeners(r *Req) Res {
	out := []any{}
	for _, id := range n.listeners.IDs() {
		kind, name, _ := strings.Cut(id, ":")
		conf := n.listeners.Conf(kind, name)
		state, _ := n.listenerState(id)
		if conf == nil || !like(r.URL.Query(), "type", kind) {
			continue
		}
		out = append(out, Map{"id": id, "name": name, "type": kind, "bind": conf["bind"], "enable": asBool(conf["enable"], true),
			"acceptors": conf["acceptors"], "number": 1, "status": state,
			"node_status": []any{Map{"node": n.cfg.NodeName(), "status": state}}})
	}
	return ok(out)
}

func (n *Node) listenersStatus(*Req) Res {
	out := []any{}
	byType := map[string][]string{}
	for _, id := range n.listeners.IDs() {
		kind, _, _ := strings.Cut(id, ":")
		byType[kind] = append(byType[kind], id)
	}
	for _, kind := range sortedKeys(byType) {
		ids, enable := []any{}, false
		sum := Map{"current_connections": int64(0), "max_connections": any("infinity"), "running": true}
		for _, id := range byType[kind] {
			ids = append(ids, id)
			enable = enable || asBool(n.listenerConf(id)["enable"], true)
			state, running := n.listenerState(id)
			sum["current_connections"] = sum["current_connections"].(int64) + state["current_connections"].(int64)
			if !running {
				sum["running"] = false
			}
			sum["max_connections"] = state["max_connections"]
		}
		out = append(out, Map{"type": kind, "ids": ids, "enable": enable, "status": sum,
			"node_status": []any{Map{"node": n.cfg.NodeName(), "status": sum}}})
	}
	return ok(out)
}

// startFailed words what EMQX says of a listener that does not start.
func (n *Node) startFailed(err error) Res {
	var inUse *errInUse
	var pem *errPEM
	switch {
	case errors.As(err, &inUse):
		return badRequest(fmt.Sprintf(n.ver.PortInUse, inUse.where))
	case errors.As(err, &pem):
		return badRequest(fmt.Sprintf(n.ver.BadPEM, pem.path, pem.option))
	}
	return badRequest("{failed_to_start," + string(mustJSON(err.Error())) + "}")
}

func (n *Node) createListener(r *Req) Res {
	v, err := n.body(r, "/listeners", "post")
	if err != nil {
		return badRequest(err.Error())
	}
	conf := asMap(v)
	kind, name := asStr(conf["type"]), asStr(conf["name"])
	if n.listeners.Conf(kind, name) != nil {
		return fail(400, "BAD_LISTENER_ID", "Already Exist")
	}
	for _, k := range []string{"type", "name", "id"} {
		delete(conf, k)
	}
	if err := n.cfg.Set(conf, "listeners", kind, name); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	if err := n.listeners.Apply(kind, name); err != nil { // nothing remains of it
		_ = n.cfg.Set(nil, "listeners", kind, name)
		_ = n.listeners.Apply(kind, name)
		return n.startFailed(err)
	}
	return ok(n.listenerView(kind + ":" + name))
}

func (n *Node) getListener(r *Req) Res {
	if n.listenerConf(r.path[0]) == nil {
		return listenerMissing()
	}
	return ok(n.listenerView(r.path[0]))
}

func (n *Node) updateListener(r *Req) Res {
	v, err := n.body(r, "/listeners/{id}", "put")
	if err != nil {
		return badRequest(err.Error())
	}
	conf := asMap(v)
	id := r.path[0]
	if n.listenerConf(id) == nil {
		return listenerMissing()
	}
	kind, name, _ := strings.Cut(id, ":")
	if conf["id"] != id || conf["type"] != kind {
		return fail(400, "BAD_LISTENER_ID", "Id or type mismatch")
	}
	for _, k := range []string{"type", "id", "running", "current_connections"} {
		delete(conf, k)
	}
	old := n.cfg.GetPath("listeners", kind, name)
	merged := asMap(clone(old))
	mergeInto(merged, conf)
	if err := n.cfg.Set(merged, "listeners", kind, name); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	if err := n.listeners.Apply(kind, name); err != nil {
		_ = n.cfg.Set(old, "listeners", kind, name)
		_ = n.listeners.Apply(kind, name)
		return n.startFailed(err)
	}
	return ok(n.listenerView(id))
}

func (n *Node) deleteListener(r *Req) Res {
	id := r.path[0]
	if n.listenerConf(id) == nil {
		return listenerMissing()
	}
	kind, name, _ := strings.Cut(id, ":")
	if err := n.cfg.Set(nil, "listeners", kind, name); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	n.listeners.Stop(id, true)
	if name != "default" { // a default listener is back at the next start
		if err := n.listeners.Apply(kind, name); err != nil {
			return n.startFailed(err)
		}
	}
	return status(204)
}

func (n *Node) operateListener(op string) apiHandler {
	return func(r *Req) Res {
		id := r.path[0]
		if n.listenerConf(id) == nil {
			return listenerMissing()
		}
		if op != "start" {
			n.listeners.Stop(id, op == "restart")
		}
		if op != "stop" {
			if err := n.listeners.Start(id); err != nil {
				return n.startFailed(err)
			}
		}
		return status(200)
	}
}
