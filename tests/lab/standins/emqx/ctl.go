package main

// `emqx ctl`: a socket in the data directory instead of Erlang's distribution. As with EMQX, the exit
// status is 0 also when a command fails; only a node that does not answer gives 1.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func (c *Config) ctlSocket() string { return filepath.Join(c.dataDir, "ctl.sock") }

// ctl is the client's side.
func ctl(ver *Version, args []string) int {
	cfg, err := LoadConfig(ver)
	if err != nil {
		fmt.Fprintf(os.Stderr, "ERROR: %v\n", err)
		return 1
	}
	nc, err := net.DialTimeout("unix", cfg.ctlSocket(), 5*time.Second)
	if err != nil {
		fmt.Printf("Node '%s' not responding to pings.\n", cfg.NodeName())
		return 1
	}
	defer func() { _ = nc.Close() }()
	if err := json.NewEncoder(nc).Encode(args); err != nil {
		fmt.Fprintf(os.Stderr, "ERROR: %v\n", err)
		return 1
	}
	sc := bufio.NewScanner(nc)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		fmt.Println(sc.Text())
	}
	return 0
}

// serveCtl is the node's side. The socket is the owner's alone: who may write to it rules the node.
func (n *Node) serveCtl() error {
	path := n.cfg.ctlSocket()
	_ = os.Remove(path)
	ln, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = nc.Close() }()
				_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
				var args []string
				if json.NewDecoder(nc).Decode(&args) == nil {
					_, _ = nc.Write([]byte(n.command(args)))
				}
			}()
		}
	}()
	return nil
}

func lines(list ...string) string { return strings.Join(list, "\n") + "\n" }

// command runs one and gives what is printed.
func (n *Node) command(args []string) string {
	at := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch at(0) + " " + at(1) {
	case "ping ":
		return "pong\n"
	case "status ":
		return lines(fmt.Sprintf("Node '%s' %s is started (%s)", n.cfg.NodeName(), n.ver.Number, standIn))
	case "broker ":
		return lines("sysdescr  : EMQX "+standIn, "version   : "+n.ver.Number, "datetime  : "+now(),
			"uptime    : "+time.Since(n.m.started).Round(time.Second).String())
	case "admins list":
		out := ""
		for _, u := range n.store.Users {
			out += u.Name + "\n"
		}
		return out
	case "admins add", "admins passwd":
		return n.ctlAdmins(at(1), at(2), at(3), at(4))
	case "admins del":
		u := n.store.User(at(2))
		if u == nil {
			return "Error: username_not_found\n"
		}
		if err := n.store.change(func() {
			for i, e := range n.store.Users {
				if e == u {
					n.store.Users = append(n.store.Users[:i:i], n.store.Users[i+1:]...)
					break
				}
			}
		}); err != nil {
			return "Error: " + err.Error() + "\n"
		}
		n.dropTokens(u.Name)
		return "ok\n"
	case "api_keys list":
		out := ""
		for _, k := range n.store.Keys {
			out += fmt.Sprintf("%s: %s enable: %v expired_at: %s\n", k.Name, k.Key, k.Enable, k.ExpiredAt)
		}
		return out
	case "listeners ":
		return n.ctlListeners()
	case "listeners start", "listeners stop", "listeners restart":
		if n.listenerConf(at(2)) == nil {
			return "Failed to " + at(1) + " " + at(2) + " listener: not_found\n"
		}
		if res := n.operateListener(at(1))(&Req{path: []string{at(2)}}); res.status != 200 {
			return fmt.Sprintf("Failed to %s %s listener: %v\n", at(1), at(2), asMap(res.body)["message"])
		}
		return map[string]string{"start": "Started", "stop": "Stop", "restart": "Restarted"}[at(1)] + " " + at(2) + " listener successfully.\n"
	case "clients list":
		out := ""
		for _, s := range n.broker.Sessions() {
			out += n.ctlClient(s)
		}
		return out
	case "clients show":
		if s := n.broker.Session(at(2)); s != nil {
			return n.ctlClient(s)
		}
		return "Not Found.\n"
	case "clients kick":
		if n.broker.Kick(at(2)) {
			return "ok\n"
		}
		return "Not Found.\n"
	case "authz cache-clean":
		n.auth.CleanCache()
		return "Authorization cache drain started on all nodes\n"
	case "data export":
		if res := n.exportData(nil); res.status == 200 {
			return fmt.Sprintf("Data has been successfully exported to %s.\n", filepath.Join(n.backupDir(), asStr(asMap(res.body)["filename"])))
		} else {
			return fmt.Sprintf("Error: %v\n", asMap(res.body)["message"])
		}
	case "data import":
		if err := n.restore(at(2)); err != nil {
			return "Error: " + err.Error() + "\n"
		}
		return "Data has been imported successfully.\n"
	}
	return "Usage: status | broker | admins list|add|passwd|del | api_keys list | listeners [start|stop|restart ID] |\n" +
		"       clients list|show|kick ID | authz cache-clean all | data export|import (" + standIn + ")\n"
}

func (n *Node) ctlAdmins(verb, name, password, description string) string {
	exists := n.store.User(name) != nil
	switch {
	case verb == "add" && exists:
		return "Error: <<\"" + n.ver.UserExists + "\">>\n"
	case verb == "passwd" && !exists:
		return "Error: <<\"username_not_found\">>\n"
	}
	if err := passwordPolicy(password); err != nil {
		return "Error: <<\"" + err.Error() + "\">>\n"
	}
	if err := n.store.SetPassword(name, password, description); err != nil {
		return "Error: " + err.Error() + "\n"
	}
	n.dropTokens(name)
	return "ok\n"
}

func (n *Node) ctlListeners() string {
	out := ""
	for _, id := range n.listeners.IDs() {
		conf := n.listenerConf(id)
		state, running := n.listenerState(id)
		out += lines(id, "  listen_on       : "+asStr(conf["bind"]), "  acceptors       : "+asStr(conf["acceptors"]),
			"  proxy_protocol  : "+asStr(conf["proxy_protocol"]), "  enable          : "+asStr(conf["enable"]),
			fmt.Sprintf("  running         : %v", running), fmt.Sprintf("  current_conn    : %v", state["current_connections"]),
			"  max_conns       : "+asStr(state["max_connections"]))
	}
	return out
}

func (n *Node) ctlClient(s *Session) string {
	v := n.clientView(s)
	return fmt.Sprintf("Client(%s, username=%v, peername=%v:%v, clean_start=%v, keepalive=%v, session_expiry_interval=%v, "+
		"subscriptions=%v, inflight=%v, awaiting_rel=%v, delivered_msgs=%v, enqueued_msgs=%v, dropped_msgs=%v, connected=%v)\n",
		s.ClientID, v["username"], v["ip_address"], v["port"], v["clean_start"], v["keepalive"], v["expiry_interval"],
		v["subscriptions_cnt"], v["inflight_cnt"], v["awaiting_rel_cnt"], v["send_msg"], v["mqueue_len"], v["mqueue_dropped"], v["connected"])
}
