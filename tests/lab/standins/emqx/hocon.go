package main

// A parser for the part of HOCON that EMQX's configuration files use: comments, dotted and quoted
// keys, `=`, `:` or nothing before an object, objects merged when a key is repeated, arrays,
// concatenated values, triple-quoted strings, `+=`, `include "file"` and `${path}` outside quotes.
// It is as strict as the specification about unquoted text: `@`, `:` and the like need quotes,
// because EMQX refuses them as well and a template's mistake must not pass here.

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Map is a JSON-like object; numbers in it are int64 or float64.
type Map = map[string]any

type hoconSubst struct {
	path     string
	optional bool
}

type hoconConcat struct{ parts []any }

// hoconAppend is `+=`: it waits for the list that it extends, which may come from an outer object.
type hoconAppend struct{ items []any }

type hoconParser struct {
	src   string
	pos   int
	dir   string
	depth int
}

type hoconError struct {
	line int
	msg  string
}

func (e *hoconError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.msg) }

// ParseHocon parses a document; dir is where relative includes are looked up.
func ParseHocon(src, dir string) (Map, error) {
	m, err := parseHoconRaw(src, dir, 0)
	if err != nil {
		return nil, err
	}
	resolved, err := hoconResolve(m, m, 0)
	if err != nil {
		return nil, err
	}
	return resolved.(Map), nil
}

// ParseHoconValue parses a single value, as it stands in an environment variable.
func ParseHoconValue(src string) (any, error) {
	m, err := ParseHocon("value = "+src, "")
	if err != nil {
		return nil, err
	}
	if len(m) != 1 {
		return nil, fmt.Errorf("not a single value")
	}
	return m["value"], nil
}

func parseHoconRaw(src, dir string, depth int) (Map, error) {
	p := &hoconParser{src: strings.TrimPrefix(src, "\ufeff"), dir: dir, depth: depth}
	p.skipBlank(true)
	root := Map{}
	braced := p.peek() == '{'
	if braced {
		p.pos++
	}
	if err := p.object(root, braced); err != nil {
		return nil, err
	}
	p.skipBlank(true)
	if p.pos < len(p.src) {
		return nil, p.fail("unexpected %q", p.src[p.pos])
	}
	return root, nil
}

func (p *hoconParser) fail(format string, args ...any) error {
	return &hoconError{1 + strings.Count(p.src[:min(p.pos, len(p.src))], "\n"), fmt.Sprintf(format, args...)}
}

func (p *hoconParser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *hoconParser) comment() bool {
	return p.peek() == '#' || strings.HasPrefix(p.src[p.pos:], "//")
}

// skipBlank skips white space and comments; line ends only when asked to.
func (p *hoconParser) skipBlank(lines bool) {
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		switch {
		case c == '\n':
			if !lines {
				return
			}
			p.pos++
		case c == ' ' || c == '\t' || c == '\r':
			p.pos++
		case p.comment():
			if end := strings.IndexByte(p.src[p.pos:], '\n'); end >= 0 {
				p.pos += end
			} else {
				p.pos = len(p.src)
			}
		default:
			return
		}
	}
}

func (p *hoconParser) object(into Map, braced bool) error {
	for {
		p.skipBlank(true)
		for p.peek() == ',' {
			p.pos++
			p.skipBlank(true)
		}
		if p.pos >= len(p.src) {
			if braced {
				return p.fail("'}' is missing")
			}
			return nil
		}
		if p.peek() == '}' {
			if !braced {
				return p.fail("unexpected '}'")
			}
			p.pos++
			return nil
		}
		if done, err := p.include(into); err != nil {
			return err
		} else if done {
			continue
		}
		path, err := p.key()
		if err != nil {
			return err
		}
		p.skipBlank(false)
		appendTo := false
		switch {
		case strings.HasPrefix(p.src[p.pos:], "+="):
			appendTo = true
			p.pos += 2
		case p.peek() == '=' || p.peek() == ':':
			p.pos++
		case p.peek() == '{':
		default:
			return p.fail("'=' expected after %q", strings.Join(path, "."))
		}
		p.skipBlank(true)
		val, err := p.value()
		if err != nil {
			return err
		}
		if appendTo {
			val = &hoconAppend{[]any{val}}
		}
		hoconSet(into, path, val)
		p.skipBlank(false)
		if c := p.peek(); p.pos < len(p.src) && c != '\n' && c != ',' && c != '}' {
			return p.fail("unexpected %q after the value of %q", c, strings.Join(path, "."))
		}
	}
}

func (p *hoconParser) include(into Map) (bool, error) {
	rest := p.src[p.pos:]
	if !strings.HasPrefix(rest, "include ") && !strings.HasPrefix(rest, "include\t") {
		return false, nil
	}
	trimmed := strings.TrimLeft(rest[len("include"):], " \t")
	if !strings.HasPrefix(trimmed, `"`) {
		return false, nil
	}
	p.pos += len(rest) - len(trimmed)
	name, err := p.quoted()
	if err != nil {
		return false, err
	}
	if p.depth > 8 {
		return false, p.fail("includes are nested too deeply")
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(p.dir, name)
	}
	text, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return true, nil // as the specification says, and as EMQX does
	} else if err != nil {
		return false, p.fail("%v", err)
	}
	m, err := parseHoconRaw(string(text), filepath.Dir(name), p.depth+1)
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	for k, v := range m {
		hoconSet(into, []string{k}, v)
	}
	return true, nil
}

func (p *hoconParser) key() ([]string, error) {
	var path []string
	for {
		p.skipBlank(false)
		if p.peek() == '"' {
			s, err := p.quoted()
			if err != nil {
				return nil, err
			}
			path = append(path, s)
		} else {
			start := p.pos
			for p.pos < len(p.src) && isKeyChar(p.src[p.pos]) {
				p.pos++
			}
			if p.pos == start {
				return nil, p.fail("a key is expected before %q", p.peek())
			}
			path = append(path, p.src[start:p.pos])
		}
		if p.peek() != '.' {
			return path, nil
		}
		p.pos++
	}
}

func isKeyChar(c byte) bool {
	return c == '_' || c == '-' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// value parses one value, which may be several pieces on one line.
func (p *hoconParser) value() (any, error) {
	var parts []any
	var lastEnd int
	for {
		before := p.pos
		p.skipBlank(false)
		c := p.peek()
		if p.pos >= len(p.src) || c == '\n' || c == ',' || c == '}' || c == ']' {
			break
		}
		// the white space between two pieces of text belongs to the text
		if len(parts) > 0 && before == lastEnd && p.pos > before {
			switch parts[len(parts)-1].(type) {
			case Map, []any:
			default:
				if c != '{' && c != '[' {
					parts = append(parts, hoconText(p.src[before:p.pos]))
				}
			}
		}
		piece, err := p.piece(c)
		if err != nil {
			return nil, err
		}
		parts = append(parts, piece)
		lastEnd = p.pos
	}
	switch len(parts) {
	case 0:
		return nil, p.fail("a value is expected")
	case 1:
		return parts[0], nil
	}
	return &hoconConcat{parts}, nil
}

func (p *hoconParser) piece(c byte) (any, error) {
	switch {
	case c == '{':
		p.pos++
		m := Map{}
		return m, p.object(m, true)
	case c == '[':
		return p.array()
	case strings.HasPrefix(p.src[p.pos:], `"""`):
		return p.tripleQuoted()
	case c == '"':
		s, err := p.quoted()
		return hoconText(s), err
	case strings.HasPrefix(p.src[p.pos:], "${"):
		end := strings.IndexByte(p.src[p.pos:], '}')
		if end < 0 {
			return nil, p.fail("'}' of ${ is missing")
		}
		ref := p.src[p.pos+2 : p.pos+end]
		p.pos += end + 1
		name, optional := strings.CutPrefix(ref, "?")
		return &hoconSubst{strings.TrimSpace(name), optional}, nil
	}
	start := p.pos
	for p.pos < len(p.src) && !p.comment() && !strings.ContainsRune(" \t\r\n,}]", rune(p.src[p.pos])) {
		if strings.IndexByte("$\"{[:=+#`^?!@*&\\", p.src[p.pos]) >= 0 {
			return nil, p.fail("%q is not allowed in text without quotes", p.src[p.pos])
		}
		p.pos++
	}
	return hoconScalar(p.src[start:p.pos]), nil
}

// hoconText marks what was quoted, so that "1" stays a text.
type hoconText string

func hoconScalar(s string) any {
	switch s {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	}
	return s
}

func (p *hoconParser) array() (any, error) {
	p.pos++
	list := []any{}
	for {
		p.skipBlank(true)
		for p.peek() == ',' {
			p.pos++
			p.skipBlank(true)
		}
		if p.pos >= len(p.src) {
			return nil, p.fail("']' is missing")
		}
		if p.peek() == ']' {
			p.pos++
			return list, nil
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		p.skipBlank(false)
		if c := p.peek(); p.pos < len(p.src) && c != '\n' && c != ',' && c != ']' {
			return nil, p.fail("unexpected %q in an array", c)
		}
	}
}

func (p *hoconParser) tripleQuoted() (any, error) {
	body := p.src[p.pos+3:]
	end := strings.Index(body, `"""`)
	if end < 0 {
		return nil, p.fail(`""" is missing at the end`)
	}
	for end+3 < len(body) && body[end+3] == '"' { // quotes at the end belong to the text
		end++
	}
	p.pos += 3 + end + 3
	text := body[:end]
	if rest, ok := strings.CutPrefix(text, "~\n"); ok { // EMQX's indented form """~ ... ~"""
		text = dedent(strings.TrimSuffix(strings.TrimRight(rest, " \t"), "~"))
	}
	return hoconText(text), nil
}

func dedent(text string) string {
	lines := strings.Split(text, "\n")
	indent := -1
	for _, l := range lines {
		if strings.TrimSpace(l) == "" {
			continue
		}
		if n := len(l) - len(strings.TrimLeft(l, " ")); indent < 0 || n < indent {
			indent = n
		}
	}
	for i, l := range lines {
		if len(l) >= indent && indent > 0 {
			lines[i] = l[indent:]
		}
	}
	return strings.Join(lines, "\n")
}

func (p *hoconParser) quoted() (string, error) {
	start := p.pos
	p.pos++
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case '\\':
			p.pos++
		case '\n':
			return "", p.fail("a quote is missing at the end of the line")
		case '"':
			p.pos++
			s, err := strconv.Unquote(p.src[start:p.pos])
			if err != nil { // JSON's \/ is not Go's
				s, err = strconv.Unquote(strings.ReplaceAll(p.src[start:p.pos], `\/`, "/"))
			}
			if err != nil {
				return "", p.fail("bad escape in %s", p.src[start:p.pos])
			}
			return s, nil
		}
		p.pos++
	}
	return "", p.fail("a quote is missing at the end")
}

func hoconSet(into Map, path []string, val any) {
	for _, k := range path[:len(path)-1] {
		next, ok := into[k].(Map)
		if !ok {
			next = Map{}
			into[k] = next
		}
		into = next
	}
	last := path[len(path)-1]
	if more, ok := val.(*hoconAppend); ok {
		switch old := into[last].(type) {
		case []any:
			val = append(append([]any{}, old...), more.items...)
		case *hoconAppend:
			val = &hoconAppend{append(append([]any{}, old.items...), more.items...)}
		}
	}
	if old, ok := into[last].(Map); ok {
		if add, ok := val.(Map); ok {
			for k, v := range add {
				hoconSet(old, []string{k}, v)
			}
			return
		}
	}
	into[last] = val
}

func hoconResolve(v any, root Map, depth int) (any, error) {
	if depth > 32 {
		return nil, fmt.Errorf("substitutions refer to one another")
	}
	switch t := v.(type) {
	case hoconText:
		return string(t), nil
	case Map:
		out := make(Map, len(t))
		for k, e := range t {
			r, err := hoconResolve(e, root, depth)
			if err != nil {
				return nil, err
			}
			if s, ok := e.(*hoconSubst); ok && s.optional && r == nil {
				continue
			}
			out[k] = r
		}
		return out, nil
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			r, err := hoconResolve(e, root, depth)
			if err != nil {
				return nil, err
			}
			out[i] = r
		}
		return out, nil
	case *hoconSubst:
		found := getPath(root, strings.Split(t.path, "."))
		if found == nil {
			if t.optional {
				return nil, nil
			}
			return nil, fmt.Errorf("${%s} is not defined", t.path)
		}
		return hoconResolve(found, root, depth+1)
	case *hoconConcat:
		return hoconJoin(t, root, depth)
	case *hoconAppend:
		return hoconResolve(t.items, root, depth)
	}
	return v, nil
}

func hoconJoin(c *hoconConcat, root Map, depth int) (any, error) {
	var out any
	for i, part := range c.parts {
		r, err := hoconResolve(part, root, depth)
		if err != nil {
			return nil, err
		}
		switch t := r.(type) {
		case Map:
			if old, ok := out.(Map); ok {
				mergeInto(old, t)
			} else if i == 0 || out == nil {
				out = t
			} else {
				return nil, fmt.Errorf("an object cannot follow a text")
			}
		case []any:
			if old, ok := out.([]any); ok {
				out = append(old, t...)
			} else if i == 0 || out == nil {
				out = t
			} else {
				return nil, fmt.Errorf("an array cannot follow a text")
			}
		default:
			text := ""
			if r != nil {
				text = fmt.Sprint(r)
			}
			switch old := out.(type) {
			case nil:
				out = text
			case string:
				out = old + text
			default:
				if strings.TrimSpace(text) != "" {
					return nil, fmt.Errorf("a text cannot follow an object or an array")
				}
			}
		}
	}
	return out, nil
}

// --- maps ---------------------------------------------------------------------------------------

func getPath(m Map, path []string) any {
	var v any = m
	for _, k := range path {
		next, ok := v.(Map)
		if !ok {
			return nil
		}
		v = next[k]
	}
	return v
}

func deletePath(m Map, path []string) {
	for _, k := range path[:len(path)-1] {
		next, ok := m[k].(Map)
		if !ok {
			return
		}
		m = next
	}
	delete(m, path[len(path)-1])
}

// mergeInto merges src into dst: objects deeply, everything else is replaced.
func mergeInto(dst, src Map) {
	for k, v := range src {
		if sub, ok := v.(Map); ok {
			if old, ok := dst[k].(Map); ok {
				mergeInto(old, sub)
				continue
			}
		}
		dst[k] = clone(v)
	}
}

func clone(v any) any {
	switch t := v.(type) {
	case Map:
		out := make(Map, len(t))
		for k, e := range t {
			out[k] = clone(e)
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			out[i] = clone(e)
		}
		return out
	}
	return v
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// --- writing ------------------------------------------------------------------------------------

// WriteHocon prints an object the way EMQX does. quoteDigits: a text that begins with a digit gets
// quotes (5.8; 5.3 wrote `ttl = 1m`).
func WriteHocon(m Map, quoteDigits bool) string {
	var b strings.Builder
	hoconWriteObject(&b, m, "", quoteDigits)
	return b.String()
}

func hoconWriteObject(b *strings.Builder, m Map, indent string, quoteDigits bool) {
	for _, k := range sortedKeys(m) {
		key := k
		if strings.IndexFunc(k, func(r rune) bool { return r > 0x7f || !isKeyChar(byte(r)) }) >= 0 || k == "" {
			key = strconv.Quote(k)
		}
		if sub, ok := m[k].(Map); ok {
			b.WriteString(indent + key + " {")
			if len(sub) > 0 {
				b.WriteByte('\n')
				hoconWriteObject(b, sub, indent+"  ", quoteDigits)
				b.WriteString(indent)
			}
			b.WriteString("}\n")
			continue
		}
		b.WriteString(indent + key + " = ")
		hoconWriteValue(b, m[k], indent, quoteDigits)
		b.WriteByte('\n')
	}
}

func hoconWriteValue(b *strings.Builder, v any, indent string, quoteDigits bool) {
	switch t := v.(type) {
	case Map:
		b.WriteString("{\n")
		hoconWriteObject(b, t, indent+"  ", quoteDigits)
		b.WriteString(indent + "}")
	case []any:
		if len(t) == 0 {
			b.WriteString("[]")
			return
		}
		if _, nested := t[0].(Map); !nested {
			b.WriteByte('[')
			for i, e := range t {
				if i > 0 {
					b.WriteString(", ")
				}
				hoconWriteValue(b, e, indent, quoteDigits)
			}
			b.WriteByte(']')
			return
		}
		b.WriteString("[\n")
		for i, e := range t {
			if i > 0 {
				b.WriteString(",\n")
			}
			b.WriteString(indent + "  ")
			hoconWriteValue(b, e, indent+"  ", quoteDigits)
		}
		b.WriteString("\n" + indent + "]")
	case string:
		b.WriteString(hoconQuote(t, quoteDigits))
	case nil:
		b.WriteString("null")
	default:
		fmt.Fprint(b, t)
	}
}

func hoconQuote(s string, quoteDigits bool) string {
	if s == "" || s == "true" || s == "false" || s == "null" {
		return strconv.Quote(s)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		if !letter && !(digit && (i > 0 || !quoteDigits)) {
			return strconv.Quote(s)
		}
	}
	if _, number := hoconScalar(s).(string); !number {
		return strconv.Quote(s)
	}
	return s
}
