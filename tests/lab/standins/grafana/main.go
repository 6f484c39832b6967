// Copyright: (c) 2026, edgestack.iot contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command grafana is the lab's stand-in for Grafana: the command line, the files, the ports and the HTTP API that
// the collection uses, answered as a recorded server answered (tests/contracts/grafana). Data comes from the real
// InfluxDB that the data source names. It is no Grafana and says so wherever the recorded shapes leave room for it.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// release is the version whose place the stand-in takes; the build sets it with -ldflags "-X main.release=...".
var release = "12.4.0"

func version() string { return release + "-stand-in" }

// flags are the few options that the server and the command line client share.
type flags struct {
	homepath, config, pidfile string
	overrides                 []string // "default.paths.data=/var/lib/grafana" or "server.http_port=3000"
	words                     []string // everything that is no option
	options                   map[string]string
}

func parseFlags(args []string) flags {
	parsed := flags{homepath: "/usr/share/grafana", options: map[string]string{}}
	valued := map[string]bool{"homepath": true, "config": true, "pidfile": true, "packaging": true,
		"configOverrides": true, "user-id": true, "pluginsDir": true}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if override, ok := strings.CutPrefix(arg, "cfg:"); ok {
			parsed.overrides = append(parsed.overrides, override)
			continue
		}
		if !strings.HasPrefix(arg, "-") {
			parsed.words = append(parsed.words, arg)
			continue
		}
		name, value, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !given && valued[name] && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch name {
		case "homepath":
			parsed.homepath = value
		case "config":
			parsed.config = value
		case "pidfile":
			parsed.pidfile = value
		case "configOverrides":
			for _, override := range strings.Fields(value) {
				parsed.overrides = append(parsed.overrides, strings.TrimPrefix(override, "cfg:"))
			}
		default:
			parsed.options[name] = value
		}
	}
	return parsed
}

func main() {
	if err := run(filepath.Base(os.Args[0]), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "Error: ✗", err)
		os.Exit(1)
	}
}

func run(program string, args []string, stdin io.Reader, stdout io.Writer) error {
	command := ""
	switch program {
	case "grafana-server":
		command = "server"
	case "grafana-cli":
		command = "cli"
	default:
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			command, args = args[0], args[1:]
		}
	}
	parsed := parseFlags(args)
	for _, name := range []string{"v", "version", "vv"} {
		if _, asked := parsed.options[name]; asked {
			_, err := fmt.Fprintf(stdout, "grafana version %s\n", version())
			return err
		}
	}
	switch command {
	case "server":
		return serve(parsed)
	case "cli":
		return client(parsed, stdin, stdout)
	case "":
		_, err := fmt.Fprintln(stdout, "grafana stand-in: server | cli admin reset-admin-password [--password-from-stdin]")
		return err
	}
	return fmt.Errorf("no help topic for %q", command)
}

// client is the part of `grafana cli` that the collection uses. As in Grafana it writes to the database beside a
// running server, which sees the change at once, and it does not lift a lock-out.
func client(parsed flags, stdin io.Reader, stdout io.Writer) error {
	words := strings.Join(parsed.words, " ")
	if words == "plugins ls" {
		_, err := fmt.Fprintln(stdout, "installed plugins:")
		return err
	}
	rest, ok := strings.CutPrefix(words, "admin reset-admin-password")
	if !ok {
		return fmt.Errorf("the stand-in has no such command: cli %s", words)
	}
	password := strings.TrimSpace(rest)
	if _, asked := parsed.options["password-from-stdin"]; asked {
		_, _ = fmt.Fprintln(stdout, "New Password: ")
		line, err := bufio.NewReader(stdin).ReadString('\n')
		if err != nil && (!errors.Is(err, io.EOF) || line == "") {
			return fmt.Errorf("can't read password from stdin: %w", err)
		}
		password = strings.TrimRight(line, "\r\n")
	}
	if len(password) <= 4 {
		return errors.New("new password is too short")
	}
	configuration, err := loadSettings(parsed)
	if err != nil {
		return err
	}
	id := int64(1)
	if text, given := parsed.options["user-id"]; given {
		if id, err = strconv.ParseInt(text, 10, 64); err != nil {
			return fmt.Errorf("user-id: %w", err)
		}
	}
	store, err := openStore(configuration)
	if err != nil {
		return err
	}
	err = store.update(func(state *state) error {
		found := state.userByID(id)
		if found == nil {
			return fmt.Errorf("could not read user (id: %d) from database. Error: user not found", id)
		}
		found.setPassword(password)
		return nil
	})
	if err == nil {
		_, err = fmt.Fprintln(stdout, "\nAdmin password changed successfully ✔")
	}
	return err
}

func serve(parsed flags) error {
	configuration, err := loadSettings(parsed)
	if err != nil {
		return err
	}
	logger, err := openLog(configuration)
	if err != nil {
		return err
	}
	logger.info("Starting Grafana", "logger", "settings", "version", version(), "commit", "stand-in",
		"note", "this is the lab's stand-in, not Grafana")
	if parsed.pidfile != "" {
		if err := os.WriteFile(parsed.pidfile, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return err
		}
	}
	server, err := newServer(configuration, logger)
	if err != nil {
		logger.error("Failed to start", "error", err.Error())
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return server.run(ctx, func() { notifySystemd("READY=1") })
}

// notifySystemd tells a service manager that started the process with Type=notify.
func notifySystemd(message string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	connection, err := net.DialTimeout("unixgram", path, time.Second)
	if err != nil {
		return
	}
	defer func() { _ = connection.Close() }()
	_, _ = connection.Write([]byte(message))
}
