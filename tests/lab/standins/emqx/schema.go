package main

// Request bodies and configuration are judged with the schemas of EMQX's own OpenAPI documents, one
// schema at a time (the documents as a whole are not fully valid). The findings are worded as EMQX's
// hocon library words them, because clients show these texts to people.

import (
	"embed"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed openapi-5.8.9.json openapi-5.3.0.json
var openapiFiles embed.FS

// Schemas is one OpenAPI document.
type Schemas struct {
	raw     []byte
	paths   Map
	byName  Map
	symbols map[string]bool // words that some enumeration knows
}

func LoadSchemas(version string) (*Schemas, error) {
	raw, err := openapiFiles.ReadFile("openapi-" + version + ".json")
	if err != nil {
		return nil, err
	}
	doc, err := decodeJSON(raw)
	if err != nil {
		return nil, err
	}
	root := asMap(doc)
	s := &Schemas{raw: raw, paths: asMap(root["paths"]), byName: asMap(asMap(root["components"])["schemas"]),
		// Erlang tells a word that exists as an atom from one that does not; these exist in the VM
		symbols: map[string]bool{"udp": true, "maybe": true, "admin": true, "none": true}}
	s.collectSymbols(root)
	return s, nil
}

func (s *Schemas) collectSymbols(v any) {
	switch t := v.(type) {
	case Map:
		for _, e := range asList(t["enum"]) {
			s.symbols[asStr(e)] = true
		}
		for _, e := range t {
			s.collectSymbols(e)
		}
	case []any:
		for _, e := range t {
			s.collectSymbols(e)
		}
	}
}

// Named finds a schema whose module was renamed between versions, e.g. emqx.mqtt and broker.mqtt.
func (s *Schemas) Named(names ...string) (Map, string) {
	for _, n := range names {
		if m, ok := s.byName[n].(Map); ok {
			return m, n
		}
	}
	return nil, ""
}

func (s *Schemas) deref(schema Map) (Map, string) {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		m, _ := s.byName[name].(Map)
		return m, name
	}
	return schema, ""
}

// Fault is one finding of a validation.
type Fault Map

func (f Fault) Error() string { return reverseJSON(f) }

// reverseJSON prints an object with its keys in reverse order, as EMQX's messages have them.
func reverseJSON(v any) string {
	switch t := v.(type) {
	case Fault:
		return reverseJSON(Map(t))
	case Map:
		keys := sortedKeys(t)
		slices.Reverse(keys)
		parts := make([]string, 0, len(keys))
		for _, k := range keys {
			parts = append(parts, string(mustJSON(k))+":"+reverseJSON(t[k]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	return string(mustJSON(v))
}

func fault(path, reason string, more Map) Fault {
	f := Fault{"kind": "validation_error", "path": path, "reason": reason}
	for k, v := range more {
		f[k] = v
	}
	return f
}

// checker walks one value; mention says the union member in its findings, as EMQX does.
type checker struct {
	s         *Schemas
	matched   string
	hidden    []string // fields of the server's that the documents do not show
	lenient   bool     // unknown fields pass (bodies that are described in place)
	noRequire bool     // configuration: required fields of requests do not apply
	bindDash  bool     // 5.3 words a bad bind differently
}

func (c *checker) fail(path, reason string, more Map) error {
	f := fault(path, reason, more)
	if c.matched != "" {
		f["matched_type"] = c.matched
	}
	return f
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (c *checker) check(schema Map, v any, path string) error {
	schema, _ = c.s.deref(schema)
	if schema == nil {
		return nil // a reference that the shortened document does not hold
	}
	if members := asList(schema["oneOf"]); members != nil {
		return c.union(schema, members, v, path)
	}
	if enum := asList(schema["enum"]); enum != nil {
		return c.enum(enum, v, path)
	}
	switch schema["type"] {
	case "object":
		m, ok := v.(Map)
		if !ok {
			return c.fail(path, "bad_value_for_struct", Map{"value": v})
		}
		return c.object(schema, m, path)
	case "array":
		list, ok := v.([]any)
		if !ok {
			if _, text := v.(string); text {
				return nil // hocon accepts a comma-separated text
			}
			return c.fail(path, "not_array", Map{"value": v})
		}
		items := asMap(schema["items"])
		for i, e := range list {
			if _, nested := e.([]any); nested && strings.HasSuffix(path, "index_specs") {
				continue // a list of lists, which the documents show as a list of numbers
			}
			if err := c.check(items, e, joinPath(path, strconv.Itoa(i+1))); err != nil {
				return err
			}
		}
	case "boolean":
		if _, ok := v.(bool); !ok && v != "true" && v != "false" {
			return c.fail(path, "expected_boolean", Map{"value": v})
		}
	case "integer", "number":
		return c.number(schema, v, path)
	case "string":
		switch v.(type) {
		case Map, []any, nil:
			return c.fail(path, "invalid_string", Map{"value": v})
		}
		if strings.HasSuffix(path, "bind") || path == "bind" {
			return c.bind(asStr(v), path)
		}
	}
	return nil
}

func (c *checker) number(schema Map, v any, path string) error {
	minimum, hasMin := schema["minimum"].(int64)
	want := "integer()"
	if hasMin {
		want = map[int64]string{0: "non_neg_integer()", 1: "pos_integer()"}[minimum]
		if maximum, ok := schema["maximum"].(int64); ok {
			want = fmt.Sprintf("%d..%d", minimum, maximum)
		} else if want == "" {
			want = "integer()"
		}
	}
	if schema["type"] == "number" {
		want = "float()"
	}
	bad := func() error {
		f := Fault{"kind": "validation_error", "path": path, "value": v, "reason": Map{"expected": want}}
		if c.matched != "" {
			f["matched_type"] = c.matched
		}
		return f
	}
	var n float64
	switch t := v.(type) {
	case int64:
		n = float64(t)
	case float64:
		n = t
		if schema["type"] == "integer" && n != float64(int64(n)) {
			return bad()
		}
	case string:
		f, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return bad()
		}
		n = f
	default:
		return bad()
	}
	if hasMin && n < float64(minimum) {
		return bad()
	}
	if maximum, ok := schema["maximum"].(int64); ok && n > float64(maximum) {
		return bad()
	}
	return nil
}

func (c *checker) bind(v, path string) error {
	if _, err := parseBind(v); err == nil {
		return nil
	}
	if c.bindDash {
		return fmt.Errorf("#{exception => \"bad_port_number\",field => <<\"bind\">>,path => \"%s\",reason => failed_to_check_field}",
			strings.TrimSuffix(path, ".bind"))
	}
	return c.fail(path, "bad_port_number", Map{"value": v})
}

func (c *checker) enum(enum []any, v any, path string) error {
	for _, e := range enum {
		if asStr(e) == asStr(v) {
			return nil
		}
	}
	reason := "unable_to_convert_to_enum_symbol"
	if c.s.symbols[asStr(v)] {
		reason = "not_a_enum_symbol"
	}
	return c.fail(path, reason, Map{"value": v})
}

// object checks the fields that are there and those that must be, then what is left over.
func (c *checker) object(schema Map, m Map, path string) error {
	props := asMap(schema["properties"])
	required := asList(schema["required"])
	for _, k := range sortedKeys(props) {
		if v := m[k]; v != nil {
			if err := c.check(asMap(props[k]), v, joinPath(path, k)); err != nil {
				return err
			}
		}
	}
	for _, k := range sortedKeys(props) {
		if m[k] == nil && !c.noRequire && slices.Contains(required, any(k)) {
			return c.fail(joinPath(path, k), "required_field", nil)
		}
	}
	if c.lenient || len(props) == 0 {
		return nil
	}
	var unknown, unmatched []string
	for _, k := range sortedKeys(m) {
		if _, ok := props[k]; !ok && !slices.Contains(c.hidden, k) {
			unknown = append(unknown, k)
		}
	}
	if unknown == nil {
		return nil
	}
	known := append(sortedKeys(props), c.hidden...)
	slices.Sort(known)
	for _, k := range slices.Compact(known) {
		if _, given := m[k]; !given {
			unmatched = append(unmatched, k)
		}
	}
	return c.fail(path, "unknown_fields", Map{"unknown": strings.Join(unknown, ","), "unmatched": summary(unmatched)})
}

func summary(names []string) string {
	if len(names) > 2 {
		return strings.Join(append(slices.Clone(names[:2]), "..."), ",")
	}
	return strings.Join(names, ",")
}

// discriminators are the fields by which a union's member is chosen.
var discriminators = []string{"mechanism", "backend", "type", "method", "name"}

func (c *checker) union(schema Map, members []any, v any, path string) error {
	m, isObject := v.(Map)
	if !isObject {
		var first error
		for _, e := range members {
			member, _ := c.s.deref(asMap(e))
			if member["type"] == "object" {
				continue
			}
			sub := *c
			err := sub.check(asMap(e), v, path)
			if err == nil {
				return nil
			}
			if first == nil {
				first = err
			}
		}
		return first
	}
	chosen, name := c.choose(members, m)
	if chosen == nil {
		mismatches := Map{}
		for _, e := range members {
			member, n := c.s.deref(asMap(e))
			sub := *c
			sub.matched = ""
			var err error
			if member != nil {
				err = sub.typeMismatch(member, m, path)
			}
			var f Fault
			if err != nil {
				f, _ = err.(Fault)
			}
			mismatches[strings.Replace(n, ".", ":", 1)] = Map(f)
		}
		return fault(path, "matched_no_union_member", Map{"mismatches": mismatches})
	}
	outer := c.matched
	label := strings.Replace(name, ".", ":", 1)
	if outer != "" {
		label = outer + "/" + label
	}
	c.matched = label
	err := c.check(chosen, v, path)
	c.matched = outer
	return err
}

func (c *checker) typeMismatch(member, m Map, path string) error {
	props := asMap(member["properties"])
	for _, d := range discriminators {
		enum := asList(asMap(props[d])["enum"])
		if v, given := m[d]; given && enum != nil {
			if err := c.enum(enum, v, joinPath(path, d)); err != nil {
				return err
			}
		}
	}
	return c.object(member, m, path)
}

// choose picks the member whose discriminating fields agree with the value. A union of which only
// one member has other such fields (hash algorithms: "simple") falls back to the first member.
func (c *checker) choose(members []any, m Map) (Map, string) {
	var fallback Map
	var fallbackName string
	for _, e := range members {
		member, name := c.s.deref(asMap(e))
		if member == nil || member["type"] != "object" {
			continue
		}
		props := asMap(member["properties"])
		ok, strong := true, false
		for _, d := range discriminators {
			enum := asList(asMap(props[d])["enum"])
			if enum == nil {
				continue
			}
			v, given := m[d]
			if !given {
				if slices.Contains(asList(member["required"]), any(d)) && !c.noRequire {
					ok = false
				}
				continue
			}
			match := slices.ContainsFunc(enum, func(x any) bool { return asStr(x) == asStr(v) })
			if !match {
				ok = false
			} else {
				strong = true
			}
		}
		if ok && (strong || fallback == nil) {
			if strong {
				return member, name
			}
			fallback, fallbackName = member, name
		}
		if fallback == nil && strings.HasSuffix(name, ".simple") {
			fallback, fallbackName = member, name
		}
	}
	return fallback, fallbackName
}

// defaults fills what a body leaves out, as EMQX's GET shows it. Deprecated fields stay away.
func (s *Schemas) defaults(schema Map, v Map) Map {
	schema, _ = s.deref(schema)
	props := asMap(schema["properties"])
	for _, k := range sortedKeys(props) {
		prop := asMap(props[k])
		if asBool(prop["deprecated"], false) {
			continue
		}
		sub, _ := s.deref(prop)
		cur, given := v[k]
		if !given {
			if d, ok := prop["default"]; ok {
				cur = clone(d)
			} else if sub != nil && sub["type"] == "object" && prop["$ref"] != nil {
				cur = Map{}
			} else {
				continue
			}
		}
		if m, ok := cur.(Map); ok && sub != nil {
			if members := asList(sub["oneOf"]); members != nil {
				c := &checker{s: s, noRequire: true}
				sub, _ = c.choose(members, m)
			}
			if sub != nil && sub["type"] == "object" {
				cur = s.defaults(sub, m)
			}
			if len(cur.(Map)) == 0 && !given && prop["default"] == nil {
				continue
			}
		}
		v[k] = cur
	}
	return v
}

// --- binds ----------------------------------------------------------------------------------------

var portOnly = regexp.MustCompile(`^:?\d{1,5}$`)

// parseBind reads EMQX's "1883", ":1883", "127.0.0.1:1883" or "[::1]:1883" into a Go address.
func parseBind(bind string) (string, error) {
	if portOnly.MatchString(bind) {
		bind = ":" + strings.TrimPrefix(bind, ":")
	}
	host, port, err := net.SplitHostPort(bind)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 {
		return "", fmt.Errorf("bad port number %q", port)
	}
	if host != "" && net.ParseIP(host) == nil {
		return "", fmt.Errorf("bad address %q", host)
	}
	return net.JoinHostPort(host, port), nil
}

// --- JSON -----------------------------------------------------------------------------------------

func decodeJSON(raw []byte) (any, error) {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, fmt.Errorf("more than one value")
	}
	return numbers(v), nil
}

func numbers(v any) any {
	switch t := v.(type) {
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n
		}
		f, _ := t.Float64()
		return f
	case Map:
		for k, e := range t {
			t[k] = numbers(e)
		}
	case []any:
		for i, e := range t {
			t[i] = numbers(e)
		}
	}
	return v
}

// Float always prints with a decimal point, as Erlang's floats do.
type Float float64

func (f Float) MarshalJSON() ([]byte, error) {
	s := strconv.FormatFloat(float64(f), 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return []byte(s), nil
}

func mustJSON(v any) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // only values made here are encoded
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}
