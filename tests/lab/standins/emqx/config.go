package main

// The configuration and its layers. EMQX's precedence is kept:
// base.hocon < data/configs/cluster.hocon < emqx.conf < environment. What the API changes goes into
// cluster.hocon and is live at once, but comes back to emqx.conf's value at the next start.

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config holds the layers that can change while the node runs.
type Config struct {
	mu      sync.RWMutex
	live    Map // what is in force
	cluster Map // what is written to cluster.hocon
	etcDir  string
	dataDir string
	logDir  string
	ver     *Version
}

// knownRoots are the root keys that EMQX 5.x (open source) has; any other is refused.
var knownRoots = strings.Fields(`actions alarm api_key authentication authorization auto_subscribe
	bridges broker cluster conn_congestion connectors crl_cache dashboard delayed durable_sessions
	durable_storage event_message exhook flapping_detect force_gc force_shutdown gateway limiter
	listeners log mqtt node opentelemetry overload_protection persistent_session_store plugins
	prometheus psk_authentication rate_limit retainer rewrite rpc rule_engine session_persistence
	slow_subs sources stats sys_topics sysmon telemetry topic_metrics trace zones`)

// LoadConfig reads the four layers. It does not judge what is in them: see CheckConfig.
func LoadConfig(ver *Version) (*Config, error) {
	c := &Config{ver: ver, etcDir: defaultDir("EMQX_ETC_DIR", "/etc/emqx", "/opt/emqx/etc"),
		dataDir: defaultDir("EMQX_DATA_DIR", "/var/lib/emqx", "/opt/emqx/data"),
		logDir:  defaultDir("EMQX_LOG_DIR", "/var/log/emqx", "/opt/emqx/log")}
	conf := filepath.Join(c.etcDir, "emqx.conf")
	file, err := readHocon(conf)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return nil, fmt.Errorf("emqx.conf is not found in %s", c.etcDir)
	}
	base, err := readHocon(filepath.Join(c.etcDir, "base.hocon"))
	if err != nil {
		return nil, err
	}
	env := envLayer(os.Environ())
	// node.data_dir says where cluster.hocon is, so it is looked up before that layer is read
	for _, layer := range []Map{env, file, base} {
		if dir, ok := getPath(layer, []string{"node", "data_dir"}).(string); ok && dir != "" {
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(c.etcDir, "..", dir)
			}
			c.dataDir = dir
			break
		}
	}
	if c.cluster, err = readHocon(c.clusterFile()); err != nil {
		return nil, err
	}
	if c.cluster == nil {
		c.cluster = Map{}
	}
	c.live = Map{}
	for _, layer := range []Map{base, c.cluster, file, env} {
		mergeInto(c.live, layer)
	}
	return c, nil
}

func defaultDir(env string, dirs ...string) string {
	if d := os.Getenv(env); d != "" {
		return d
	}
	for _, d := range dirs {
		if st, err := os.Stat(d); err == nil && st.IsDir() {
			return d
		}
	}
	return dirs[0]
}

func readHocon(path string) (Map, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	m, err := ParseHocon(string(text), filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// envLayer turns EMQX_A__B=value into a.b = value; a value that is no HOCON is a text.
func envLayer(environ []string) Map {
	layer := Map{}
	slices.Sort(environ)
	for _, line := range environ {
		name, val, _ := strings.Cut(line, "=")
		key, ok := strings.CutPrefix(name, "EMQX_")
		if !ok || !strings.Contains(key, "__") {
			continue // EMQX_ETC_DIR and the like are no configuration
		}
		path := strings.Split(strings.ToLower(key), "__")
		if !slices.Contains(knownRoots, path[0]) {
			continue
		}
		v, err := ParseHoconValue(val)
		if err != nil {
			v = val
		}
		hoconSet(layer, path, v)
	}
	return layer
}

func (c *Config) clusterFile() string { return filepath.Join(c.dataDir, "configs", "cluster.hocon") }

// expand resolves the variables that EMQX allows in paths of files.
func (c *Config) expand(path string) string {
	r := strings.NewReplacer("${EMQX_ETC_DIR}", c.etcDir, "${EMQX_DATA_DIR}", c.dataDir, "${EMQX_LOG_DIR}", c.logDir)
	path = r.Replace(path)
	if rest, ok := strings.CutPrefix(path, "data/"); ok {
		return filepath.Join(c.dataDir, rest)
	}
	if rest, ok := strings.CutPrefix(path, "etc/"); ok {
		return filepath.Join(c.etcDir, rest)
	}
	return path
}

// Get returns a copy of what stands at a dotted path, nil when nothing does.
func (c *Config) Get(path string) any { return c.GetPath(strings.Split(path, ".")...) }

func (c *Config) GetPath(path ...string) any {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return clone(getPath(c.live, path))
}

func (c *Config) GetMap(path ...string) Map {
	if m, ok := c.GetPath(path...).(Map); ok {
		return m
	}
	return Map{}
}

func (c *Config) Str(path, def string) string {
	switch v := c.Get(path).(type) {
	case nil:
		return def
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

func (c *Config) Bool(path string, def bool) bool { return asBool(c.Get(path), def) }

func (c *Config) Int(path string, def int) int { return asInt(c.Get(path), def) }

func (c *Config) Duration(path string, def time.Duration) time.Duration {
	return asDuration(c.Get(path), def)
}

func (c *Config) Bytes(path string, def int) int { return asBytes(c.Get(path), def) }

// Set changes the live value and cluster.hocon; a nil value deletes.
func (c *Config) Set(val any, path ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range []Map{c.live, c.cluster} {
		if val == nil {
			deletePath(m, path)
			continue
		}
		into := m
		for _, k := range path[:len(path)-1] {
			next, ok := into[k].(Map)
			if !ok {
				next = Map{}
				into[k] = next
			}
			into = next
		}
		into[path[len(path)-1]] = clone(val)
	}
	return c.save()
}

// Merge merges a partial configuration into the live one and cluster.hocon.
func (c *Config) Merge(part Map) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	mergeInto(c.live, part)
	mergeInto(c.cluster, part)
	return c.save()
}

// save writes cluster.hocon. As EMQX does, every write leaves what stood there before as
// cluster.hocon.<time>.bak, also when nothing changed, and the ten newest are kept.
func (c *Config) save() error {
	file := c.clusterFile()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, []byte(WriteHocon(c.cluster, c.ver.QuoteDigits)), 0o644); err != nil {
		return err
	}
	if _, err := os.Stat(file); err == nil {
		now := time.Now()
		stamp := now.Format("2006.01.02.15.04.05") + fmt.Sprintf(".%03d", now.Nanosecond()/1e6)
		if err := os.Rename(file, file+"."+stamp+".bak"); err != nil {
			return err
		}
		if old, err := filepath.Glob(file + ".*.bak"); err == nil && len(old) > 10 {
			slices.Sort(old)
			for _, f := range old[:len(old)-10] {
				_ = os.Remove(f)
			}
		}
	}
	return os.Rename(tmp, file)
}

func (c *Config) NodeName() string { return c.Str("node.name", "emqx@127.0.0.1") }

func (c *Config) stateDir() string { return filepath.Join(c.dataDir, "mnesia", c.NodeName()) }

// Secret resolves EMQX's "file:///path" form. A trailing line end does no harm.
func Secret(v string) (string, error) {
	path, ok := strings.CutPrefix(v, "file://")
	if !ok {
		return v, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("failed to read the secret's file: %w", err.(*fs.PathError).Err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// --- values ---------------------------------------------------------------------------------------

func asBool(v any, def bool) bool {
	switch t := v.(type) {
	case bool:
		return t
	case string:
		if t == "true" || t == "false" {
			return t == "true"
		}
	}
	return def
}

func asInt(v any, def int) int {
	switch t := v.(type) {
	case int64:
		return int(t)
	case int:
		return t
	case float64:
		return int(t)
	case string:
		if n, err := strconv.Atoi(t); err == nil {
			return n
		}
	}
	return def
}

var durationUnits = map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute,
	"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}

// asDuration reads "2h", "1h30m", "500ms" or a number of milliseconds; infinity is -1.
func asDuration(v any, def time.Duration) time.Duration {
	switch t := v.(type) {
	case int64:
		return time.Duration(t) * time.Millisecond
	case string:
		if t == "infinity" {
			return -1
		}
		if n, err := strconv.ParseInt(t, 10, 64); err == nil {
			return time.Duration(n) * time.Millisecond
		}
		var sum time.Duration
		rest := strings.ToLower(strings.TrimSpace(t))
		for rest != "" {
			i := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
			if i <= 0 {
				return def
			}
			n, err := strconv.ParseFloat(rest[:i], 64)
			if err != nil {
				return def
			}
			rest = rest[i:]
			j := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' })
			if j < 0 {
				j = len(rest)
			}
			unit, ok := durationUnits[strings.TrimSpace(rest[:j])]
			if !ok {
				return def
			}
			sum += time.Duration(n * float64(unit))
			rest = rest[j:]
		}
		return sum
	}
	return def
}

func asBytes(v any, def int) int {
	switch t := v.(type) {
	case int64:
		return int(t)
	case string:
		s := strings.ToUpper(strings.TrimSpace(t))
		if s == "INFINITY" {
			return -1
		}
		for unit, factor := range map[string]int{"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30} {
			if n, ok := strings.CutSuffix(s, unit); ok {
				if f, err := strconv.ParseFloat(n, 64); err == nil {
					return int(f * float64(factor))
				}
			}
		}
		if n, err := strconv.Atoi(strings.TrimSuffix(s, "B")); err == nil {
			return n
		}
	}
	return def
}

func asStr(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	}
	return fmt.Sprint(v)
}

func asList(v any) []any {
	l, _ := v.([]any)
	return l
}

func asMap(v any) Map {
	m, _ := v.(Map)
	if m == nil {
		return Map{}
	}
	return m
}
