// Copyright: (c) 2026, edgestack.iot contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var pages = template.Must(template.New("").Parse(`{{ define "head" }}<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>{{ .Title }} - Grafana stand-in</title>
{{ if .Refresh }}<meta http-equiv="refresh" content="{{ .Refresh }}">{{ end }}
<style>
body { font-family: sans-serif; margin: 1em; background: #f4f5f5; color: #24292e }
header { border-bottom: 2px solid #ff8833; margin-bottom: 1em } header small { color: #6e6e6e }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(24em, 1fr)); gap: .7em }
.row { grid-column: 1 / -1; margin: .6em 0 0 } .panel { background: white; border: 1px solid #d8d9da; padding: .6em }
.panel h3 { font-size: 1em; margin: 0 0 .3em } table { border-collapse: collapse; width: 100%; font-size: .85em }
td:last-child { text-align: right; font-weight: bold } .none { color: #8e8e8e } .bad { color: #b00020 } svg { width: 100%; height: 7em }
</style></head><body><header><h1>{{ .Title }}</h1>
<small>This is the lab's stand-in for Grafana {{ .Version }}, not Grafana. Data and queries are real.</small></header>{{ end }}
{{ define "login" }}{{ template "head" . }}{{ if .Problem }}<p class="bad">{{ .Problem }}</p>{{ end }}
<form method="post" action="/login"><p><label>User <input name="user" autocomplete="username"></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>
<button>Log in</button></form></body></html>{{ end }}
{{ define "home" }}{{ template "head" . }}<ul>{{ range .Dashboards }}<li><a href="{{ .URL }}">{{ .Title }}</a></li>{{ else }}
<li class="none">no dashboards</li>{{ end }}</ul><p><a href="/logout">Log out</a></p></body></html>{{ end }}
{{ define "dashboard" }}{{ template "head" . }}<p><a href="/">Dashboards</a>, {{ .From }} to {{ .To }}</p><div class="grid">
{{ range .Panels }}{{ if .Row }}<h2 class="row">{{ .Title }}</h2>{{ else }}<section class="panel" data-panel="{{ .ID }}"><h3>{{ .Title }}</h3>
{{ if .Problem }}<p class="bad">{{ .Problem }}</p>{{ end }}
{{ if .Lines }}<svg viewBox="0 0 400 100" preserveAspectRatio="none">{{ range .Lines }}{{ if .Points }}<polyline fill="none"
 stroke="{{ .Colour }}" stroke-width="1.5" vector-effect="non-scaling-stroke" points="{{ .Points }}"/>{{ end }}{{ end }}</svg>
<table>{{ range .Lines }}<tr><td style="color: {{ .Colour }}">{{ .Name }}</td><td>{{ .Last }}</td></tr>{{ end }}</table>
{{ else }}<p class="none">No data</p>{{ end }}</section>{{ end }}{{ end }}</div></body></html>{{ end }}`))

type page struct {
	Title, Version, Problem, From, To string
	Refresh                           int
	Dashboards                        []pageLink
	Panels                            []pagePanel
}

type pageLink struct{ URL, Title string }

type pageLine struct {
	Name, Last, Points string
	Colour             template.CSS
}

type pagePanel struct {
	ID             int
	Title, Problem string
	Row            bool
	Lines          []pageLine
}

func (s *server) render(writer http.ResponseWriter, status int, name string, data page) {
	data.Version = version()
	writer.Header().Set("Content-Type", "text/html; charset=UTF-8")
	writer.Header().Set("Cache-Control", "no-store")
	writer.WriteHeader(status)
	if err := pages.ExecuteTemplate(writer, name, data); err != nil {
		s.log.error("page", "name", name, "error", err.Error())
	}
}

func (s *server) loginPage(writer http.ResponseWriter, _ *http.Request) {
	s.render(writer, http.StatusOK, "login", page{Title: "Grafana stand-in"})
}

// login takes Grafana's JSON body, and the form of the stand-in's own page.
func (s *server) login(writer http.ResponseWriter, request *http.Request) {
	var body struct{ User, Password string }
	form := !strings.HasPrefix(request.Header.Get("Content-Type"), "application/json")
	if form {
		body.User, body.Password = request.FormValue("user"), request.FormValue("password")
	} else if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
		refuse(writer, plain(http.StatusBadRequest, "bad login data"))
		return
	}
	known, err := s.verify(body.User, body.Password)
	if err != nil {
		if form {
			s.render(writer, http.StatusUnauthorized, "login", page{Title: "Grafana stand-in", Problem: "Invalid username or password"})
			return
		}
		refuse(writer, traced(http.StatusUnauthorized, "Invalid username or password"))
		return
	}
	session := randomText(16)
	s.mutex.Lock()
	s.sessions[session] = known.Login
	s.mutex.Unlock()
	http.SetCookie(writer, &http.Cookie{Name: "grafana_session", Value: session, Path: "/", HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: s.settings.flag("security", "cookie_secure")})
	if form {
		http.Redirect(writer, request, "/", http.StatusFound)
		return
	}
	answer(writer, http.StatusOK, map[string]any{"message": "Logged in", "redirectUrl": "/"}, false)
}

func (s *server) logout(writer http.ResponseWriter, request *http.Request) {
	if cookie, err := request.Cookie("grafana_session"); err == nil {
		s.mutex.Lock()
		delete(s.sessions, cookie.Value)
		s.mutex.Unlock()
	}
	http.Redirect(writer, request, "/login", http.StatusFound)
}

func (s *server) homePage(writer http.ResponseWriter, request *http.Request) {
	if _, err := s.identify(request); err != nil {
		http.Redirect(writer, request, "/login", http.StatusFound)
		return
	}
	data := page{Title: "Dashboards"}
	_ = s.store.view(func(state *state) error {
		for _, each := range state.Dashboards {
			data.Dashboards = append(data.Dashboards, pageLink{each.url(), each.Title})
		}
		return nil
	})
	s.render(writer, http.StatusOK, "home", data)
}

type panelModel struct {
	ID          int             `json:"id"`
	Title       string          `json:"title"`
	Type        string          `json:"type"`
	Datasource  json.RawMessage `json:"datasource"`
	Panels      []panelModel    `json:"panels"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []query `json:"targets"`
}

func (s *server) dashboardPage(writer http.ResponseWriter, request *http.Request) {
	if _, err := s.identify(request); err != nil {
		http.Redirect(writer, request, "/login", http.StatusFound)
		return
	}
	var model struct {
		Title      string            `json:"title"`
		Panels     []panelModel      `json:"panels"`
		Time       map[string]string `json:"time"`
		Templating struct {
			List []struct {
				Name string `json:"name"`
			} `json:"list"`
		} `json:"templating"`
	}
	err := s.store.view(func(state *state) error {
		found := state.dashboardByUID(request.PathValue("uid"))
		if found == nil {
			return errNotFound
		}
		return convert(found.Data, &model)
	})
	if err != nil {
		s.render(writer, http.StatusNotFound, "home", page{Title: "Dashboard not found"})
		return
	}
	data := page{Title: model.Title, Refresh: 10, From: "now-6h", To: "now"}
	for name, into := range map[string]*string{"from": &data.From, "to": &data.To} {
		if asked := request.URL.Query().Get(name); asked != "" {
			*into = asked
		} else if given := model.Time[name]; given != "" {
			*into = given
		}
	}
	now := time.Now()
	from, err := parseTime(data.From, now)
	if err != nil {
		from = now.Add(-6 * time.Hour)
	}
	to, err := parseTime(data.To, now)
	if err != nil {
		to = now
	}
	// A variable that the address does not set stands for everything, as "All" does inside a regular expression.
	var pairs []string
	for _, each := range model.Templating.List {
		value := request.URL.Query().Get("var-" + each.Name)
		if value == "" || value == "$__all" {
			value = ".*"
		}
		pairs = append(pairs, "${"+each.Name+":regex}", value, "${"+each.Name+"}", value, "$"+each.Name, value)
	}
	variables := strings.NewReplacer(pairs...)
	var show func(panels []panelModel)
	show = func(panels []panelModel) {
		for _, each := range panels {
			shown := pagePanel{ID: each.ID, Title: each.Title, Row: each.Type == "row"}
			if !shown.Row && each.Type != "text" {
				shown.Lines, shown.Problem = s.lines(request.Context(), each, variables, from, to)
			}
			data.Panels = append(data.Panels, shown)
			show(each.Panels)
		}
	}
	show(model.Panels)
	s.render(writer, http.StatusOK, "dashboard", data)
}

var colours = []template.CSS{"#1f78c1", "#e24d42", "#508642", "#ef843c", "#6d1f62", "#447ebc", "#c15c17", "#890f02"}

func (s *server) lines(ctx context.Context, panel panelModel, variables *strings.Replacer, from, to time.Time) ([]pageLine, string) {
	var result []pageLine
	for _, target := range panel.Targets {
		if target.sourceUID() == "" {
			target.Datasource = panel.Datasource
		}
		uid := target.sourceUID()
		source, err := s.connection(func(each *datasource) bool { return each.UID == uid })
		if err != nil {
			return result, err.Error()
		}
		target.Query = variables.Replace(target.Query)
		target.MaxDataPoints = 400
		series, _, err := target.run(ctx, source, from, to)
		if err != nil {
			return result, err.Error()
		}
		for _, one := range series {
			line := pageLine{Name: one.Name, Last: "-", Colour: colours[len(result)%len(colours)]}
			least, most := math.Inf(1), math.Inf(-1)
			for _, value := range one.Values {
				if number, ok := value.(float64); ok {
					least, most = min(least, number), max(most, number)
					line.Last = strconv.FormatFloat(number, 'f', -1, 64)
					if rounded := strconv.FormatFloat(number, 'f', 2, 64); len(rounded) < len(line.Last) {
						line.Last = rounded
					}
					line.Last += unit(panel.FieldConfig.Defaults.Unit)
				} else if value != nil {
					line.Last = fmt.Sprint(value)
				}
			}
			line.Points = points(one, from, to, least, most)
			result = append(result, line)
		}
	}
	return result, ""
}

func points(one labelled, from, to time.Time, least, most float64) string {
	if one.TimeLess || math.IsInf(least, 0) {
		return ""
	}
	height, width := most-least, float64(to.UnixMilli()-from.UnixMilli())
	if height == 0 {
		least, height = least-0.5, 1
	}
	var result strings.Builder
	for i, value := range one.Values {
		at, known := one.Times[i].(float64)
		number, ok := value.(float64)
		if known && ok {
			fmt.Fprintf(&result, "%.1f,%.1f ", (at-float64(from.UnixMilli()))/width*400, 97-(number-least)/height*94)
		}
	}
	return result.String()
}

func unit(name string) string {
	known := map[string]string{"celsius": " °C", "percent": " %", "humidity": " %H", "watt": " W", "volt": " V", "amp": " A",
		"kwatth": " kWh", "voltamp": " VA", "voltampreact": " var", "bytes": " B", "decbytes": " B", "s": " s", "ms": " ms", "short": "", "none": "", "": ""}
	if text, ok := known[name]; ok {
		return text
	}
	return " " + strings.TrimSpace(strings.TrimPrefix(name, "suffix:"))
}
