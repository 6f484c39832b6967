package main

// Durable sessions (durable_sessions.enable): sessions that outlive their connection, their subscriptions and the messages that wait
// for them are on disk before the publisher gets its acknowledgement, and are there again after the node's end, however it ended.
//
// One journal with a line an event; what is still good of it is written anew at every start. EMQX keeps messages for
// durable_sessions.message_retention_period whether they were acknowledged or not; here they go with their acknowledgement. EMQX 5.8
// writes them in groups a moment later: what it loses of a crash within that moment, this stand-in does not.

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// event is a line of the journal. Kinds: open, away, end (a session); sub, unsub; msg, ack (of one session).
type event struct {
	Kind    string        `json:"k"`
	Session string        `json:"s"`
	Expiry  time.Duration `json:"x,omitempty"`
	At      time.Time     `json:"t"`
	Client  *ClientInfo   `json:"c,omitempty"`
	Sub     *Sub          `json:"u,omitempty"`
	Key     uint64        `json:"n,omitempty"`
	Qos     byte          `json:"q,omitempty"`
	Filter  string        `json:"f,omitempty"`
	Group   string        `json:"g,omitempty"`
	Message *kept         `json:"m,omitempty"`
}

// kept is a message without what only a live one needs.
type kept struct {
	ID, Topic, From, FromUser string
	Payload                   []byte
	Qos                       byte
	Retain                    bool
	At, Expires               time.Time
}

// Journal is the file. A nil one keeps nothing.
type Journal struct {
	mu   sync.Mutex
	file *os.File
	next uint64
}

func (j *Journal) write(e event) {
	if j == nil {
		return
	}
	e.At = time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(append(mustJSON(e), '\n')); err != nil {
		logf("error", "msg: durable_session_not_written, reason: %v", err)
	}
}

// key numbers a delivery; 0 for a session that is not durable.
func (j *Journal) key() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next++
	return j.next
}

// durable says whether what happens to the session is written. s.mu is held.
func (s *Session) durable() bool { return s.b.journal != nil && s.expiry != 0 }

// keep writes a delivery before it is acknowledged to its publisher. s.mu is held.
func (s *Session) keep(d *delivery) {
	if !s.durable() || d.qos == 0 {
		return
	}
	d.key = s.b.journal.key()
	m := d.msg
	s.b.journal.write(event{Kind: "msg", Session: s.ClientID, Key: d.key, Qos: d.qos, Filter: d.filter, Group: d.group,
		Message: &kept{m.ID, m.Topic, m.From, m.FromUser, m.Payload, m.Qos, m.Retain, m.At, m.Expires}})
}

// forget says that a delivery has arrived, or was dropped. s.mu is held.
func (s *Session) forget(d delivery) {
	if d.key != 0 {
		s.b.journal.write(event{Kind: "ack", Session: s.ClientID, Key: d.key})
	}
}

// openJournal brings back the sessions of the last run and begins a new journal with them.
func (b *Broker) openJournal(dir string) error {
	if !b.cfg.Bool("durable_sessions.enable", false) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	path := filepath.Join(dir, "sessions.journal")
	states, order, err := replay(path)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	b.journal = &Journal{file: file}
	now := time.Now()
	for _, id := range order {
		st := states[id]
		if st == nil || b.sessions[id] != nil || st.Expiry > 0 && now.After(st.At.Add(st.Expiry)) {
			continue
		}
		s := newSession(b, id, b.limits())
		s.client, s.expiry, s.DisconnectedAt = st.Client, st.Expiry, st.At
		b.sessions[id] = s
		b.journal.write(event{Kind: "open", Session: id, Expiry: st.Expiry, Client: st.Client})
		for _, sub := range st.subs {
			b.Subscribe(s, sub)
		}
		s.mu.Lock()
		for _, e := range st.waiting {
			if e == nil {
				continue
			}
			m := e.Message
			d := delivery{qos: e.Qos, filter: e.Filter, group: e.Group, msg: &Message{ID: m.ID, Topic: m.Topic, Payload: m.Payload, Qos: m.Qos,
				Retain: m.Retain, From: m.From, FromUser: m.FromUser, At: m.At, Expires: m.Expires, Props: packets.Properties{}}}
			s.keep(&d)
			s.mqueue.push(d)
		}
		s.mu.Unlock()
		b.journal.write(event{Kind: "away", Session: id})
		if st.Expiry > 0 {
			s.expiryT = time.AfterFunc(time.Until(st.At.Add(st.Expiry)), func() { b.expire(s) })
		}
	}
	return os.Rename(path+".new", path)
}

type restored struct {
	Expiry  time.Duration
	At      time.Time
	Client  *ClientInfo
	subs    map[string]*Sub
	waiting []*event
	index   map[uint64]int
}

// replay reads a journal; its last line may be torn.
func replay(path string) (map[string]*restored, []string, error) {
	states, order := map[string]*restored{}, []string{}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return states, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<20), 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			break
		}
		st := states[e.Session]
		if st == nil {
			if e.Kind != "open" {
				continue
			}
			st = &restored{subs: map[string]*Sub{}, index: map[uint64]int{}}
			states[e.Session] = st
			order = append(order, e.Session)
		}
		st.At = e.At
		switch e.Kind {
		case "open":
			st.Expiry, st.Client = e.Expiry, e.Client
		case "end":
			delete(states, e.Session)
		case "sub":
			st.subs[e.Sub.Filter] = e.Sub
		case "unsub":
			delete(st.subs, e.Filter)
		case "msg":
			st.index[e.Key] = len(st.waiting)
			st.waiting = append(st.waiting, &e)
		case "ack":
			if i, known := st.index[e.Key]; known {
				st.waiting[i] = nil
			}
		}
	}
	return states, order, lines.Err()
}
