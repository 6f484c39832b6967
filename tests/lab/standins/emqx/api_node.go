package main

// The node: status, statistics, configuration, backups.

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func (n *Node) nodeRoutes() {
	get := func(f apiHandler) map[string]apiHandler { return map[string]apiHandler{"GET": f} }
	n.handle("/status", get(func(*Req) Res {
		return text("Node " + n.cfg.NodeName() + " is started\nemqx is running")
	})).public = true
	n.handle("/nodes", get(func(*Req) Res { return ok([]any{n.nodeView()}) }))
	n.handle("/nodes/{node}", get(n.ownNode(func() any { return n.nodeView() })))
	n.handle("/nodes/{node}/metrics", get(n.ownNode(func() any { return n.metricsView() })))
	n.handle("/nodes/{node}/stats", get(n.ownNode(func() any { return n.statsView() })))
	n.handle("/cluster", get(func(*Req) Res {
		node := n.cfg.NodeName()
		return ok(Map{"name": n.cfg.Str("cluster.name", "emqxcl"), "self": node, "nodes": []any{node}})
	}))
	n.handle("/cluster/topology", get(func(*Req) Res {
		return ok([]any{Map{"core_node": n.cfg.NodeName(), "replicant_nodes": []any{}}})
	}))
	n.handle("/stats", get(n.stats))
	n.handle("/metrics", get(n.metrics))
	n.handle("/monitor_current", get(func(*Req) Res { return ok(n.monitorView()) }))
	n.handle("/alarms", map[string]apiHandler{
		"GET":    func(r *Req) Res { return paged(r, []any{}, true) },
		"DELETE": func(*Req) Res { return status(204) }})
	noPlugin := func(r *Req) Res { return fail(404, "NOT_FOUND", "plugin "+r.path[0]+" is not installed") }
	n.handle("/plugins/{name}", map[string]apiHandler{"GET": noPlugin, "DELETE": noPlugin})
	n.handle("/plugins", get(func(*Req) Res { return ok([]any{}) }))
	n.handle("/prometheus", map[string]apiHandler{"GET": n.prometheusConf})
	n.handle("/prometheus/stats", get(n.prometheusStats)).public = true
	n.handle("/error_codes", get(n.errorCodes))
	n.handle("/error_codes/{code}", get(n.errorCode))
	n.handle("/telemetry/status", map[string]apiHandler{
		"GET": func(*Req) Res { return ok(Map{"enable": n.cfg.Bool("telemetry.enable", n.ver.Telemetry)}) },
		"PUT": n.setTelemetry})
	n.handle("/configs", map[string]apiHandler{"GET": n.getConfigs, "PUT": n.putConfigs})
	for _, root := range []string{"alarm", "broker", "dashboard", "global_zone", "log", "sys_topics", "sysmon"} {
		if n.ver.Schemas.paths["/configs/"+root] == nil {
			continue
		}
		n.handle("/configs/"+root, map[string]apiHandler{
			"GET": func(*Req) Res { return ok(n.rootView(root)) }, "PUT": n.putRoot(root)})
	}
	n.handle("/configs_reset/{root}", map[string]apiHandler{"POST": n.resetConfig})
	n.handle("/schemas/hotconf", get(func(*Req) Res { return ok(n.ver.Schemas.byName) }), n.ver.HotConfSchema)
	n.handle("/data/export", map[string]apiHandler{"POST": n.exportData}, n.ver.DataBackup)
	n.handle("/data/files", map[string]apiHandler{"GET": n.dataFiles, "POST": n.uploadData}, n.ver.DataBackup)
	n.handle("/data/files/{name}", map[string]apiHandler{"GET": n.downloadData, "DELETE": n.deleteData}, n.ver.DataBackup)
	n.handle("/data/import", map[string]apiHandler{"POST": n.importData}, n.ver.DataBackup)
}

func (n *Node) ownNode(f func() any) apiHandler {
	return func(r *Req) Res {
		if r.path[0] != n.cfg.NodeName() {
			return fail(404, "NOT_FOUND", "Node not found: "+r.path[0])
		}
		return ok(f())
	}
}

func (n *Node) nodeView() Map {
	total, used := memory()
	load := loadAverages()
	counts := n.broker.counts()
	path := "log.file.enable is false, not logging to file."
	if logToFile(n.cfg) {
		path = n.cfg.logDir
	}
	m := Map{"node": n.cfg.NodeName(), "node_status": "running", "role": "core", "version": n.ver.Number,
		"edition": "Opensource", "otp_release": standIn + "/" + runtime.Version(), "sys_path": filepath.Dir(n.cfg.etcDir),
		"log_path": path, "uptime": time.Since(n.m.started).Milliseconds(), "max_fds": maxFiles(),
		"memory_total": human(total), "memory_used": human(used),
		"load1": Float(load[0]), "load5": Float(load[1]), "load15": Float(load[2]),
		"process_available": 2097152, "process_used": runtime.NumGoroutine(),
		"connections": counts["sessions"], "live_connections": counts["connections"]}
	if n.ver.ClusterSessions {
		m["cluster_sessions"] = counts["sessions"]
	}
	return m
}

func (n *Node) statsView() Map {
	v := n.m.Stats(n.ver.Stats, n.broker.counts())
	v["node"] = n.cfg.NodeName()
	return v
}

func (n *Node) metricsView() Map {
	v := Map{"node": n.cfg.NodeName()}
	for _, name := range n.ver.Metrics {
		v[name] = n.m.Get(name)
	}
	return v
}

func (n *Node) stats(r *Req) Res {
	v := n.statsView()
	if r.URL.Query().Get("aggregate") == "true" {
		delete(v, "node")
		return ok(v)
	}
	return ok([]any{v})
}

func (n *Node) metrics(r *Req) Res {
	v := n.metricsView()
	if r.URL.Query().Get("aggregate") == "true" {
		delete(v, "node")
		return ok(v)
	}
	return ok([]any{v})
}

func (n *Node) monitorView() Map {
	counts := n.broker.counts()
	now := map[string]int64{"connections": counts["sessions"], "live_connections": counts["connections"],
		"subscriptions": counts["subscriptions"], "subscriptions_ram": counts["subscriptions"], "topics": counts["topics"],
		"retained_msg_count": counts["retained"], "shared_subscriptions": counts["shared"]}
	v := Map{}
	for _, name := range n.ver.Monitor {
		v[name] = now[name]
	}
	return v
}

// --- Prometheus -----------------------------------------------------------------------------------------

func (n *Node) prometheusConf(*Req) Res {
	collectors := []string{"mnesia", "vm_dist", "vm_memory", "vm_msacc", "vm_statistics", "vm_system_info"}
	job, url := "${name}/instance/${name}~${host}", "http://127.0.0.1:9091"
	if n.ver.PrometheusNested {
		c := Map{}
		for _, name := range collectors {
			c[name] = "disabled"
		}
		return ok(Map{"collectors": c, "enable_basic_auth": false, "push_gateway": Map{"enable": false, "headers": Map{},
			"interval": "15s", "job_name": job, "method": "put", "url": url}})
	}
	v := Map{"enable": false, "headers": Map{}, "interval": "15s", "job_name": job, "push_gateway_server": url}
	for _, name := range collectors {
		v[name+"_collector"] = "disabled"
	}
	return ok(v)
}

// prometheusValue finds the number behind a Prometheus name among the counters and the statistics.
func (n *Node) prometheusValue(name string, stats Map) any {
	key := strings.TrimPrefix(name, "emqx_")
	for _, m := range n.ver.Metrics {
		if strings.NewReplacer(".", "_").Replace(m) == key {
			return n.m.Get(m)
		}
	}
	for k, v := range stats {
		if strings.NewReplacer(".", "_").Replace(k) == key {
			return v
		}
	}
	total, used := memory()
	switch key {
	case "packets_connect":
		return n.m.Get("packets.connect.received")
	case "messages_retained":
		return n.broker.counts()["retained"]
	case "cluster_nodes_running":
		return 1
	case "vm_cpu_use", "vm_cpu_idle":
		busy := min(100, 100*loadAverages()[0]/float64(runtime.NumCPU()))
		if key == "vm_cpu_idle" {
			busy = 100 - busy
		}
		return Float(busy)
	case "vm_total_memory":
		return total
	case "vm_used_memory":
		return used
	}
	return 0
}

func (n *Node) prometheusStats(r *Req) Res {
	stats := n.statsView()
	if !strings.Contains(r.Header.Get("Accept"), "json") {
		var b strings.Builder
		for _, e := range n.ver.PromTree {
			name := e[strings.IndexByte(e, ' ')+1:]
			if name != "-" {
				fmt.Fprintf(&b, "# TYPE %s gauge\n%s{node=%q} %v\n", name, name, n.cfg.NodeName(), n.prometheusValue(name, stats))
			}
		}
		return text(b.String())
	}
	out := Map{}
	for _, e := range n.ver.PromTree {
		group, name, _ := strings.Cut(e, " ")
		if list, isList := strings.CutSuffix(group, "[]"); isList {
			if out[list] == nil {
				out[list] = []any{Map{}}
			}
			out[list].([]any)[0].(Map)[name] = n.prometheusValue(name, stats)
			continue
		}
		if out[group] == nil {
			out[group] = Map{}
		}
		if name != "-" {
			out[group].(Map)[name] = n.prometheusValue(name, stats)
		}
	}
	if n.ver.PrometheusNested {
		out["certs"] = n.certExpiries()
	}
	return ok(out)
}

func (n *Node) certExpiries() []any {
	out := []any{}
	ids := n.listeners.IDs()
	slices.Reverse(ids)
	for _, id := range ids {
		kind, name, _ := strings.Cut(id, ":")
		if kind != "ssl" && kind != "wss" {
			continue
		}
		raw, err := os.ReadFile(n.cfg.expand(asStr(asMap(n.listeners.Conf(kind, name)["ssl_options"])["certfile"])))
		if err != nil {
			continue
		}
		if block, _ := pem.Decode(raw); block != nil {
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
				out = append(out, Map{"listener_type": kind, "listener_name": name, "emqx_cert_expiry_at": cert.NotAfter.Unix()})
			}
		}
	}
	return out
}

// --- errors -----------------------------------------------------------------------------------------------

var errorTexts = [][2]string{
	{"BAD_USERNAME_OR_PWD", "Bad username or password"}, {"BAD_API_KEY_OR_SECRET", "Bad API key or secret"},
	{"BAD_REQUEST", "Request parameters are invalid"}, {"NOT_MATCH", "Conditions are not matched"},
	{"ALREADY_EXISTS", "Resource already existed"}, {"BAD_CONFIG_SCHEMA", "Configuration data is invalid"},
	{"BAD_LISTENER_ID", "Bad listener ID"}, {"BAD_NODE_NAME", "Bad Node Name"},
	{"BAD_RPC", "RPC Failed. Check the cluster status and the requested node status"},
	{"BAD_TOPIC", "Topic syntax error, Topic needs to comply with the MQTT protocol standard"},
	{"EXCEED_LIMIT", "Create resources that exceed the maximum limit or minimum limit"},
	{"INVALID_PARAMETER", "Request parameters is invalid and exceeds the boundary value"},
	{"CONFLICT", "Conflicting request resources"}, {"NO_DEFAULT_VALUE", "Request parameters do not use default values"},
	{"DEPENDENCY_EXISTS", "Resource is dependent by another resource"}, {"MESSAGE_ID_SCHEMA_ERROR", "Message ID parsing error"},
	{"INVALID_ID", "Bad ID schema"}, {"MESSAGE_ID_NOT_FOUND", "Message ID does not exist"},
	{"NOT_FOUND", "Resource was not found or does not exist"}, {"CLIENTID_NOT_FOUND", "Client ID was not found or does not exist"},
	{"CLIENT_NOT_FOUND", "Client was not found or does not exist(usually not a MQTT client)"},
	{"RESOURCE_NOT_FOUND", "Resource not found"}, {"TOPIC_NOT_FOUND", "Topic not found"}, {"USER_NOT_FOUND", "User not found"},
	{"INTERNAL_ERROR", "Server inter error"}, {"SERVICE_UNAVAILABLE", "Service unavailable"}, {"SOURCE_ERROR", "Source error"},
	{"UPDATE_FAILED", "Update failed"}, {"REST_FAILED", "Reset source or config failed"}, {"CLIENT_NOT_RESPONSE", "Client not responding"},
	{"UNSUPPORTED_MEDIA_TYPE", "Unsupported media type"},
}

func (n *Node) errorList() []any {
	list := []any{}
	for _, e := range errorTexts {
		if e[0] != "UNSUPPORTED_MEDIA_TYPE" || n.ver.UnsupportedMedia {
			list = append(list, Map{"code": e[0], "description": e[1]})
		}
	}
	return list
}

func (n *Node) errorCodes(*Req) Res { return ok(n.errorList()) }

func (n *Node) errorCode(r *Req) Res {
	for _, e := range n.errorList() {
		if asMap(e)["code"] == r.path[0] {
			return ok(e)
		}
	}
	return fail(404, "NOT_FOUND", "Code not found")
}

// --- configuration ----------------------------------------------------------------------------------------

func (n *Node) setTelemetry(r *Req) Res {
	v, err := r.json()
	if err != nil {
		return badRequest(err.Error())
	}
	if err := n.cfg.Set(asBool(asMap(v)["enable"], false), "telemetry", "enable"); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return ok(v)
}

var zoneParts = []string{"durable_sessions", "flapping_detect", "force_gc", "force_shutdown", "mqtt"}

func (n *Node) rootSchema(root string) Map {
	s, _ := n.ver.Schemas.Named("emqx."+root, "broker."+root, "emqx_conf_schema."+root, root+"."+root)
	return s
}

// rootView is a root's configuration with its defaults, as the API shows it.
func (n *Node) rootView(root string) Map {
	switch root {
	case "global_zone":
		v := Map{}
		for _, part := range zoneParts {
			if schema := n.rootSchema(part); schema != nil {
				v[part] = n.ver.Schemas.defaults(schema, n.cfg.GetMap(part))
			}
		}
		return v
	case "dashboard":
		v := n.dashboardConf()
		v["default_password"] = mask
		delete(v, "default_username")
		return v
	case "log":
		conf := n.cfg.GetMap("log")
		view := Map{}
		console, _ := n.ver.Schemas.Named("emqx.console_handler", "emqx_conf_schema.console_handler")
		file, _ := n.ver.Schemas.Named("emqx.log_file_handler", "emqx_conf_schema.log_file_handler")
		view["console"] = n.ver.Schemas.defaults(console, asMap(conf["console"]))
		view["file"] = Map{"default": n.ver.Schemas.defaults(file, asMap(asMap(conf["file"])["default"]))}
		if throttling, _ := n.ver.Schemas.Named("emqx.log_throttling"); throttling != nil {
			view["throttling"] = n.ver.Schemas.defaults(throttling, asMap(conf["throttling"]))
		}
		asMap(view["console"])["enable"] = logToConsole(n.cfg)
		asMap(asMap(view["file"])["default"])["enable"] = logToFile(n.cfg)
		return view
	}
	return n.ver.Schemas.defaults(n.rootSchema(root), n.cfg.GetMap(root))
}

func (n *Node) getConfigs(r *Req) Res {
	key := r.URL.Query().Get("key")
	if strings.Contains(r.Header.Get("Accept"), "text/plain") {
		n.cfg.mu.RLock()
		raw := clone(n.cfg.live).(Map)
		n.cfg.mu.RUnlock()
		if key == "" {
			return text(WriteHocon(raw, n.ver.QuoteDigits))
		}
		if !slices.Contains(knownRoots, key) {
			return fail(404, "NOT_FOUND", "Configuration key not found: "+key)
		}
		if key == "authorization" {
			v := n.authzSettingsView()
			sources := []any{}
			for _, e := range n.auth.SourcesConf() {
				sources = append(sources, n.masked(asMap(e)))
			}
			v["sources"] = sources
			raw[key] = v
		} else if n.ver.Schemas.paths["/configs/"+key] != nil {
			raw[key] = n.rootView(key)
		}
		return text(WriteHocon(Map{key: raw[key]}, n.ver.QuoteDigits))
	}
	v := Map{}
	for _, root := range []string{"alarm", "broker", "dashboard", "log", "sys_topics", "sysmon"} {
		if n.ver.Schemas.paths["/configs/"+root] != nil {
			v[root] = n.rootView(root)
		}
	}
	return ok(v)
}

var readOnlyRoots = []string{"node", "rpc", "cluster"}

// putConfigs merges (or replaces) with a HOCON text. A text that cannot be parsed is answered with
// 200 and changes nothing: recorded.
func (n *Node) putConfigs(r *Req) Res {
	part, err := ParseHocon(string(r.raw), "")
	if err != nil {
		return status(200)
	}
	for _, root := range sortedKeys(part) {
		if slices.Contains(readOnlyRoots, root) && r.URL.Query().Get("ignore_readonly") != "true" {
			return badRequest("Cannot update read-only key '" + root + "'.")
		}
	}
	if err := n.checkConf(part); err != nil {
		return n.mergeFailed(err)
	}
	for _, root := range readOnlyRoots {
		delete(part, root)
	}
	if r.URL.Query().Get("mode") != "merge" {
		for root, v := range part {
			if err := n.cfg.Set(v, root); err != nil {
				return fail(500, "INTERNAL_ERROR", err.Error())
			}
		}
	} else if err := n.cfg.Merge(part); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return n.applyConf(part)
}

// applyConf makes what needs it follow a changed configuration; limits are read where they are used.
func (n *Node) applyConf(part Map) Res {
	if part["authentication"] != nil || part["authorization"] != nil {
		if err := n.auth.Reload(); err != nil {
			return badRequest(err.Error())
		}
		n.auth.CleanCache()
	}
	for kind, names := range asMap(part["listeners"]) {
		for name := range asMap(names) {
			if err := n.listeners.Apply(kind, name); err != nil {
				return n.startFailed(err)
			}
		}
	}
	if part["log"] != nil {
		if err := setupLog(n.cfg); err != nil {
			return badRequest(err.Error())
		}
	}
	return status(200)
}

// mergeFailed: an unknown key is an internal error in the newer version, and in the older one an
// answer that is JSON under a text's name with its texts as lists of numbers.
func (n *Node) mergeFailed(err error) Res {
	var f Fault
	if !errors.As(err, &f) {
		return badRequest(err.Error())
	}
	if n.ver.MergeErrorStatus == 500 {
		terms := []string{}
		for _, k := range sortedKeys(Map(f)) {
			v := asStr(f[k])
			if k == "kind" || k == "reason" {
				terms = append(terms, k+" => "+v)
			} else {
				terms = append(terms, k+" => "+string(mustJSON(v)))
			}
		}
		return fail(500, "INTERNAL_ERROR", "throw, {emqx_conf_schema,[#{"+strings.Join(terms, ",")+"}]}, [{"+standIn+"}]")
	}
	m := Map{}
	for k, v := range f {
		if k == "kind" || k == "reason" {
			m[k] = v
			continue
		}
		codes := []any{}
		for _, r := range asStr(v) {
			codes = append(codes, int(r))
		}
		m[k] = codes
	}
	root, _, _ := strings.Cut(asStr(f["path"]), ".")
	return Res{n.ver.MergeErrorStatus, string(mustJSON(Map{root: m})), "text/plain"}
}

func (n *Node) putRoot(root string) apiHandler {
	return func(r *Req) Res {
		v, err := n.body(r, "/configs/"+root, "put")
		if err != nil {
			return badRequest(err.Error())
		}
		m := asMap(v)
		if root == "global_zone" { // the whole object is wanted
			for _, part := range zoneParts {
				if m[part] == nil {
					continue
				}
				if err := n.cfg.Set(m[part], part); err != nil {
					return fail(500, "INTERNAL_ERROR", err.Error())
				}
			}
			return ok(n.rootView(root))
		}
		if root == "dashboard" {
			delete(m, "default_password")
			old := n.cfg.GetMap("dashboard")
			for _, k := range []string{"default_password", "default_username"} {
				if old[k] != nil {
					m[k] = old[k]
				}
			}
		}
		if err := n.cfg.Set(m, root); err != nil {
			return fail(500, "INTERNAL_ERROR", err.Error())
		}
		if res := n.applyConf(Map{root: m}); res.status != 200 {
			return res
		}
		return ok(n.rootView(root))
	}
}

func (n *Node) resetConfig(r *Req) Res {
	root := r.path[0]
	if n.ver.Schemas.paths["/configs/"+root] == nil || root == "global_zone" {
		c := &checker{s: n.ver.Schemas}
		return badRequest(c.enum([]any{}, root, "rootname").Error())
	}
	if err := n.cfg.Set(nil, root); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return status(200)
}

// --- backups ----------------------------------------------------------------------------------------------

func (n *Node) backupDir() string { return n.dataFile("backup") }

func (n *Node) backupView(name string) (Map, error) {
	st, err := os.Stat(filepath.Join(n.backupDir(), name))
	if err != nil {
		return nil, err
	}
	at := st.ModTime()
	return Map{"filename": name, "size": st.Size(), "node": n.cfg.NodeName(), "created_at": at.Format("2006-01-02T15:04:05-07:00"),
		"created_at_sec": at.Unix()}, nil
}

// exportData packs cluster.hocon and the node's own database.
func (n *Node) exportData(*Req) Res {
	if err := os.MkdirAll(n.backupDir(), 0o755); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	t := time.Now()
	base := "emqx-export-" + t.Format("2006-01-02-15-04-05") + fmt.Sprintf(".%03d", t.Nanosecond()/1e6)
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	tw := tar.NewWriter(gz)
	add := func(name string, body []byte) error {
		if err := tw.WriteHeader(&tar.Header{Name: base + "/" + name, Mode: 0o600, Size: int64(len(body)), ModTime: t}); err != nil {
			return err
		}
		_, err := tw.Write(body)
		return err
	}
	n.cfg.mu.RLock()
	hocon := WriteHocon(n.cfg.cluster, n.ver.QuoteDigits)
	n.cfg.mu.RUnlock()
	n.store.mu.RLock()
	db := mustJSON(n.store)
	n.store.mu.RUnlock()
	err := errors.Join(add("META.hocon", []byte("edition = \"Opensource\"\nversion = \""+n.ver.Number+"\"\n")),
		add("cluster.hocon", []byte(hocon)), add("mnesia/standin.json", db), tw.Close(), gz.Close())
	if err == nil {
		err = os.WriteFile(filepath.Join(n.backupDir(), base+".tar.gz"), buf.Bytes(), 0o600)
	}
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	v, err := n.backupView(base + ".tar.gz")
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return ok(v)
}

func (n *Node) dataFiles(r *Req) Res {
	names, err := filepath.Glob(filepath.Join(n.backupDir(), "*.tar.gz"))
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	slices.Sort(names)
	slices.Reverse(names) // the newest first
	list := []any{}
	for _, name := range names {
		if v, err := n.backupView(filepath.Base(name)); err == nil {
			list = append(list, v)
		}
	}
	return paged(r, list, true)
}

func (n *Node) backupFile(name string) (string, bool) {
	if name == "" || name != filepath.Base(name) || !strings.HasSuffix(name, ".tar.gz") {
		return "", false
	}
	path := filepath.Join(n.backupDir(), name)
	_, err := os.Stat(path)
	return path, err == nil
}

// uploadData takes a backup as a form with the field "filename" (read, not recorded).
func (n *Node) uploadData(r *Req) Res {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return badRequest("Missing required parameter: filename")
	}
	form, err := multipart.NewReader(bytes.NewReader(r.raw), params["boundary"]).ReadForm(64 << 20)
	if err != nil || len(form.File["filename"]) != 1 {
		return badRequest("Missing required parameter: filename")
	}
	head := form.File["filename"][0]
	if head.Filename != filepath.Base(head.Filename) || !strings.HasSuffix(head.Filename, ".tar.gz") {
		return badRequest("bad backup file name")
	}
	file, err := head.Open()
	if err != nil {
		return badRequest(err.Error())
	}
	defer func() { _ = file.Close() }()
	body, err := io.ReadAll(file)
	if err == nil {
		if _, bad := gzip.NewReader(bytes.NewReader(body)); bad != nil {
			return badRequest("bad backup file")
		}
		err = errors.Join(os.MkdirAll(n.backupDir(), 0o755), os.WriteFile(filepath.Join(n.backupDir(), head.Filename), body, 0o600))
	}
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return status(204)
}

func (n *Node) downloadData(r *Req) Res {
	path, found := n.backupFile(r.path[0])
	if !found {
		return fail(404, "NOT_FOUND", "File not found")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return Res{http.StatusOK, string(raw), "application/octet-stream"}
}

func (n *Node) deleteData(r *Req) Res {
	path, found := n.backupFile(r.path[0])
	if !found {
		return fail(404, "NOT_FOUND", "File not found")
	}
	if err := os.Remove(path); err != nil {
		return fail(500, "INTERNAL_ERROR", err.Error())
	}
	return status(204)
}

// importData merges a backup: nothing is deleted.
func (n *Node) importData(r *Req) Res {
	v, err := n.body(r, "/data/import", "post", "filename")
	if err != nil {
		return badRequest(err.Error())
	}
	path, found := n.backupFile(asStr(asMap(v)["filename"]))
	if !found {
		return badRequest("backup file not found")
	}
	if err := n.restore(path); err != nil {
		return badRequest(err.Error())
	}
	return status(204)
}

func (n *Node) restore(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	gz, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(h.Name, "/cluster.hocon"):
			part, err := ParseHocon(string(body), "")
			if err != nil {
				return err
			}
			if err := n.cfg.Merge(part); err != nil {
				return err
			}
			if res := n.applyConf(part); res.status != 200 {
				return fmt.Errorf("%s", asMap(res.body)["message"])
			}
		case strings.HasSuffix(h.Name, "/standin.json"):
			if err := n.store.merge(body); err != nil {
				return err
			}
		}
	}
}
