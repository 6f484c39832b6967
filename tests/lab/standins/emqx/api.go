package main

// The REST API: routing, credentials, the shape of errors and lists.

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Node is everything that runs.
type Node struct {
	cfg       *Config
	ver       *Version
	m         *Metrics
	store     *Store
	auth      *Auth
	broker    *Broker
	listeners *Listeners
	bridges   *Bridges
	routes    []apiRoute
	tokenMu   sync.Mutex
	tokens    map[string]token
}

type token struct {
	user  string
	until time.Time
}

// Req is one request.
type Req struct {
	*http.Request
	path []string // values of the path's {parameters}
	raw  []byte
	user string // dashboard user; "" with an API key
	tok  string
}

// Res is an answer; a nil body sends none.
type Res struct {
	status int
	body   any
	ctype  string
}

type apiHandler func(r *Req) Res

type apiRoute struct {
	words    []string
	methods  map[string]apiHandler
	userOnly bool
	public   bool
}

func ok(body any) Res               { return Res{status: 200, body: body} }
func status(n int) Res              { return Res{status: n} }
func text(s string) Res             { return Res{200, s, "text/plain"} }
func notFoundHTML() Res             { return Res{404, htmlNotFound, "text/html"} }
func badRequest(message string) Res { return fail(400, "BAD_REQUEST", message) }

func fail(status int, code, message string) Res {
	return Res{status: status, body: Map{"code": code, "message": message}}
}

const htmlNotFound = "<html><head><title>404 - NOT FOUND</title></head><body><h1>404 - NOT FOUND</h1></body></html>"

// handle registers a path; only are the versions' conditions, all of which must hold.
func (n *Node) handle(path string, methods map[string]apiHandler, only ...bool) *apiRoute {
	if slices.Contains(only, false) {
		return &apiRoute{}
	}
	n.routes = append(n.routes, apiRoute{words: strings.Split(strings.TrimPrefix(path, "/"), "/"), methods: methods})
	return &n.routes[len(n.routes)-1]
}

func (n *Node) find(path string) (*apiRoute, []string) {
	words := strings.Split(strings.Trim(path, "/"), "/")
	var best *apiRoute
	var bestParams []string
	bestScore := -1
	for i := range n.routes {
		r := &n.routes[i]
		if len(r.words) != len(words) {
			continue
		}
		var params []string
		score := 0
		match := true
		for j, w := range r.words {
			if strings.HasPrefix(w, "{") {
				v, err := url.PathUnescape(words[j])
				if err != nil {
					match = false
					break
				}
				params = append(params, v)
			} else if w == words[j] {
				score++
			} else {
				match = false
				break
			}
		}
		if match && score > bestScore {
			best, bestParams, bestScore = r, params, score
		}
	}
	return best, bestParams
}

// ServeHTTP answers /api/v5 and, for people, the page that says what this is.
func (n *Node) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	w.Header().Set("Server", "EMQX-"+standIn+"/"+n.ver.Number)
	path := hr.URL.EscapedPath()
	switch {
	case path == "/status":
		path = "/api/v5/status"
	case path == "/api-docs/swagger.json":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(n.ver.Schemas.raw)
		return
	case path == "/" || path == "/index.html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, "<html><head><title>EMQX %[1]s</title></head><body><h1>This is a %[1]s for EMQX %s</h1>"+
			"<p>It belongs to a test lab. It has the REST API and the MQTT listeners, but no dashboard.</p></body></html>", standIn, n.ver.Number)
		return
	}
	rest, isAPI := strings.CutPrefix(path, "/api/v5/")
	route, params := (*apiRoute)(nil), []string(nil)
	if isAPI {
		route, params = n.find(rest)
	}
	var res Res
	if route == nil {
		res = notFoundHTML()
	} else {
		res = n.serve(route, &Req{Request: hr, path: params})
	}
	if res.body == nil {
		w.WriteHeader(res.status)
		return
	}
	var out []byte
	if s, isText := res.body.(string); isText && res.ctype != "" {
		out = []byte(s)
	} else {
		out = mustJSON(res.body)
	}
	if res.ctype == "" {
		res.ctype = "application/json"
	}
	w.Header().Set("Content-Type", res.ctype)
	w.WriteHeader(res.status)
	_, _ = w.Write(out)
}

func (n *Node) serve(route *apiRoute, r *Req) (res Res) {
	if !route.public {
		if res, allowed := n.authorize(route, r); !allowed {
			return res
		}
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h := route.methods[method]
	if h == nil {
		return status(n.ver.MethodNotAllowed)
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return badRequest("cannot read the body")
	}
	r.raw = raw
	defer func() {
		if p := recover(); p != nil {
			stack := make([]byte, 8<<10)
			logf("error", "msg: handler_failed, path: %s, reason: %v, stack: %s", r.URL.Path, p, stack[:runtime.Stack(stack, false)])
			res = fail(500, "INTERNAL_ERROR", fmt.Sprint(p))
		}
	}()
	return h(r)
}

// authorize looks at the Authorization header: an API key, or a token of a dashboard user.
func (n *Node) authorize(route *apiRoute, r *Req) (Res, bool) {
	head := r.Header.Get("Authorization")
	kind, cred, _ := strings.Cut(head, " ")
	switch strings.ToLower(kind) {
	case "basic":
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(cred))
		key, secret, _ := strings.Cut(string(raw), ":")
		if err != nil || !n.store.CheckKey(key, secret) {
			return fail(401, "BAD_API_KEY_OR_SECRET", "Check api_key/api_secret"), false
		}
		if route.userOnly {
			msg := n.ver.KeyDeniedMessage
			if strings.Contains(msg, "%s") {
				msg = fmt.Sprintf(msg, route.words[0])
			}
			return fail(401, n.ver.KeyDeniedCode, msg), false
		}
		return Res{}, true
	case "bearer":
		cred = strings.TrimSpace(cred)
		n.tokenMu.Lock()
		t, known := n.tokens[cred]
		n.tokenMu.Unlock()
		if !known {
			return fail(401, "BAD_TOKEN", "Get a token by POST /login"), false
		}
		if time.Now().After(t.until) {
			return fail(401, "TOKEN_TIME_OUT", "Token expired, get new token by POST /login"), false
		}
		r.user, r.tok = t.user, cred
		return Res{}, true
	}
	return fail(401, "AUTHORIZATION_HEADER_ERROR", "Support authorization: basic/bearer "), false
}

// --- bodies -----------------------------------------------------------------------------------------

// json decodes the body.
func (r *Req) json() (any, error) {
	if len(strings.TrimSpace(string(r.raw))) == 0 {
		return Map{}, nil
	}
	v, err := decodeJSON(r.raw)
	if err != nil {
		return nil, errors.New("Invalid json message received") //lint:ignore ST1005 EMQX's text
	}
	return v, nil
}

// hiddenFields are taken by the servers although their documents do not show them.
var hiddenFields = map[string][]string{"/listeners": {"authentication"}, "/listeners/{id}": {"authentication"}, "/rules": {"id"}}

// body validates the body with the OpenAPI document's schema of this path and method.
func (n *Node) body(r *Req, path, method string, required ...string) (any, error) {
	v, err := r.json()
	if err != nil {
		return nil, err
	}
	schema := n.bodySchema(path, method)
	_, byRef := schema["$ref"]
	inPlace := !byRef && schema["type"] == "object"
	c := &checker{s: n.ver.Schemas, lenient: inPlace, bindDash: n.ver.BindException, hidden: hiddenFields[path]}
	root := "root"
	if inPlace {
		root = ""
	}
	if schema["type"] == "array" {
		if _, isList := v.([]any); !isList {
			return nil, fault(root, "not_array", Map{"value": v})
		}
	}
	if m, isObject := v.(Map); isObject {
		slices.Sort(required)
		for _, k := range required { // the documents do not show all of them
			if m[k] == nil {
				return nil, fault(joinPath(root, k), "required_field", nil)
			}
		}
	}
	return v, c.check(schema, v, root)
}

func (n *Node) bodySchema(path, method string) Map {
	op := asMap(asMap(n.ver.Schemas.paths[path])[method])
	return asMap(asMap(asMap(asMap(op["requestBody"])["content"])["application/json"])["schema"])
}

// paged is one page of a list. hasNext false leaves that field out, as some lists do.
func paged(r *Req, items []any, hasNext bool) Res {
	q := r.URL.Query()
	page, limit := asInt(q.Get("page"), 1), asInt(q.Get("limit"), 100)
	if page < 1 || limit < 1 || limit > 10000 {
		return badRequest("page_limit_invalid")
	}
	from := min((page-1)*limit, len(items))
	to := min(from+limit, len(items))
	meta := Map{"page": page, "limit": limit, "count": len(items)}
	if hasNext {
		meta["hasnext"] = to < len(items)
	}
	return ok(Map{"data": append([]any{}, items[from:to]...), "meta": meta})
}

func like(q url.Values, name, value string) bool {
	if !q.Has(name) {
		return true
	}
	return slices.Contains(q[name], value)
}

// --- the HTTP servers ---------------------------------------------------------------------------------

func (n *Node) dashboardConf() Map {
	schema, _ := n.ver.Schemas.Named("dashboard.dashboard")
	conf := n.ver.Schemas.defaults(schema, n.cfg.GetMap("dashboard"))
	ls := asMap(conf["listeners"])
	for kind, fallback := range map[string]any{"http": int64(18083), "https": int64(0)} {
		raw := n.cfg.GetMap("dashboard", "listeners", kind)
		l := asMap(ls[kind])
		if kind == "https" && !n.ver.HTTPSShown && raw["bind"] == nil {
			delete(ls, kind)
			continue
		}
		l["bind"] = fallback
		if raw["bind"] != nil {
			l["bind"] = raw["bind"]
		}
		delete(l, "enable")
		ls[kind] = l
	}
	conf["listeners"] = ls
	return conf
}

// StartAPI opens the dashboard's listeners.
func (n *Node) StartAPI() error {
	ls := asMap(n.dashboardConf()["listeners"])
	for _, kind := range []string{"http", "https"} {
		conf := asMap(ls[kind])
		bind := asStr(conf["bind"])
		if conf["bind"] == nil || bind == "0" {
			continue
		}
		addr, err := parseBind(bind)
		if err != nil {
			return fmt.Errorf("dashboard.listeners.%s.bind: %w", kind, err)
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("dashboard.listeners.%s: %w", kind, err)
		}
		if kind == "https" {
			tc, err := n.listeners.serverTLS(asMap(conf["ssl_options"]))
			if err != nil {
				return fmt.Errorf("dashboard.listeners.https: %w", err)
			}
			ln = tls.NewListener(ln, tc)
		}
		srv := &http.Server{Handler: n, ReadHeaderTimeout: 15 * time.Second}
		go func() { _ = srv.Serve(ln) }()
		announce("msg: dashboard_listener_started, %s: %s (%s, no dashboard)", kind, bind, standIn)
	}
	return nil
}

func (n *Node) dataFile(parts ...string) string {
	return filepath.Join(append([]string{n.cfg.dataDir}, parts...)...)
}
