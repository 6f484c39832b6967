// Copyright: (c) 2026, edgestack.iot contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// interpolate replaces variables in every string of a provisioned document; $$ stands for a dollar sign.
func interpolate(value any) (any, error) {
	switch typed := value.(type) {
	case string:
		parts := strings.Split(typed, "$$")
		for i, part := range parts {
			expanded, err := expand(part)
			if err != nil {
				return nil, err
			}
			parts[i] = os.ExpandEnv(expanded)
		}
		return strings.Join(parts, "$"), nil
	case map[string]any:
		result := map[string]any{}
		for key, each := range typed {
			expanded, err := interpolate(each)
			if err != nil {
				return nil, err
			}
			result[key] = expanded
		}
		return result, nil
	case []any:
		result := make([]any, len(typed))
		for i, each := range typed {
			expanded, err := interpolate(each)
			if err != nil {
				return nil, err
			}
			result[i] = expanded
		}
		return result, nil
	}
	return value, nil
}

// documents reads the .yml and .yaml files of one kind, in the order of their names.
func documents(configuration settings, kind string) (map[string]map[string]any, []string, error) {
	directory := filepath.Join(configuration.get("paths", "provisioning"), kind)
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	result := map[string]map[string]any{}
	var names []string
	for _, entry := range entries {
		if extension := filepath.Ext(entry.Name()); extension != ".yml" && extension != ".yaml" {
			continue
		}
		path := filepath.Join(directory, entry.Name())
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		var document map[string]any
		if err := yaml.Unmarshal(content, &document); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		result[path] = document
		names = append(names, path)
	}
	return result, names, nil
}

// convert carries a YAML value over into a typed one, by way of JSON.
func convert(value, into any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

type provisionedSource struct {
	Name            string            `json:"name"`
	UID             string            `json:"uid"`
	Type            string            `json:"type"`
	Access          string            `json:"access"`
	URL             string            `json:"url"`
	User            string            `json:"user"`
	Database        string            `json:"database"`
	BasicAuth       bool              `json:"basicAuth"`
	BasicAuthUser   string            `json:"basicAuthUser"`
	WithCredentials bool              `json:"withCredentials"`
	IsDefault       bool              `json:"isDefault"`
	Editable        bool              `json:"editable"`
	Version         int64             `json:"version"`
	JSONData        map[string]any    `json:"jsonData"`
	SecureJSONData  map[string]string `json:"secureJsonData"`
}

func (s *server) provisionDatasources() error {
	found, names, err := documents(s.settings, "datasources")
	if err != nil {
		return err
	}
	return s.store.update(func(state *state) error {
		wanted := map[string]bool{}
		prune := false
		for _, path := range names {
			expanded, err := interpolate(found[path])
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			var document struct {
				Prune  bool                `json:"prune"`
				Wanted []provisionedSource `json:"datasources"`
				Delete []struct {
					Name string `json:"name"`
				} `json:"deleteDatasources"`
			}
			if err := convert(expanded, &document); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			prune = prune || document.Prune
			for _, each := range document.Delete {
				state.removeDatasource(func(source *datasource) bool { return source.Name == each.Name })
			}
			for _, each := range document.Wanted {
				if each.Name == "" || each.Type == "" {
					return fmt.Errorf("%s: a data source needs a name and a type", path)
				}
				wanted[each.Name] = true
				if err := s.putProvisioned(state, each); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
		}
		if prune {
			state.removeDatasource(func(source *datasource) bool { return source.ReadOnly && !wanted[source.Name] })
		}
		return nil
	})
}

func (s *server) putProvisioned(state *state, each provisionedSource) error {
	source := state.datasource(func(known *datasource) bool { return known.Name == each.Name })
	if source == nil {
		if each.UID != "" && state.datasourceByUID(each.UID) != nil {
			return errors.New("data source with the same uid already exists")
		}
		state.LastDatasource++
		source = &datasource{ID: state.LastDatasource, UID: each.UID}
		if source.UID == "" {
			source.UID = randomText(8)
		}
		state.Datasources = append(state.Datasources, source)
	} else if each.UID != "" && source.UID != each.UID {
		if state.datasourceByUID(each.UID) != nil {
			return errors.New("data source with the same uid already exists")
		}
		source.UID = each.UID
	}
	source.Name, source.Type, source.Access, source.URL = each.Name, each.Type, each.Access, each.URL
	source.User, source.Database, source.BasicAuth = each.User, each.Database, each.BasicAuth
	source.BasicAuthUser, source.WithCredentials, source.Default = each.BasicAuthUser, each.WithCredentials, each.IsDefault
	source.JSONData, source.ReadOnly, source.Version = each.JSONData, !each.Editable, max(each.Version, 1)
	if source.Access == "" {
		source.Access = "proxy"
	}
	return s.seal(source, each.SecureJSONData)
}

func (s *server) seal(source *datasource, secrets map[string]string) error {
	source.Secure = map[string]string{}
	for name, value := range secrets {
		sealed, err := s.store.encrypt(value)
		if err != nil {
			return err
		}
		source.Secure[name] = sealed
	}
	if source.JSONData == nil {
		source.JSONData = map[string]any{}
	}
	return nil
}

func (s *state) removeDatasource(match func(*datasource) bool) {
	var kept []*datasource
	for _, each := range s.Datasources {
		if !match(each) {
			kept = append(kept, each)
		}
	}
	s.Datasources = kept
}

type dashboardProvider struct {
	Name            string `json:"name"`
	Folder          string `json:"folder"`
	FolderUID       string `json:"folderUid"`
	Type            string `json:"type"`
	DisableDeletion bool   `json:"disableDeletion"`
	AllowUIUpdates  bool   `json:"allowUiUpdates"`
	UpdateInterval  int64  `json:"updateIntervalSeconds"`
	Options         struct {
		Path                      string `json:"path"`
		FoldersFromFilesStructure bool   `json:"foldersFromFilesStructure"`
	} `json:"options"`
}

func (s *server) dashboardProviders() ([]dashboardProvider, error) {
	found, names, err := documents(s.settings, "dashboards")
	if err != nil {
		return nil, err
	}
	var result []dashboardProvider
	for _, path := range names {
		expanded, err := interpolate(found[path])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		var document struct {
			Providers []dashboardProvider `json:"providers"`
		}
		if err := convert(expanded, &document); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, provider := range document.Providers {
			if provider.Options.Path == "" {
				return nil, fmt.Errorf("%s: failed to load dashboards, path param is not a string", path)
			}
			if provider.UpdateInterval <= 0 {
				provider.UpdateInterval = 10
			}
			result = append(result, provider)
		}
	}
	return result, nil
}

// provisionDashboards brings in what the providers' folders hold. A file that is no dashboard is logged and skipped.
func (s *server) provisionDashboards(providers []dashboardProvider) error {
	type entry struct {
		provider dashboardProvider
		external string
		folder   string
		data     map[string]any
		sum      string
	}
	var entries []entry
	present := map[string]bool{}
	for _, provider := range providers {
		err := filepath.WalkDir(provider.Options.Path, func(path string, item fs.DirEntry, err error) error {
			if err != nil || item.IsDir() || filepath.Ext(path) != ".json" {
				return err
			}
			external, err := filepath.Rel(provider.Options.Path, path)
			if err != nil {
				return err
			}
			present[provider.Name+"\x00"+external] = true
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var data map[string]any
			if err := json.Unmarshal(content, &data); err != nil {
				s.log.error("failed to load dashboard from ", "logger", "provisioning.dashboard", "file", path, "error", err.Error())
				return nil
			}
			if title, _ := data["title"].(string); title == "" {
				s.log.error("failed to load dashboard from ", "logger", "provisioning.dashboard", "file", path,
					"error", "Dashboard title cannot be empty")
				return nil
			}
			place := provider.Folder
			if provider.Options.FoldersFromFilesStructure && filepath.Dir(external) != "." {
				place = filepath.Base(filepath.Dir(external))
			}
			sum := sha256.Sum256(content)
			entries = append(entries, entry{provider, external, place, data, hex.EncodeToString(sum[:])})
			return nil
		})
		if err != nil {
			s.log.error("failed to search for dashboards", "logger", "provisioning.dashboard", "error", err.Error())
		}
	}
	sort.SliceStable(entries, func(i, j int) bool { return entries[i].external < entries[j].external })
	changed := false
	apply := func(state *state) error {
		now := time.Now().UTC()
		for _, each := range entries {
			place := ""
			if each.folder != "" {
				before := state.LastDashboard
				place = state.ensureFolder(each.folder, each.provider.FolderUID).UID
				changed = changed || before != state.LastDashboard
			}
			uid, _ := each.data["uid"].(string)
			var known *dashboard
			for _, other := range state.Dashboards {
				if other.Provider == each.provider.Name && other.External == each.external {
					known = other
				}
			}
			if known == nil && uid != "" {
				known = state.dashboardByUID(uid)
			}
			if known == nil {
				state.LastDashboard++
				known = &dashboard{ID: state.LastDashboard, Created: now}
				state.Dashboards = append(state.Dashboards, known)
			} else if known.Sum == each.sum && known.Folder == place {
				continue
			}
			changed = true
			if uid == "" {
				uid = known.UID
			}
			if uid == "" {
				uid = randomText(8)
			}
			known.Version++
			known.UID = uid
			known.Title, _ = each.data["title"].(string)
			known.Folder, known.Provider, known.External, known.Sum, known.Updated = place, each.provider.Name, each.external, each.sum, now
			known.Data = each.data
			known.stamp()
		}
		var kept []*dashboard
		for _, each := range state.Dashboards {
			gone := each.Provider != "" && !present[each.Provider+"\x00"+each.External]
			for _, provider := range providers {
				if provider.Name == each.Provider && provider.DisableDeletion {
					gone = false
				}
			}
			if gone {
				changed = true
				continue
			}
			kept = append(kept, each)
		}
		state.Dashboards = kept
		return nil
	}
	return s.store.updateIf(apply, &changed)
}

// stamp writes into a dashboard's own document what Grafana writes there.
func (d *dashboard) stamp() {
	d.Data["id"], d.Data["uid"], d.Data["version"] = d.ID, d.UID, d.Version
}

// updateIf is update without the write when nothing changed: the provider looks every few seconds.
func (s *store) updateIf(function func(*state) error, changed *bool) error {
	var unchanged = errors.New("unchanged")
	err := s.update(func(state *state) error {
		if err := function(state); err != nil {
			return err
		}
		if !*changed {
			return unchanged
		}
		return nil
	})
	if errors.Is(err, unchanged) {
		return nil
	}
	return err
}
