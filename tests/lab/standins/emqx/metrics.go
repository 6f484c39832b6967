package main

// The node's counters, under EMQX's names.

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Metrics holds the counters of GET /metrics and the high-water marks of GET /stats.
type Metrics struct {
	c       map[string]*atomic.Int64
	mu      sync.Mutex
	max     map[string]int64
	started time.Time
}

func NewMetrics(ver *Version) *Metrics {
	m := &Metrics{c: map[string]*atomic.Int64{}, max: map[string]int64{}, started: time.Now()}
	for _, name := range ver.Metrics {
		m.c[name] = &atomic.Int64{}
	}
	return m
}

// Add counts; a counter that this version does not have is not kept.
func (m *Metrics) Add(name string, n int64) {
	if c := m.c[name]; c != nil {
		c.Add(n)
	}
}

func (m *Metrics) Get(name string) int64 {
	if c := m.c[name]; c != nil {
		return c.Load()
	}
	return 0
}

var qosSent = [3]string{"messages.qos0.sent", "messages.qos1.sent", "messages.qos2.sent"}
var qosReceived = [3]string{"messages.qos0.received", "messages.qos1.received", "messages.qos2.received"}

func (m *Metrics) Sent(qos byte) {
	m.Add("messages.sent", 1)
	m.Add(qosSent[qos], 1)
}

func (m *Metrics) Received(qos byte) {
	m.Add("messages.received", 1)
	m.Add(qosReceived[qos], 1)
}

// Stats fills the table of GET /stats from the broker's counts.
func (m *Metrics) Stats(names []string, counts map[string]int64) Map {
	now := map[string]int64{
		"channels": counts["sessions"], "connections": counts["sessions"], "sessions": counts["sessions"],
		"cluster_sessions": counts["sessions"], "live_connections": counts["connections"],
		"retained": counts["retained"], "subscriptions": counts["subscriptions"], "suboptions": counts["subscriptions"],
		"subscribers": counts["subscribers"], "subscriptions.shared": counts["shared"], "topics": counts["topics"],
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := Map{}
	for _, name := range names {
		if base, ok := strings.CutSuffix(name, ".max"); ok {
			m.max[base] = max(m.max[base], now[base])
			out[name] = m.max[base]
		} else {
			out[name] = now[strings.TrimSuffix(name, ".count")]
		}
	}
	return out
}

// --- the machine ------------------------------------------------------------------------------------

func loadAverages() [3]float64 {
	var l [3]float64
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &l[0], &l[1], &l[2])
	}
	return l
}

// memory gives total and used bytes.
func memory() (total, used int64) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	var available int64
	for _, line := range strings.Split(string(text), "\n") {
		var n int64
		switch {
		case strings.HasPrefix(line, "MemTotal:"):
			_, _ = fmt.Sscanf(line, "MemTotal: %d", &n)
			total = n << 10
		case strings.HasPrefix(line, "MemAvailable:"):
			_, _ = fmt.Sscanf(line, "MemAvailable: %d", &n)
			available = n << 10
		}
	}
	return total, total - available
}

func human(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2fG", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.2fM", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2fK", float64(n)/(1<<10))
}
