// Command emqx-standin takes the place of EMQX in the test lab: real MQTT 3.1.1 and 5, EMQX's REST
// API as recorded, its configuration files and its queue limits. It is not EMQX and says so.
//
// Installed as /usr/bin/emqx (and emqx_ctl) it answers `emqx foreground`, `check_config`, `ctl ...`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
)

const usage = `EMQX ` + standIn + ` of the test lab (not EMQX)

Usage: emqx [--compat VERSION] COMMAND
  foreground | start        run the node in the foreground
  check_config              judge base.hocon, cluster.hocon, emqx.conf and EMQX_* of the environment
  ctl COMMAND               talk to the running node (also as emqx_ctl COMMAND): status, admins,
                            listeners, clients, broker, api_keys, data, authz
  ping                      is the node running?
  version                   what this is

--compat 5.3.0 (or EMQX_STANDIN_COMPAT) answers as that version; the default is 5.8.9.
Directories: EMQX_ETC_DIR, EMQX_DATA_DIR, EMQX_LOG_DIR (default /etc/emqx, /var/lib/emqx, /var/log/emqx,
or those under /opt/emqx when these are not there).
`

func main() {
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "emqx_ctl" {
		args = append([]string{"ctl"}, args...)
	}
	compat := os.Getenv("EMQX_STANDIN_COMPAT")
	if len(args) > 1 && args[0] == "--compat" {
		compat, args = args[1], args[2:]
	}
	if compat == "" {
		compat = "5.8.9"
	}
	ver, err := NewVersion(compat)
	if err != nil {
		die(err)
	}
	command := "help"
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "foreground", "start", "console":
		if len(args) == 3 && args[1] == "--compat" {
			if ver, err = NewVersion(args[2]); err != nil {
				die(err)
			}
		}
		if err := run(ver); err != nil {
			logf("critical", "msg: boot_failed, reason: %v", err)
			die(err)
		}
	case "check_config":
		cfg, err := LoadConfig(ver)
		if err == nil {
			err = CheckConfig(cfg)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "ERROR: check_config failed: %v\n", err)
			os.Exit(1)
		}
		fmt.Println("ok")
	case "ctl":
		os.Exit(ctl(ver, args[1:]))
	case "ping":
		os.Exit(ctl(ver, []string{"ping"}))
	case "version", "--version":
		fmt.Printf("%s (%s of the test lab, not EMQX; %s)\n", ver.Number, standIn, runtime.Version())
	case "help", "--help", "-h":
		fmt.Print(usage)
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(1)
	}
}

func die(err error) {
	fmt.Fprintf(os.Stderr, "ERROR: %v\n", err)
	os.Exit(1)
}

// run is the node's life.
func run(ver *Version) error {
	debug.SetGCPercent(200)
	cfg, err := LoadConfig(ver)
	if err != nil {
		return err
	}
	if err := CheckConfig(cfg); err != nil {
		return err
	}
	if err := setupLog(cfg); err != nil {
		return err
	}
	announce("msg: this_is_a_%s, EMQX %s is imitated for a test lab, this is not EMQX", standIn, ver.Number)
	n, err := NewNode(cfg)
	if err != nil {
		return err
	}
	// the API last: who gets an answer from /status may count on the MQTT listeners
	if err := n.listeners.StartAll(); err != nil {
		return err
	}
	if err := n.serveCtl(); err != nil {
		return err
	}
	if err := n.StartAPI(); err != nil {
		return err
	}
	announce("EMQX %s is running now! (%s)", ver.Number, standIn)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	<-ctx.Done()
	for _, id := range n.listeners.IDs() {
		n.listeners.Stop(id, false)
	}
	for _, s := range n.broker.Sessions() { // in-memory sessions end with the node
		n.broker.close(s, shuttingDown)
	}
	_ = os.Remove(cfg.ctlSocket())
	announce("msg: stopped (%s)", standIn)
	return nil
}

// NewNode builds the node out of its parts.
func NewNode(cfg *Config) (*Node, error) {
	store, err := OpenStore(cfg.stateDir())
	if err != nil {
		return nil, err
	}
	m := NewMetrics(cfg.ver)
	n := &Node{cfg: cfg, ver: cfg.ver, m: m, store: store, bridges: NewBridges(), tokens: map[string]token{}}
	if n.auth, err = NewAuth(cfg, m, store); err != nil {
		return nil, fmt.Errorf("authorization: %w", err)
	}
	n.broker = NewBroker(cfg, m, store)
	n.broker.auth = n.auth
	if err := n.broker.openJournal(filepath.Join(cfg.dataDir, "ds")); err != nil {
		return nil, fmt.Errorf("durable_sessions: %w", err)
	}
	n.listeners = NewListeners(n.broker, cfg)
	if cfg.ver.RetainSysTopics {
		n.broker.retainSys()
	}
	n.nodeRoutes()
	n.adminRoutes()
	n.authRoutes()
	n.mqttRoutes()
	n.bridgeRoutes()
	return n, n.seed()
}

// seed makes the default user when there is none, and loads the keys of the bootstrap file.
func (n *Node) seed() error {
	name := n.cfg.Str("dashboard.default_username", "admin")
	if n.store.User(name) == nil {
		password, err := Secret(n.cfg.Str("dashboard.default_password", "public"))
		if err != nil {
			return fmt.Errorf("dashboard.default_password: %w", err)
		}
		if err := n.store.SetPassword(name, password, "administrator"); err != nil {
			return err
		}
	}
	file := n.cfg.expand(n.cfg.Str("api_key.bootstrap_file", ""))
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		logf("error", "msg: init_bootstrap_apikeys_from_file_failed, file: %s, reason: %v", file, err)
		return nil // the node starts without them, as EMQX does
	} else if err != nil {
		return err
	}
	if err := n.store.Bootstrap(string(text)); err != nil {
		logf("error", "msg: bootstrap_apikeys_failed, file: %s, reason: %v", file, err)
	}
	return nil
}
