package main

// The broker: who is connected, who subscribed to what, and how a message gets from one to the others.

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Broker is the node's MQTT side.
type Broker struct {
	cfg   *Config
	m     *Metrics
	auth  *Auth
	store *Store

	mu       sync.RWMutex
	sessions map[string]*Session
	routes   Routes
	retained map[string]*Message

	msgSeq  atomic.Uint64
	journal *Journal
}

func NewBroker(cfg *Config, m *Metrics, store *Store) *Broker {
	return &Broker{cfg: cfg, m: m, store: store, sessions: map[string]*Session{}, retained: map[string]*Message{}}
}

func (b *Broker) limits() Limits {
	l := Limits{
		Inflight:    b.cfg.Int("mqtt.max_inflight", 32),
		Queue:       b.cfg.Int("mqtt.max_mqueue_len", 1000),
		AwaitingRel: b.cfg.Int("mqtt.max_awaiting_rel", 100),
		StoreQos0:   b.cfg.Bool("mqtt.mqueue_store_qos0", true),
	}
	if b.cfg.Str("mqtt.max_mqueue_len", "") == "infinity" {
		l.Queue = -1
	}
	if b.cfg.Str("mqtt.max_awaiting_rel", "") == "infinity" {
		l.AwaitingRel = 0
	}
	if b.cfg.Bool("force_shutdown.enable", true) {
		l.Mailbox = b.cfg.Int("force_shutdown.max_mailbox_size", 1000)
		l.Heap = b.cfg.Bytes("force_shutdown.max_heap_size", 32<<20)
	}
	return l
}

func (b *Broker) newID() string {
	return fmt.Sprintf("%016X%016X", time.Now().UnixMicro(), b.msgSeq.Add(1))
}

// open gives a connection its session: a new one, or the one that was kept for its client id.
// Whoever held the client id before is thrown out.
func (b *Broker) open(c *Conn, clean bool, expiry time.Duration) (s *Session, present bool) {
	id := c.client.ClientID
	limits := b.limits()
	b.mu.Lock()
	old := b.sessions[id]
	if old != nil && !clean {
		old.mu.Lock()
		alive := !old.dead
		old.mu.Unlock()
		if alive {
			s, present = old, true
		}
	}
	if s == nil {
		s = newSession(b, id, limits)
		s.client = c.client
		b.sessions[id] = s
		if old != nil {
			b.unroute(old)
		}
	}
	b.mu.Unlock()

	if old != nil && old != s {
		b.m.Add("session.discarded", 1)
		b.close(old, takenOver)
	}
	s.mu.Lock()
	prev := s.conn
	if prev != nil {
		s.detach()
	}
	if s.expiryT != nil {
		s.expiryT.Stop()
		s.expiryT = nil
	}
	if s.willT != nil { // back in time: the delayed will is not sent
		s.willT.Stop()
		s.willT = nil
	}
	s.client, s.conn, s.limits, s.expiry = c.client, c, limits, expiry
	s.winSize = limits.Inflight
	if c.receiveMax > 0 {
		s.winSize = min(s.winSize, int(c.receiveMax))
	}
	s.will, s.willDelay = c.will, c.willDelay
	s.ConnectedAt = time.Now()
	s.out.Reset()
	c.session = s
	if s.durable() {
		b.journal.write(event{Kind: "open", Session: id, Expiry: expiry, Client: c.client})
	}
	s.mu.Unlock()
	if prev != nil {
		b.m.Add("session.takenover", 1)
		prev.shutdown(takenOver)
	}
	if present {
		b.m.Add("session.resumed", 1)
	} else {
		b.m.Add("session.created", 1)
	}
	return s, present
}

// detach takes the connection away from the session and keeps what had not gone out. s.mu is held.
func (s *Session) detach() {
	s.conn = nil
	s.out.Reset()
	s.DisconnectedAt = time.Now()
	batch := s.mailbox
	s.mailbox = nil
	for _, d := range batch {
		s.enqueue(d)
	}
}

// lost is called when a connection has ended.
func (b *Broker) lost(c *Conn, sendWill bool) {
	s := c.session
	if s == nil {
		return
	}
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return // taken over or terminated
	}
	s.detach()
	if s.durable() {
		b.journal.write(event{Kind: "away", Session: s.ClientID})
	}
	will, delay := s.will, s.willDelay
	s.will = nil
	expiry := s.expiry
	if !sendWill {
		will = nil
	}
	if expiry > 0 {
		s.expiryT = time.AfterFunc(expiry, func() { b.expire(s) })
	}
	if will != nil && delay > 0 && expiry != 0 {
		if expiry > 0 {
			delay = min(delay, expiry)
		}
		s.willT = time.AfterFunc(delay, func() { b.publishWill(c.client, will) })
		will = nil
	}
	s.mu.Unlock()
	if will != nil {
		b.publishWill(c.client, will)
	}
	if expiry == 0 {
		b.terminate(s, nil)
	}
}

func (b *Broker) publishWill(client *ClientInfo, will *Message) {
	if b.auth.Authorize(client, actPublish, will.Topic, will.Qos, will.Retain) {
		b.Publish(will)
	}
}

func (b *Broker) expire(s *Session) {
	s.mu.Lock()
	offline := s.conn == nil
	s.mu.Unlock()
	if offline {
		left := s.unacknowledged()
		b.terminate(s, nil)
		b.redispatch(left)
	}
}

// unacknowledged is what a session got by shared subscriptions and has not confirmed, oldest first.
func (s *Session) unacknowledged() []delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []delivery
	add := func(d delivery) {
		if d.group != "" && d.qos > 0 {
			left = append(left, d)
		}
	}
	for f := s.oldest; f != nil; f = f.next {
		add(f.delivery)
	}
	for i := 0; i < s.mqueue.n; i++ {
		add(s.mqueue.items[(s.mqueue.head+i)%len(s.mqueue.items)])
	}
	for _, d := range s.mailbox {
		add(d)
	}
	return left
}

// redispatch gives to others of the group what a session that has expired leaves. EMQX does not when the session was kicked, taken
// over or killed.
func (b *Broker) redispatch(left []delivery) {
	for _, d := range left {
		b.publishShared(d.msg, d.filter, d.group)
	}
}

// unroute removes a session's subscriptions. b.mu is held.
func (b *Broker) unroute(s *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		b.routes.Remove(s, sub)
	}
}

// terminate ends a session for good; cause is what its connection is told, nil for nothing.
func (b *Broker) terminate(s *Session, cause *ending) {
	b.mu.Lock()
	if b.sessions[s.ClientID] == s {
		delete(b.sessions, s.ClientID)
		b.unroute(s)
	}
	b.mu.Unlock()
	b.m.Add("session.terminated", 1)
	b.close(s, cause)
}

func (b *Broker) close(s *Session, cause *ending) {
	s.mu.Lock()
	conn, will, client := s.conn, s.will, s.client
	if s.durable() && cause != shuttingDown {
		b.journal.write(event{Kind: "end", Session: s.ClientID})
	}
	s.dead = true
	s.will = nil
	if s.willT != nil {
		s.willT.Stop()
	}
	if s.expiryT != nil {
		s.expiryT.Stop()
	}
	s.conn = nil
	s.mailbox, s.mqueue = nil, queue{}
	s.mu.Unlock()
	if conn != nil {
		conn.shutdown(cause)
		if will != nil {
			b.publishWill(client, will)
		}
	}
}

// Publish routes a message and says how many took it.
func (b *Broker) Publish(msg *Message) int {
	b.m.Add("messages.publish", 1)
	if msg.Retain {
		b.retain(msg)
	}
	var buf [8]route
	type target struct {
		s      *Session
		filter string
	}
	var few [16]target
	targets := few[:0]
	shared := false
	b.mu.RLock()
	for _, r := range b.routes.Match(msg.Topic, buf[:0]) {
		for _, s := range r.entry.subs {
			targets = append(targets, target{s, r.filter})
		}
		shared = shared || len(r.entry.shares) > 0
	}
	b.mu.RUnlock()
	n := 0
	for _, t := range targets {
		if t.s.deliver(msg, t.filter, "") {
			n++
		}
	}
	if shared {
		n += b.publishShared(msg, "", "")
	}
	if n == 0 {
		b.m.Add("messages.dropped", 1)
		b.m.Add("messages.dropped.no_subscribers", 1)
	} else {
		b.m.Add("messages.delivered", int64(n))
	}
	return n
}

// publishShared gives the message to one member of every group (or of the one that is named), in turn: also to one that is away and
// has a session, as EMQX does with its default, round_robin.
func (b *Broker) publishShared(msg *Message, filter, group string) int {
	type pick struct {
		members       []*Session
		filter, group string
	}
	var picks []pick
	var buf [8]route
	b.mu.Lock()
	for _, r := range b.routes.Match(msg.Topic, buf[:0]) {
		for name, g := range r.entry.shares {
			if group != "" && (name != group || r.filter != filter) {
				continue
			}
			order := make([]*Session, 0, len(g.members))
			for i := range g.members {
				order = append(order, g.members[(g.next+i)%len(g.members)])
			}
			g.next++
			picks = append(picks, pick{order, r.filter, name})
		}
	}
	b.mu.Unlock()
	n := 0
	for _, p := range picks {
		for _, s := range p.members {
			if s.deliver(msg, p.filter, p.group) {
				n++
				break
			}
		}
	}
	return n
}

// Subscribe adds or changes a subscription and sends the retained messages it asks for.
func (b *Broker) Subscribe(s *Session, sub *Sub) {
	sub.group, sub.real = splitShare(sub.Filter)
	b.mu.Lock()
	s.mu.Lock()
	_, existed := s.subs[sub.Filter]
	s.subs[sub.Filter] = sub
	list := s.byFilter[sub.real][:0:0]
	for _, e := range s.byFilter[sub.real] {
		if e.Filter != sub.Filter {
			list = append(list, e)
		}
	}
	s.byFilter[sub.real] = append(list, sub)
	if s.durable() {
		b.journal.write(event{Kind: "sub", Session: s.ClientID, Sub: sub})
	}
	s.mu.Unlock()
	b.routes.Add(s, sub)
	b.mu.Unlock()
	if sub.group != "" || sub.RH == 2 || sub.RH == 1 && existed {
		return
	}
	for _, msg := range b.Retained(sub.real) {
		s.mu.Lock()
		s.accept(delivery{msg: msg, qos: min(msg.Qos, sub.Qos), retain: true, subID: sub.ID})
		s.mu.Unlock()
	}
}

// Unsubscribe says whether there was such a subscription.
func (b *Broker) Unsubscribe(s *Session, filter string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subs[filter]
	if sub == nil {
		return false
	}
	delete(s.subs, filter)
	if s.durable() {
		b.journal.write(event{Kind: "unsub", Session: s.ClientID, Filter: filter})
	}
	var list []*Sub
	for _, e := range s.byFilter[sub.real] {
		if e != sub {
			list = append(list, e)
		}
	}
	if list == nil {
		delete(s.byFilter, sub.real)
	} else {
		s.byFilter[sub.real] = list
	}
	b.routes.Remove(s, sub)
	return true
}

// --- retained -------------------------------------------------------------------------------------

func (b *Broker) retain(msg *Message) {
	if !b.cfg.Bool("retainer.enable", true) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(msg.Payload) == 0 {
		delete(b.retained, msg.Topic)
	} else {
		b.retained[msg.Topic] = msg
	}
}

// Retained lists the retained messages under a filter, by topic.
func (b *Broker) Retained(filter string) []*Message {
	b.mu.RLock()
	var list []*Message
	for topic, msg := range b.retained {
		if topicMatches(topic, filter) && (msg.Expires.IsZero() || time.Now().Before(msg.Expires)) {
			list = append(list, msg)
		}
	}
	b.mu.RUnlock()
	sort.Slice(list, func(i, j int) bool { return list[i].Topic < list[j].Topic })
	return list
}

func (b *Broker) RetainedAt(topic string) *Message {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.retained[topic]
}

func (b *Broker) DropRetained(topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.retained[topic]
	delete(b.retained, topic)
	return ok
}

func (b *Broker) DropAllRetained() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retained = map[string]*Message{}
}

// retainSys keeps what the older version keeps about itself.
func (b *Broker) retainSys() {
	node := b.cfg.NodeName()
	for topic, text := range map[string]string{"$SYS/brokers": node,
		"$SYS/brokers/" + node + "/version":  b.cfg.ver.Number,
		"$SYS/brokers/" + node + "/sysdescr": "EMQX " + standIn} {
		b.retain(&Message{ID: b.newID(), Topic: topic, Payload: []byte(text), Retain: true, From: "emqx_sys", At: time.Now()})
	}
}

// --- looking ----------------------------------------------------------------------------------------

func (b *Broker) Session(id string) *Session {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.sessions[id]
}

// Sessions lists all, by client id.
func (b *Broker) Sessions() []*Session {
	b.mu.RLock()
	list := make([]*Session, 0, len(b.sessions))
	for _, s := range b.sessions {
		list = append(list, s)
	}
	b.mu.RUnlock()
	sort.Slice(list, func(i, j int) bool { return list[i].ClientID < list[j].ClientID })
	return list
}

// Subs lists a session's subscriptions, by filter.
func (s *Session) Subs() []Sub {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Sub, 0, len(s.subs))
	for _, sub := range s.subs {
		list = append(list, *sub)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Filter < list[j].Filter })
	return list
}

// Kick ends a client's session the way the API and the CLI do.
func (b *Broker) Kick(id string) bool {
	s := b.Session(id)
	if s == nil {
		return false
	}
	b.terminate(s, kicked)
	return true
}

// Topics lists the filters that have subscribers.
func (b *Broker) Topics() []string {
	seen := map[string]bool{}
	for _, s := range b.Sessions() {
		for _, sub := range s.Subs() {
			seen[sub.real] = true
		}
	}
	list := sortedKeys(seen)
	return list
}

func (b *Broker) counts() map[string]int64 {
	c := map[string]int64{}
	topics := map[string]bool{}
	for _, s := range b.Sessions() {
		s.mu.Lock()
		c["sessions"]++
		if s.conn != nil {
			c["connections"]++
		}
		c["subscriptions"] += int64(len(s.subs))
		if len(s.subs) > 0 {
			c["subscribers"]++
		}
		for _, sub := range s.subs {
			topics[sub.real] = true
			if strings.HasPrefix(sub.Filter, "$share/") || strings.HasPrefix(sub.Filter, "$queue/") {
				c["shared"]++
			}
		}
		s.mu.Unlock()
	}
	c["topics"] = int64(len(topics))
	b.mu.RLock()
	c["retained"] = int64(len(b.retained))
	b.mu.RUnlock()
	return c
}
