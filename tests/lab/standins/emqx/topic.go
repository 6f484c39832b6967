package main

// Topics: validity, matching and the table of subscriptions.

import "strings"

// topicMatches says whether a topic name (or, for permissions, a filter taken literally) is covered
// by a filter. Names that begin with $ are not covered by a wildcard in the first place.
func topicMatches(name, filter string) bool {
	if strings.HasPrefix(name, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		f, restF, moreF := strings.Cut(filter, "/")
		if f == "#" && !moreF {
			return true
		}
		n, restN, moreN := strings.Cut(name, "/")
		if f != "+" && f != n {
			return false
		}
		if !moreN || !moreF {
			// "a/#" covers "a" as well
			return moreN == moreF || !moreN && restF == "#"
		}
		name, filter = restN, restF
	}
}

func validTopicName(topic string) bool {
	return topic != "" && len(topic) <= 4096 && !strings.ContainsAny(topic, "+#\x00")
}

func validTopicFilter(filter string) bool {
	if filter == "" || len(filter) > 4096 || strings.Contains(filter, "\x00") {
		return false
	}
	words := strings.Split(filter, "/")
	for i, w := range words {
		if strings.ContainsAny(w, "+#") && w != "+" && !(w == "#" && i == len(words)-1) {
			return false
		}
	}
	return true
}

// splitShare takes "$share/group/filter" and "$queue/filter" apart.
func splitShare(filter string) (group, real string) {
	if rest, ok := strings.CutPrefix(filter, "$queue/"); ok {
		return "$queue", rest
	}
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		group, real, _ = strings.Cut(rest, "/")
		return group, real
	}
	return "", filter
}

// Sub is one subscription of one session.
type Sub struct {
	Filter string // as the client named it, with the share group
	real   string
	group  string
	Qos    byte
	NL     bool
	RAP    bool
	RH     byte
	ID     int // subscription identifier, 0: none
}

type routeEntry struct {
	subs   map[string]*Session // client id -> session
	shares map[string]*shareGroup
}

type shareGroup struct {
	members []*Session
	next    int
}

type routeNode struct {
	children map[string]*routeNode
	entry    *routeEntry
}

// Routes is the tree of filters. The broker's lock guards it.
type Routes struct{ root routeNode }

func (r *Routes) Add(s *Session, sub *Sub) {
	n := &r.root
	for _, w := range strings.Split(sub.real, "/") {
		next := n.children[w]
		if next == nil {
			next = &routeNode{}
			if n.children == nil {
				n.children = map[string]*routeNode{}
			}
			n.children[w] = next
		}
		n = next
	}
	if n.entry == nil {
		n.entry = &routeEntry{subs: map[string]*Session{}, shares: map[string]*shareGroup{}}
	}
	if sub.group == "" {
		n.entry.subs[s.ClientID] = s
		return
	}
	g := n.entry.shares[sub.group]
	if g == nil {
		g = &shareGroup{}
		n.entry.shares[sub.group] = g
	}
	for _, m := range g.members {
		if m == s {
			return
		}
	}
	g.members = append(g.members, s)
}

func (r *Routes) Remove(s *Session, sub *Sub) {
	r.remove(&r.root, strings.Split(sub.real, "/"), s, sub)
}

func (r *Routes) remove(n *routeNode, words []string, s *Session, sub *Sub) {
	if len(words) > 0 {
		child := n.children[words[0]]
		if child == nil {
			return
		}
		r.remove(child, words[1:], s, sub)
		if child.entry == nil && len(child.children) == 0 {
			delete(n.children, words[0])
		}
		return
	}
	e := n.entry
	if e == nil {
		return
	}
	if sub.group == "" {
		if e.subs[s.ClientID] == s {
			delete(e.subs, s.ClientID)
		}
	} else if g := e.shares[sub.group]; g != nil {
		for i, m := range g.members {
			if m == s {
				g.members = append(g.members[:i:i], g.members[i+1:]...)
				break
			}
		}
		if len(g.members) == 0 {
			delete(e.shares, sub.group)
		}
	}
	if len(e.subs) == 0 && len(e.shares) == 0 {
		n.entry = nil
	}
}

// route is a matching filter with the sessions behind it.
type route struct {
	filter string
	entry  *routeEntry
}

// Match collects the filters that cover a topic.
func (r *Routes) Match(topic string, into []route) []route {
	return matchNode(&r.root, topic, "", strings.HasPrefix(topic, "$"), into)
}

func matchNode(n *routeNode, topic, prefix string, system bool, into []route) []route {
	if n.children == nil {
		return into
	}
	first := prefix == ""
	word, rest, more := strings.Cut(topic, "/")
	step := func(w string) {
		child := n.children[w]
		if child == nil {
			return
		}
		path := w
		if !first {
			path = prefix + "/" + w
		}
		if more {
			into = matchNode(child, rest, path, system, into)
			return
		}
		if child.entry != nil {
			into = append(into, route{path, child.entry})
		}
		if hash := child.children["#"]; hash != nil && hash.entry != nil {
			into = append(into, route{path + "/#", hash.entry})
		}
	}
	step(word)
	if !(first && system) {
		step("+")
		if hash := n.children["#"]; hash != nil && hash.entry != nil {
			path := "#"
			if !first {
				path = prefix + "/#"
			}
			into = append(into, route{path, hash.entry})
		}
	}
	return into
}
