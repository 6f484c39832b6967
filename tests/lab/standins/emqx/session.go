package main

// A session with EMQX's three limits: the inflight window (mqtt.max_inflight), the queue behind it
// (mqtt.max_mqueue_len, the oldest is dropped) and the mailbox in front of it
// (force_shutdown.max_mailbox_size, the session is killed). A publisher puts a message into the
// mailbox; the connection's writer moves it to the window or the queue. While the writer waits for a
// slow socket, the mailbox grows, as an Erlang process's does.

import (
	"bytes"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Message is what was published. It is shared by all who receive it and never changed.
type Message struct {
	ID       string
	Topic    string
	Payload  []byte
	Qos      byte
	Retain   bool
	From     string // client id
	FromUser string
	At       time.Time
	Expires  time.Time // zero: never
	Props    packets.Properties
}

// delivery is a message on its way to one session.
type delivery struct {
	msg    *Message
	qos    byte
	retain bool
	subID  int
	// the subscription by which it came
	filter, group string
	key           uint64 // in the journal, 0: not there
}

type inflight struct {
	delivery
	id       uint16
	released bool // QoS 2: PUBREC has come, PUBREL was sent
	prev     *inflight
	next     *inflight
}

// queue is a ring that grows, with EMQX's rule for a full queue.
type queue struct {
	items []delivery
	head  int
	n     int
	heap  int // what the queued messages would take of an Erlang process's heap
}

func (q *queue) push(d delivery) {
	if q.n == len(q.items) {
		grown := make([]delivery, max(16, 2*len(q.items)))
		for i := 0; i < q.n; i++ {
			grown[i] = q.items[(q.head+i)%len(q.items)]
		}
		q.items, q.head = grown, 0
	}
	q.items[(q.head+q.n)%len(q.items)] = d
	q.n++
	q.heap += heapOf(d.msg)
}

func (q *queue) pop() delivery {
	d := q.items[q.head]
	q.items[q.head] = delivery{}
	q.head = (q.head + 1) % len(q.items)
	q.n--
	q.heap -= heapOf(d.msg)
	return d
}

// heapOf estimates a queued message's share of a process's heap: the record, its headers, and the
// payload only when it is small (larger ones live outside the heap). It is an estimate, good enough
// for max_heap_size to bite in the right order of magnitude.
func heapOf(m *Message) int {
	n := 700 + len(m.Topic)
	if len(m.Payload) <= 64 {
		n += len(m.Payload)
	}
	return n
}

// Counters of one session, named as GET /clients names them.
type Counters struct {
	RecvPkt, RecvMsg, RecvOct, RecvCnt                        int64
	SendPkt, SendMsg, SendOct, SendCnt                        int64
	RecvQos, SendQos                                          [3]int64
	Dropped, DroppedFull, DroppedExpired, DroppedLarge        int64
	RecvDropped, MqueueDropped, DroppedQos0, AwaitRelTimeouts int64
}

// Limits are the settings that a session was made with.
type Limits struct {
	Inflight    int
	Queue       int // -1: infinity, 0: EMQX takes it as infinity, too
	Mailbox     int // 0: off
	Heap        int // 0: off
	AwaitingRel int
	StoreQos0   bool
}

// Session outlives its connections when it may.
type Session struct {
	ClientID string
	b        *Broker

	mu        sync.Mutex
	client    *ClientInfo
	conn      *Conn // nil: offline
	dead      bool
	subs      map[string]*Sub
	byFilter  map[string][]*Sub // filter without the share group -> subscriptions
	mailbox   []delivery
	mqueue    queue
	window    map[uint16]*inflight
	oldest    *inflight
	newest    *inflight
	nextID    uint16
	awaiting  map[uint16]time.Time
	out       bytes.Buffer // encoded answers that wait for the writer
	limits    Limits
	winSize   int
	expiry    time.Duration // -1: never
	expiryT   *time.Timer
	will      *Message
	willDelay time.Duration
	willT     *time.Timer
	n         Counters

	CreatedAt, ConnectedAt, DisconnectedAt time.Time
}

func newSession(b *Broker, id string, limits Limits) *Session {
	return &Session{b: b, ClientID: id, subs: map[string]*Sub{}, byFilter: map[string][]*Sub{},
		window: map[uint16]*inflight{}, awaiting: map[uint16]time.Time{}, limits: limits,
		CreatedAt: time.Now()}
}

// deliver hands a message to the session; it is called by publishers. The answer is false when the
// session's subscription does not want it (no local) or the session is gone.
func (s *Session) deliver(msg *Message, filter, group string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return false
	}
	var sub *Sub
	for _, e := range s.byFilter[filter] {
		if e.group == group {
			sub = e
		}
	}
	if sub == nil {
		return false
	}
	if sub.NL && msg.From == s.ClientID {
		s.b.m.Add("delivery.dropped", 1)
		s.b.m.Add("delivery.dropped.no_local", 1)
		return false
	}
	d := delivery{msg: msg, qos: min(msg.Qos, sub.Qos), retain: msg.Retain && sub.RAP, subID: sub.ID, filter: filter, group: group}
	s.keep(&d)
	s.accept(d)
	return true
}

// accept puts a delivery where it belongs. s.mu is held.
func (s *Session) accept(d delivery) {
	if s.conn == nil {
		s.enqueue(d)
		return
	}
	s.mailbox = append(s.mailbox, d)
	if s.limits.Mailbox > 0 && len(s.mailbox) > s.limits.Mailbox {
		s.overrun("mailbox_overflow", len(s.mailbox), s.limits.Mailbox)
		return
	}
	s.conn.wake()
}

// overrun kills the session, as EMQX kills the process of a subscriber that does not keep up.
func (s *Session) overrun(reason string, value, limit int) {
	if s.dead {
		return
	}
	s.dead = true
	logf("warning", "clientid: %s, msg: terminating_session_because_%s, value: %d, limit: %d", s.ClientID, reason, value, limit)
	go s.b.terminate(s, killed)
}

// enqueue puts a message behind the inflight window. s.mu is held.
func (s *Session) enqueue(d delivery) {
	if d.qos == 0 && !s.limits.StoreQos0 {
		s.n.Dropped++
		s.n.DroppedQos0++
		s.b.m.Add("delivery.dropped", 1)
		s.b.m.Add("delivery.dropped.qos0_msg", 1)
		return
	}
	// a durable session's messages wait on disk, without this limit
	if s.limits.Queue > 0 && s.mqueue.n >= s.limits.Queue && !s.durable() {
		s.mqueue.pop()
		s.n.Dropped++
		s.n.DroppedFull++
		s.n.MqueueDropped++
		s.b.m.Add("delivery.dropped", 1)
		s.b.m.Add("delivery.dropped.queue_full", 1)
	}
	s.mqueue.push(d)
	if s.limits.Heap > 0 && s.mqueue.heap > s.limits.Heap && !s.durable() {
		s.overrun("heap_too_large", s.mqueue.heap, s.limits.Heap)
	}
}

func (s *Session) expired(m *Message) bool {
	if m.Expires.IsZero() || time.Now().Before(m.Expires) {
		return false
	}
	s.n.Dropped++
	s.n.DroppedExpired++
	s.b.m.Add("delivery.dropped", 1)
	s.b.m.Add("delivery.dropped.expired", 1)
	return true
}

// drain moves the mailbox into the window and the queue, and writes what may go out. s.mu is held.
func (s *Session) drain() {
	batch := s.mailbox
	s.mailbox = nil
	for _, d := range batch {
		switch {
		case s.expired(d.msg):
			s.forget(d)
		case d.qos == 0:
			s.send(d, 0, false)
		case len(s.window) < s.winSize && s.mqueue.n == 0:
			s.launch(d)
		default:
			s.enqueue(d)
		}
	}
	s.refill()
}

// refill fills the window from the queue. s.mu is held.
func (s *Session) refill() {
	for s.conn != nil && s.mqueue.n > 0 {
		next := s.mqueue.items[s.mqueue.head]
		if next.qos > 0 && len(s.window) >= s.winSize {
			return
		}
		d := s.mqueue.pop()
		if s.expired(d.msg) {
			s.forget(d)
			continue
		}
		if d.qos == 0 {
			s.send(d, 0, false)
		} else {
			s.launch(d)
		}
	}
}

func (s *Session) launch(d delivery) {
	for {
		s.nextID++
		if s.nextID == 0 {
			s.nextID = 1
		}
		if s.window[s.nextID] == nil {
			break
		}
	}
	f := &inflight{delivery: d, id: s.nextID, prev: s.newest}
	if s.newest != nil {
		s.newest.next = f
	} else {
		s.oldest = f
	}
	s.newest = f
	s.window[f.id] = f
	s.send(d, f.id, false)
}

func (s *Session) land(f *inflight) {
	s.forget(f.delivery)
	delete(s.window, f.id)
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		s.oldest = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	} else {
		s.newest = f.prev
	}
}

// resume sends again what was under way when the connection ended, in order. s.mu is held.
func (s *Session) resume() {
	for f := s.oldest; f != nil; f = f.next {
		if f.released {
			s.conn.answer(packets.Pubrel, f.id, 0)
		} else {
			s.send(f.delivery, f.id, true)
		}
	}
	s.refill()
}

// send encodes a PUBLISH into the output. s.mu is held and s.conn is not nil.
func (s *Session) send(d delivery, id uint16, dup bool) {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: d.qos, Retain: d.retain, Dup: dup},
		TopicName:   d.msg.Topic, Payload: d.msg.Payload, PacketID: id,
	}
	if s.conn.version == 5 {
		pk.Properties = d.msg.Props
		if d.subID > 0 {
			pk.Properties.SubscriptionIdentifier = []int{d.subID}
		}
		if !d.msg.Expires.IsZero() {
			pk.Properties.MessageExpiryInterval = uint32(max(1, time.Until(d.msg.Expires).Seconds()))
		}
	}
	before := s.out.Len()
	s.conn.encode(&pk)
	if limit := s.conn.maxPacket; limit > 0 && s.out.Len()-before > int(limit) {
		s.out.Truncate(before) // the client said that it cannot take this much
		s.n.Dropped++
		s.n.DroppedLarge++
		s.b.m.Add("delivery.dropped", 1)
		s.b.m.Add("delivery.dropped.too_large", 1)
		if f := s.window[id]; f != nil && id > 0 {
			s.land(f)
		}
		return
	}
	s.n.SendMsg++
	s.n.SendQos[d.qos]++
	s.b.m.Sent(d.qos)
}

// acked handles PUBACK and PUBCOMP. s.mu is held.
func (s *Session) acked(id uint16, qos byte) bool {
	f := s.window[id]
	if f == nil || f.qos != qos {
		return false
	}
	s.land(f)
	s.b.m.Add("messages.acked", 1)
	s.refill()
	return true
}

// received handles PUBREC; false: unknown id. s.mu is held.
func (s *Session) received(id uint16) bool {
	f := s.window[id]
	if f == nil || f.qos != 2 {
		return false
	}
	f.released = true
	return true
}
