package main

// MQTT listeners: tcp, ssl, ws and wss. quic can be configured and shown, but never runs.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

var listenerTypes = []string{"quic", "ssl", "tcp", "ws", "wss"}

var defaultBinds = map[string]string{"tcp": "0.0.0.0:1883", "ssl": "0.0.0.0:8883", "ws": "0.0.0.0:8083", "wss": "0.0.0.0:8084"}

// Listener is a running (or stopped) listener.
type Listener struct {
	ID, Type, Name string
	Conf           Map
	mu             sync.Mutex // guards the next two
	ln             net.Listener
	http           *http.Server
	conns          atomic.Int64
	open           sync.Map // net.Conn -> nothing
}

func (l *Listener) authn() bool { return asBool(l.Conf["enable_authn"], true) }

// Listeners is the set of them.
type Listeners struct {
	b   *Broker
	cfg *Config
	crl *crlCache
	mu  sync.Mutex
	all map[string]*Listener
}

func NewListeners(b *Broker, cfg *Config) *Listeners {
	return &Listeners{b: b, cfg: cfg, crl: newCRLCache(cfg), all: map[string]*Listener{}}
}

// Conf is a listener's configuration with what EMQX fills in; nil: there is none.
func (ls *Listeners) Conf(kind, name string) Map {
	conf, ok := ls.cfg.GetPath("listeners", kind, name).(Map)
	if !ok {
		if name != "default" || defaultBinds[kind] == "" {
			return nil
		}
		conf = Map{} // the default listeners always exist
	}
	if conf["bind"] == nil && name == "default" {
		conf["bind"] = defaultBinds[kind]
	}
	schema, _ := ls.cfg.ver.Schemas.Named("listeners." + kind + "_required_bind")
	conf = ls.cfg.ver.Schemas.defaults(schema, conf)
	for _, k := range []string{"id", "name", "running", "current_connections", "type", "authentication"} {
		delete(conf, k)
	}
	return conf
}

// IDs lists the configured listeners and the default ones, sorted.
func (ls *Listeners) IDs() []string {
	seen := map[string]bool{}
	for kind := range defaultBinds {
		seen[kind+":default"] = true
	}
	for kind, names := range ls.cfg.GetMap("listeners") {
		for name, conf := range asMap(names) {
			if _, ok := conf.(Map); ok {
				seen[kind+":"+name] = true
			}
		}
	}
	return sortedKeys(seen)
}

// StartAll starts what is enabled. One that cannot start ends the boot, as in EMQX.
func (ls *Listeners) StartAll() error {
	for _, id := range ls.IDs() {
		kind, name, _ := strings.Cut(id, ":")
		if err := ls.Apply(kind, name); err != nil {
			return fmt.Errorf("listener %s: %w", id, err)
		}
	}
	return nil
}

// Apply makes the running listener be what is configured.
func (ls *Listeners) Apply(kind, name string) error {
	conf := ls.Conf(kind, name)
	ls.Stop(kind+":"+name, true)
	if conf == nil {
		ls.mu.Lock()
		delete(ls.all, kind+":"+name)
		ls.mu.Unlock()
		return nil
	}
	l := &Listener{ID: kind + ":" + name, Type: kind, Name: name, Conf: conf}
	ls.mu.Lock()
	ls.all[l.ID] = l
	ls.mu.Unlock()
	if !asBool(conf["enable"], true) {
		return nil
	}
	return ls.start(l)
}

func (ls *Listeners) Get(id string) *Listener {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.all[id]
}

func (l *Listener) Running() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ln != nil
}

func (ls *Listeners) Start(id string) error {
	l := ls.Get(id)
	if l == nil || l.Running() {
		return nil
	}
	return ls.start(l)
}

// errInUse carries what EMQX says of a port that is taken.
type errInUse struct{ where string }

func (e *errInUse) Error() string { return e.where + ": address already in use" }

func (ls *Listeners) start(l *Listener) error {
	if l.Type == "quic" {
		return errors.New("built without QUIC")
	}
	bind := asStr(l.Conf["bind"])
	addr, err := parseBind(bind)
	if err != nil {
		return err
	}
	var tlsConf *tls.Config
	if l.Type == "ssl" || l.Type == "wss" {
		if tlsConf, err = ls.serverTLS(asMap(l.Conf["ssl_options"])); err != nil {
			return err
		}
	}
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return &errInUse{fmt.Sprintf("%s(%s)", l.ID, bind)}
	} else if err != nil {
		return err
	}
	if tlsConf != nil {
		ln = tls.NewListener(ln, tlsConf)
	}
	l.mu.Lock()
	l.ln = ln
	if l.Type == "ws" || l.Type == "wss" {
		l.http = ls.websocketServer(l)
		go func(srv *http.Server) { _ = srv.Serve(ln) }(l.http)
	} else {
		go ls.accept(l, ln)
	}
	l.mu.Unlock()
	logf("notice", "msg: listener_started, listener: %s, bind: %s", l.ID, bind)
	return nil
}

func (ls *Listeners) accept(l *Listener, ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			time.Sleep(50 * time.Millisecond) // out of descriptors: EMQX's acceptor waits, too
			continue
		}
		go ls.handle(l, nc)
	}
}

func (ls *Listeners) handle(l *Listener, nc net.Conn) {
	if limit := asInt(l.Conf["max_connections"], 0); limit > 0 && l.conns.Load() >= int64(limit) {
		_ = nc.Close()
		return
	}
	l.conns.Add(1)
	l.open.Store(nc, true)
	defer func() {
		l.open.Delete(nc)
		l.conns.Add(-1)
	}()
	ls.b.serve(nc, l)
}

// Stop closes a listener; with drop also the connections that came through it.
func (ls *Listeners) Stop(id string, drop bool) {
	l := ls.Get(id)
	if l == nil || !l.Running() {
		return
	}
	l.mu.Lock()
	if l.http != nil {
		_ = l.http.Close()
		l.http = nil
	}
	if l.ln != nil {
		_ = l.ln.Close()
		l.ln = nil
	}
	l.mu.Unlock()
	if drop {
		l.open.Range(func(k, _ any) bool {
			_ = k.(net.Conn).Close()
			return true
		})
	}
}

// --- TLS --------------------------------------------------------------------------------------------

// errPEM names the file that is missing or is no PEM.
type errPEM struct{ option, path string }

func (e *errPEM) Error() string { return fmt.Sprintf("%s: cannot use %s", e.option, e.path) }

// tlsFiles reads the three files; they are looked at again when one of them has changed, so that a
// renewed certificate is used without a restart.
type tlsFiles struct {
	mu    sync.Mutex
	stamp string
	conf  *tls.Config
}

func (ls *Listeners) serverTLS(ssl Map) (*tls.Config, error) {
	files := &tlsFiles{}
	if _, err := files.load(ls, ssl); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		conf, err := files.load(ls, ssl)
		if err != nil {
			logf("error", "msg: tls_files_unusable, reason: %v", err)
		}
		return conf, nil
	}}, nil
}

func (f *tlsFiles) load(ls *Listeners, ssl Map) (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stamp := ""
	paths := map[string]string{}
	missing := ""
	for _, opt := range []string{"keyfile", "certfile", "cacertfile"} {
		raw := asStr(ssl[opt])
		paths[opt] = ls.cfg.expand(raw)
		if raw == "" {
			continue
		}
		st, err := os.Stat(paths[opt])
		if err != nil {
			if missing == "" {
				missing = opt
			}
			continue
		}
		stamp += fmt.Sprint(st.ModTime().UnixNano(), st.Size(), ";")
	}
	if f.conf != nil && stamp == f.stamp {
		return f.conf, nil
	}
	if missing != "" {
		if !strings.HasPrefix(asStr(ssl[missing]), "${EMQX_ETC_DIR}/certs/") {
			return f.conf, &errPEM{missing, paths[missing]}
		}
		// the package's own demonstration certificates are not there: make one up, once
		if f.conf == nil {
			pair, err := demoCertificate()
			if err != nil {
				return nil, err
			}
			logf("notice", "msg: demonstration_certificate_made_up, reason: %s is not there", paths[missing])
			f.conf = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
			f.stamp = stamp
		}
		return f.conf, nil
	}
	pair, err := tls.LoadX509KeyPair(paths["certfile"], paths["keyfile"])
	if err != nil {
		return f.conf, &errPEM{"certfile", paths["certfile"]}
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if versions := asList(ssl["versions"]); len(versions) > 0 {
		conf.MinVersion, conf.MaxVersion = tls.VersionTLS13, tls.VersionTLS12
		for _, v := range versions {
			switch asStr(v) {
			case "tlsv1.3":
				conf.MaxVersion = tls.VersionTLS13
			case "tlsv1.2":
				conf.MinVersion = tls.VersionTLS12
			}
		}
	}
	if ca := paths["cacertfile"]; ca != "" && asStr(ssl["verify"]) == "verify_peer" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return f.conf, &errPEM{"cacertfile", ca}
		}
		conf.ClientCAs = x509.NewCertPool()
		if !conf.ClientCAs.AppendCertsFromPEM(text) {
			return f.conf, &errPEM{"cacertfile", ca}
		}
		conf.ClientAuth = tls.VerifyClientCertIfGiven
		if asBool(ssl["fail_if_no_peer_cert"], false) {
			conf.ClientAuth = tls.RequireAndVerifyClientCert
		}
		if asBool(ssl["enable_crl_check"], false) {
			conf.VerifyConnection = ls.crl.check
		}
	}
	f.conf, f.stamp = conf, stamp
	return conf, nil
}

func demoCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "EMQX " + standIn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// --- WebSocket --------------------------------------------------------------------------------------

func (ls *Listeners) websocketServer(l *Listener) *http.Server {
	path := asStr(asMap(l.Conf["websocket"])["mqtt_path"])
	if path == "" {
		path = "/mqtt"
	}
	up := websocket.Upgrader{Subprotocols: []string{"mqtt", "mqttv3.1", "mqttv3.1.1", "mqttv5"},
		CheckOrigin: func(*http.Request) bool { return true }}
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		ls.handle(l, &wsConn{Conn: ws.UnderlyingConn(), ws: ws})
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: 15 * time.Second}
}

// wsConn reads and writes MQTT's bytes through a WebSocket's binary messages.
type wsConn struct {
	net.Conn
	ws *websocket.Conn
	r  io.Reader
}

func (c *wsConn) Read(b []byte) (int, error) {
	for {
		if c.r == nil {
			_, r, err := c.ws.NextReader()
			if err != nil {
				return 0, io.EOF
			}
			c.r = r
		}
		n, err := c.r.Read(b)
		if err == io.EOF {
			c.r = nil
			if n == 0 {
				continue
			}
			err = nil
		}
		return n, err
	}
}

func (c *wsConn) Write(b []byte) (int, error) {
	return len(b), c.ws.WriteMessage(websocket.BinaryMessage, b)
}

func maxFiles() int {
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) != nil || lim.Cur > 1<<30 {
		return 1 << 20
	}
	return int(lim.Cur)
}
