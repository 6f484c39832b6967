// Copyright: (c) 2026, edgestack.iot contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"gopkg.in/ini.v1"
)

// settings are section -> key -> value, merged as Grafana merges them: defaults, cfg:default.*, grafana.ini,
// GF_<SECTION>_<KEY>, cfg:*, and then $__env{}, ${} and $__file{} are replaced.
type settings map[string]map[string]string

func defaultSettings(homepath string) settings {
	return settings{
		"paths": {"data": filepath.Join(homepath, "data"), "logs": filepath.Join(homepath, "data", "log"),
			"plugins": filepath.Join(homepath, "data", "plugins"), "provisioning": filepath.Join(homepath, "conf", "provisioning")},
		"server": {"protocol": "http", "http_addr": "", "http_port": "3000", "domain": "localhost", "cert_file": "",
			"cert_key": "", "root_url": "", "min_tls_version": "TLS1.2"},
		"security": {"admin_user": "admin", "admin_password": "admin", "admin_email": "admin@localhost",
			"secret_key": "SW2YcwTIb9zpOOhoPsMm", "disable_initial_admin_creation": "false",
			"disable_brute_force_login_protection": "false", "cookie_secure": "false"},
		"users":              {"allow_sign_up": "false"},
		"auth":               {"disable_login_form": "false"},
		"auth.anonymous":     {"enabled": "false", "org_role": "Viewer"},
		"auth.basic":         {"enabled": "true"},
		"analytics":          {"reporting_enabled": "true", "check_for_updates": "true"},
		"metrics":            {"enabled": "true"},
		"log":                {"mode": "console file", "level": "info"},
		"unified_alerting":   {"enabled": "true", "min_interval": "10s"},
		"remote_cache":       {},
		"database":           {"type": "sqlite3"},
		"dashboards":         {"min_refresh_interval": "5s"},
		"feature_toggles":    {},
		"plugins":            {},
		"snapshots":          {"external_enabled": "true"},
		"news":               {"news_feed_enabled": "true"},
		"public_dashboards":  {"enabled": "true"},
		"users.verification": {},
	}
}

func (s settings) get(section, key string) string { return s[section][key] }

func (s settings) flag(section, key string) bool {
	switch strings.ToLower(s.get(section, key)) {
	case "1", "t", "true", "y", "yes", "on":
		return true
	}
	return false
}

func (s settings) set(section, key, value string) {
	if s[section] == nil {
		s[section] = map[string]string{}
	}
	s[section][key] = value
}

func (s settings) override(text string) error {
	name, value, ok := strings.Cut(text, "=")
	dot := strings.LastIndex(name, ".")
	if !ok || dot < 0 {
		return fmt.Errorf("cfg:%s is not cfg:section.key=value", name)
	}
	s.set(name[:dot], name[dot+1:], value)
	return nil
}

var variable = regexp.MustCompile(`\$(|__\w+){([^}]+)}`)

// expand replaces $__env{NAME}, ${NAME} and $__file{PATH} wherever they stand in a value.
func expand(text string) (string, error) {
	var failure error
	result := variable.ReplaceAllStringFunc(text, func(match string) string {
		groups := variable.FindStringSubmatch(match)
		switch groups[1] {
		case "", "__env":
			return os.Getenv(groups[2])
		case "__file":
			content, err := os.ReadFile(groups[2])
			if err != nil {
				failure = fmt.Errorf("got error while expanding with expander 'file': %w", err)
			}
			return strings.TrimSpace(string(content))
		}
		return match
	})
	return result, failure
}

func environmentName(section, key string) string {
	name := "GF_" + section + "_" + key
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

func loadSettings(parsed flags) (settings, error) {
	result := defaultSettings(parsed.homepath)
	for _, override := range parsed.overrides {
		if rest, ok := strings.CutPrefix(override, "default."); ok {
			if err := result.override(rest); err != nil {
				return nil, err
			}
		}
	}
	path := parsed.config
	if path == "" {
		path = filepath.Join(parsed.homepath, "conf", "custom.ini")
		if _, err := os.Stat(path); err != nil {
			path = ""
		}
	}
	if path != "" {
		file, err := ini.LoadSources(ini.LoadOptions{IgnoreInlineComment: true, SkipUnrecognizableLines: false}, path)
		if err != nil {
			return nil, fmt.Errorf("failed to parse %q: %w", path, err)
		}
		for _, section := range file.Sections() {
			for _, key := range section.Keys() {
				result.set(section.Name(), key.Name(), key.Value())
			}
		}
	}
	for section, keys := range result {
		for key := range keys {
			name := environmentName(section, key)
			if value, ok := os.LookupEnv(name); ok {
				keys[key] = value
			} else if file, ok := os.LookupEnv(name + "__FILE"); ok { // what the image's start script does
				content, err := os.ReadFile(file)
				if err != nil {
					return nil, fmt.Errorf("%s__FILE: %w", name, err)
				}
				keys[key] = strings.TrimRight(string(content), "\n")
			}
		}
	}
	for _, override := range parsed.overrides {
		if !strings.HasPrefix(override, "default.") {
			if err := result.override(override); err != nil {
				return nil, err
			}
		}
	}
	for section, keys := range result {
		for key, value := range keys {
			expanded, err := expand(value)
			if err != nil {
				return nil, fmt.Errorf("got error while expanding %s.%s: %w", section, key, err)
			}
			keys[key] = expanded
		}
	}
	for _, key := range []string{"data", "logs", "plugins", "provisioning"} {
		if value := result.get("paths", key); !filepath.IsAbs(value) {
			result.set("paths", key, filepath.Join(parsed.homepath, value))
		}
	}
	return result, nil
}

func (s settings) rootURL() string {
	if url := s.get("server", "root_url"); url != "" {
		url = strings.NewReplacer("%(protocol)s", s.get("server", "protocol"), "%(domain)s", s.get("server", "domain"),
			"%(http_port)s", s.get("server", "http_port")).Replace(url)
		return strings.TrimRight(url, "/")
	}
	return s.get("server", "protocol") + "://" + s.get("server", "domain") + ":" + s.get("server", "http_port")
}

// log writes logfmt lines as Grafana does, to the console and, where [log] mode says so, to a file.
type log struct {
	mutex sync.Mutex
	files []*os.File
}

func openLog(configuration settings) (*log, error) {
	result := &log{}
	for _, mode := range strings.Fields(strings.ReplaceAll(configuration.get("log", "mode"), ",", " ")) {
		switch mode {
		case "console":
			result.files = append(result.files, os.Stdout)
		case "file":
			directory := configuration.get("paths", "logs")
			if err := os.MkdirAll(directory, 0o750); err != nil {
				return nil, err
			}
			file, err := os.OpenFile(filepath.Join(directory, "grafana.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
			if err != nil {
				return nil, err
			}
			result.files = append(result.files, file)
		}
	}
	return result, nil
}

func (l *log) write(level, message string, pairs []string) {
	var line strings.Builder
	logger := "standin"
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == "logger" {
			logger = pairs[i+1]
		}
	}
	fmt.Fprintf(&line, "logger=%s t=%s level=%s msg=%q", logger, time.Now().Format(time.RFC3339Nano), level, message)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] != "logger" {
			fmt.Fprintf(&line, " %s=%q", pairs[i], pairs[i+1])
		}
	}
	line.WriteString("\n")
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, file := range l.files {
		_, _ = file.WriteString(line.String())
	}
}

func (l *log) info(message string, pairs ...string)  { l.write("info", message, pairs) }
func (l *log) error(message string, pairs ...string) { l.write("error", message, pairs) }
