package main

// acl.conf: Erlang terms, one rule each, and the rules that they and the other sources make.

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

const (
	actPublish   = "publish"
	actSubscribe = "subscribe"
)

// Rule is one permission.
type Rule struct {
	Allow  bool
	Action string // publish, subscribe, all
	Qos    []int  // nil: any
	Retain string // "true", "false", "all"
	Who    func(*ClientInfo) bool
	Topics []string // empty: all; "eq " in front: literally
}

// matches says whether the rule speaks about this attempt.
func (r *Rule) matches(c *ClientInfo, action, topic string, qos byte, retain bool) bool {
	if r.Action != "all" && r.Action != action {
		return false
	}
	if r.Qos != nil {
		found := false
		for _, q := range r.Qos {
			found = found || q == int(qos)
		}
		if !found {
			return false
		}
	}
	if action == actPublish && r.Retain != "all" && r.Retain != "" && r.Retain != strconv.FormatBool(retain) {
		return false
	}
	if r.Who != nil && !r.Who(c) {
		return false
	}
	if len(r.Topics) == 0 {
		return true
	}
	for _, t := range r.Topics {
		if topicRuleMatches(t, c, topic) {
			return true
		}
	}
	return false
}

// topicRuleMatches: a rule's topic may hold placeholders; one that has no value matches nothing.
func topicRuleMatches(pattern string, c *ClientInfo, topic string) bool {
	if literal, ok := strings.CutPrefix(pattern, "eq "); ok {
		return literal == topic
	}
	filter, ok := renderTopic(pattern, c)
	return ok && topicMatches(topic, filter)
}

var placeholder = regexp.MustCompile(`\$\{([A-Za-z0-9_.$]+)\}`)

func renderTopic(pattern string, c *ClientInfo) (string, bool) {
	if strings.Contains(pattern, "%") { // the older form
		pattern = strings.NewReplacer("%u", "${username}", "%c", "${clientid}").Replace(pattern)
	}
	ok := true
	out := placeholder.ReplaceAllStringFunc(pattern, func(ph string) string {
		name := ph[2 : len(ph)-1]
		if name == "$" {
			return "$"
		}
		v, known := clientVar(c, name)
		if !known {
			return ph
		}
		if v == "" {
			ok = false
		}
		return v
	})
	return out, ok
}

// clientVar is the value behind a placeholder's name, "" for undefined; false: no such name.
func clientVar(c *ClientInfo, name string) (string, bool) {
	switch name {
	case "username":
		return c.Username, true
	case "clientid":
		return c.ClientID, true
	case "password":
		return string(c.Password), true
	case "peerhost":
		return c.PeerHost, true
	case "cert_common_name":
		return c.CN, true
	case "cert_subject":
		return c.DN, true
	case "cert_pem":
		return c.PEM, true
	case "zone":
		return c.Zone, true
	case "listener":
		return c.Listener, true
	case "proto_name":
		return c.ProtoName, true
	}
	return "", false
}

// --- Erlang terms -----------------------------------------------------------------------------------

type erlTuple []any
type erlAtom string

type erlParser struct {
	src string
	pos int
}

type erlError struct {
	line int
	near string // "": at the end
}

// Error is worded as Erlang's parser words it, since EMQX passes that on.
func (e *erlError) Error() string {
	near := "[]"
	if e.near != "" {
		near = strconv.Quote(e.near)
	}
	return fmt.Sprintf("{bad_acl_file_content,{%d,erl_parse,[\"syntax error before: \",%s]}}", e.line, near)
}

func (p *erlParser) skip() {
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '%':
			for p.pos < len(p.src) && p.src[p.pos] != '\n' {
				p.pos++
			}
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			p.pos++
		default:
			return
		}
	}
}

func (p *erlParser) fail() error {
	e := &erlError{line: 1 + strings.Count(p.src[:min(p.pos, len(p.src))], "\n")}
	if p.pos < len(p.src) {
		e.near = p.src[p.pos : p.pos+1]
	}
	return e
}

func (p *erlParser) expect(c byte) error {
	p.skip()
	if p.pos >= len(p.src) || p.src[p.pos] != c {
		return p.fail()
	}
	p.pos++
	return nil
}

func (p *erlParser) list(end byte) ([]any, error) {
	list := []any{}
	p.skip()
	if p.pos < len(p.src) && p.src[p.pos] == end {
		p.pos++
		return list, nil
	}
	for {
		v, err := p.term()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		p.skip()
		if p.pos < len(p.src) && p.src[p.pos] == ',' {
			p.pos++
			continue
		}
		return list, p.expect(end)
	}
}

func (p *erlParser) term() (any, error) {
	p.skip()
	if p.pos >= len(p.src) {
		return nil, p.fail()
	}
	switch c := p.src[p.pos]; {
	case c == '{':
		p.pos++
		l, err := p.list('}')
		return erlTuple(l), err
	case c == '[':
		p.pos++
		l, err := p.list(']')
		return l, err
	case strings.HasPrefix(p.src[p.pos:], "<<\""):
		p.pos += 2
		s, err := p.quoted('"')
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(p.src[p.pos:], ">>") {
			return nil, p.fail()
		}
		p.pos += 2
		return s, nil
	case c == '"':
		return p.quoted('"')
	case c == '\'':
		s, err := p.quoted('\'')
		return erlAtom(s), err
	case c >= '0' && c <= '9' || c == '-':
		start := p.pos
		for p.pos++; p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9'; p.pos++ {
		}
		n, err := strconv.ParseInt(p.src[start:p.pos], 10, 64)
		if err != nil {
			return nil, p.fail()
		}
		return n, nil
	case c >= 'a' && c <= 'z':
		start := p.pos
		for p.pos < len(p.src) && (isKeyChar(p.src[p.pos]) && p.src[p.pos] != '-' || p.src[p.pos] == '@') {
			p.pos++
		}
		return erlAtom(p.src[start:p.pos]), nil
	}
	return nil, p.fail()
}

func (p *erlParser) quoted(q byte) (string, error) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.src); p.pos++ {
		switch c := p.src[p.pos]; c {
		case q:
			p.pos++
			return b.String(), nil
		case '\\':
			p.pos++
			if p.pos < len(p.src) {
				b.WriteByte(p.src[p.pos])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail()
}

// ParseACL reads a whole file.
func ParseACL(text string) ([]*Rule, error) {
	p := &erlParser{src: text}
	var rules []*Rule
	for {
		p.skip()
		if p.pos >= len(p.src) {
			return rules, nil
		}
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		if err := p.expect('.'); err != nil {
			return nil, err
		}
		r, err := ruleOf(t)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
}

func ruleOf(t any) (*Rule, error) {
	bad := fmt.Errorf("{bad_acl_file_content,invalid_authorization_rule}")
	tup, ok := t.(erlTuple)
	if !ok || len(tup) < 2 || len(tup) > 4 {
		return nil, bad
	}
	r := &Rule{Action: "all", Retain: "all"}
	switch tup[0] {
	case erlAtom("allow"):
		r.Allow = true
	case erlAtom("deny"):
	default:
		return nil, bad
	}
	var err error
	if r.Who, err = whoOf(tup[1]); err != nil {
		return nil, err
	}
	if len(tup) > 2 {
		if err := r.action(tup[2]); err != nil {
			return nil, err
		}
	}
	if len(tup) > 3 {
		topics, ok := tup[3].([]any)
		if !ok && tup[3] != erlAtom("all") {
			topics = []any{tup[3]}
		}
		for _, t := range topics {
			switch v := t.(type) {
			case string:
				r.Topics = append(r.Topics, v)
			case erlTuple:
				if len(v) != 2 || v[0] != erlAtom("eq") {
					return nil, bad
				}
				r.Topics = append(r.Topics, "eq "+asStr(v[1]))
			default:
				return nil, bad
			}
		}
	}
	return r, nil
}

func (r *Rule) action(t any) error {
	if tup, ok := t.(erlTuple); ok && len(tup) == 2 {
		for _, o := range asList(tup[1]) {
			opt, ok := o.(erlTuple)
			if !ok || len(opt) != 2 {
				return fmt.Errorf("{bad_acl_file_content,invalid_authorization_action}")
			}
			switch opt[0] {
			case erlAtom("qos"):
				if n, ok := opt[1].(int64); ok {
					r.Qos = []int{int(n)}
				} else {
					for _, q := range asList(opt[1]) {
						r.Qos = append(r.Qos, asInt(q, -1))
					}
				}
			case erlAtom("retain"):
				r.Retain = string(opt[1].(erlAtom))
			}
		}
		t = tup[0]
	}
	switch t {
	case erlAtom("publish"), erlAtom("subscribe"), erlAtom("all"):
		r.Action = string(t.(erlAtom))
	case erlAtom("pubsub"):
		r.Action = "all"
	default:
		return fmt.Errorf("{bad_acl_file_content,invalid_authorization_action}")
	}
	return nil
}

func whoOf(t any) (func(*ClientInfo) bool, error) {
	bad := fmt.Errorf("{bad_acl_file_content,invalid_client_match_condition}")
	if t == erlAtom("all") {
		return nil, nil
	}
	tup, ok := t.(erlTuple)
	if !ok || len(tup) != 2 {
		return nil, bad
	}
	field := func(get func(*ClientInfo) string) (func(*ClientInfo) bool, error) {
		switch v := tup[1].(type) {
		case string:
			return func(c *ClientInfo) bool { return get(c) == v }, nil
		case erlAtom:
			if v == "all" {
				return nil, nil
			}
		case erlTuple:
			if len(v) == 2 && v[0] == erlAtom("re") {
				re, err := regexp.Compile(asStr(v[1]))
				if err != nil {
					return nil, bad
				}
				return func(c *ClientInfo) bool { return get(c) != "" && re.MatchString(get(c)) }, nil
			}
		}
		return nil, bad
	}
	switch tup[0] {
	case erlAtom("username"), erlAtom("user"):
		return field(func(c *ClientInfo) string { return c.Username })
	case erlAtom("clientid"), erlAtom("client"):
		return field(func(c *ClientInfo) string { return c.ClientID })
	case erlAtom("ipaddr"), erlAtom("ipaddrs"):
		addrs, isList := tup[1].([]any)
		if !isList {
			addrs = []any{tup[1]}
		}
		var nets []*net.IPNet
		for _, a := range addrs {
			n, err := parseNet(asStr(a))
			if err != nil {
				return nil, bad
			}
			nets = append(nets, n)
		}
		return func(c *ClientInfo) bool {
			ip := net.ParseIP(c.PeerHost)
			for _, n := range nets {
				if ip != nil && n.Contains(ip) {
					return true
				}
			}
			return false
		}, nil
	case erlAtom("and"), erlAtom("or"):
		var parts []func(*ClientInfo) bool
		for _, e := range asList(tup[1]) {
			f, err := whoOf(e)
			if err != nil {
				return nil, err
			}
			parts = append(parts, f)
		}
		all := tup[0] == erlAtom("and")
		return func(c *ClientInfo) bool {
			for _, f := range parts {
				if (f == nil || f(c)) != all {
					return !all
				}
			}
			return all
		}, nil
	}
	return nil, bad
}

func parseNet(s string) (*net.IPNet, error) {
	if !strings.Contains(s, "/") {
		if strings.Contains(s, ":") {
			s += "/128"
		} else {
			s += "/32"
		}
	}
	_, n, err := net.ParseCIDR(s)
	return n, err
}
