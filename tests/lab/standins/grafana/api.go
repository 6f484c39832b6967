// Copyright: (c) 2026, edgestack.iot contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

type server struct {
	settings settings
	log      *log
	store    *store
	alerting *alerting
	mutex    sync.Mutex
	sessions map[string]string // cookie -> login
	context  context.Context
}

func newServer(configuration settings, logger *log) (*server, error) {
	opened, err := openStore(configuration)
	if err != nil {
		return nil, err
	}
	result := &server{settings: configuration, log: logger, store: opened, sessions: map[string]string{}}
	result.alerting = &alerting{server: result}
	// In Grafana's order: the rules' folders are there before the dashboards'.
	if err := result.provisionDatasources(); err != nil {
		return nil, fmt.Errorf("datasource provisioning error: %w", err)
	}
	if err := result.alerting.provision(); err != nil {
		return nil, fmt.Errorf("alerting provisioning error: %w", err)
	}
	providers, err := result.dashboardProviders()
	if err != nil {
		return nil, fmt.Errorf("dashboard provisioning error: %w", err)
	}
	return result, result.provisionDashboards(providers)
}

func (s *server) run(ctx context.Context, ready func()) error {
	s.context = ctx
	address := net.JoinHostPort(s.settings.get("server", "http_addr"), s.settings.get("server", "http_port"))
	handler := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	secure := false
	switch protocol := s.settings.get("server", "protocol"); protocol {
	case "http":
	case "https", "h2":
		secure = true
		pair, err := tls.LoadX509KeyPair(s.settings.get("server", "cert_file"), s.settings.get("server", "cert_key"))
		if err != nil {
			return fmt.Errorf("cert_file, cert_key: %w", err)
		}
		handler.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	default:
		return fmt.Errorf("the stand-in has no protocol %q", protocol)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.alerting.start(ctx)
	go s.watchDashboards(ctx)
	s.log.info("HTTP Server Listen", "logger", "http.server", "address", listener.Addr().String(),
		"protocol", s.settings.get("server", "protocol"), "version", version())
	ready()
	go func() {
		<-ctx.Done()
		s.log.info("Shutdown started", "logger", "server")
		patience, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = handler.Shutdown(patience)
	}()
	if secure {
		err = handler.ServeTLS(listener, "", "")
	} else {
		err = handler.Serve(listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// watchDashboards looks at each provider's folder at the provider's interval, so that a changed file needs no restart.
func (s *server) watchDashboards(ctx context.Context) {
	last := map[string]time.Time{}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			providers, err := s.dashboardProviders()
			due := false
			for _, provider := range providers {
				if now.Sub(last[provider.Name]) >= time.Duration(provider.UpdateInterval)*time.Second {
					last[provider.Name], due = now, true
				}
			}
			if err == nil && due {
				err = s.provisionDashboards(providers)
			}
			if err != nil {
				s.log.error("failed to look for changed dashboards", "logger", "provisioning.dashboard", "error", err.Error())
			}
		}
	}
}

// caller is who a request comes from.
type caller struct {
	user  *user
	login string
	role  string
	admin bool
}

// failure is an answer that is no success. Grafana's newer errors carry a traceID, and some paths add a charset.
type failure struct {
	status  int
	body    map[string]any
	charset bool
}

func (f *failure) Error() string { return fmt.Sprint(f.body["message"]) }

func plain(status int, message string) *failure {
	return &failure{status: status, body: map[string]any{"message": message}}
}

func traced(status int, message string) *failure {
	return &failure{status: status, body: map[string]any{"message": message, "traceID": ""}}
}

func coded(status int, code, message string) *failure {
	return &failure{status: status, body: map[string]any{"message": message, "messageId": code, "statusCode": status, "traceID": ""}}
}

var (
	errUnauthorized = &failure{http.StatusUnauthorized, map[string]any{"message": "Unauthorized"}, true}
	errNotFound     = &failure{http.StatusNotFound, map[string]any{"message": "Not found"}, true}
	errLogin        = &failure{http.StatusUnauthorized, map[string]any{"message": "invalid username or password", "traceID": ""}, true}
	errAPIKey       = &failure{http.StatusUnauthorized, map[string]any{"message": "invalid API key", "traceID": ""}, true}
)

func denied(permission string) *failure {
	number, _ := rand.Int(rand.Reader, big.NewInt(9_000_000_000))
	return &failure{http.StatusForbidden, map[string]any{"accessErrorId": fmt.Sprintf("ACE%010d", number), "title": "Access denied",
		"message": "You'll need additional permissions to perform this action. Permissions needed: " + permission}, true}
}

// verify checks a name and a password. Five wrong ones within five minutes close the account for five minutes, for the
// right password as well, and the answer is the same: only the log tells the two apart.
func (s *server) verify(login, password string) (*user, error) {
	var found *user
	wrong := false
	protected := !s.settings.flag("security", "disable_brute_force_login_protection")
	err := s.store.view(func(state *state) error {
		if protected && state.locked(login) {
			s.log.info("Failed to authenticate request", "logger", "authn.service", "client", "auth.client.basic",
				"error", "[login-attempt.blocked] too many consecutive incorrect login attempts for user - login for user temporarily blocked")
			return errLogin
		}
		known := state.userByLogin(login)
		if known == nil || !known.checks(password) {
			s.log.info("Failed to authenticate request", "logger", "authn.service", "client", "auth.client.basic",
				"error", "[password-auth.failed] failed to authenticate identity: invalid password")
			wrong = true
			return errLogin
		}
		duplicate := *known
		found = &duplicate
		return nil
	})
	if wrong {
		recorded := s.store.update(func(state *state) error {
			var kept []attempt
			for _, each := range state.Attempts {
				if time.Since(each.At) < attemptsWindow {
					kept = append(kept, each)
				}
			}
			state.Attempts = append(kept, attempt{Login: login, At: time.Now().UTC()})
			return nil
		})
		if recorded != nil {
			return nil, recorded
		}
	}
	return found, err
}

func (s *server) identify(request *http.Request) (*caller, error) {
	if login, password, ok := request.BasicAuth(); ok {
		if !s.settings.flag("auth.basic", "enabled") {
			return nil, errUnauthorized
		}
		known, err := s.verify(login, password)
		if err != nil {
			return nil, err
		}
		return &caller{user: known, login: known.Login, role: known.Role, admin: known.Admin}, nil
	}
	if token, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer "); ok {
		sum := sha256.Sum256([]byte(token))
		var result *caller
		err := s.store.view(func(state *state) error {
			for _, each := range state.Tokens {
				if each.Digest == hex.EncodeToString(sum[:]) {
					for _, account := range state.ServiceAccounts {
						if account.ID == each.Account {
							result = &caller{login: "sa-" + account.Name, role: account.Role}
							return nil
						}
					}
				}
			}
			return errAPIKey
		})
		return result, err
	}
	if cookie, err := request.Cookie("grafana_session"); err == nil {
		s.mutex.Lock()
		login := s.sessions[cookie.Value]
		s.mutex.Unlock()
		if login != "" {
			var result *caller
			err := s.store.view(func(state *state) error {
				if known := state.userByLogin(login); known != nil {
					duplicate := *known
					result = &caller{user: &duplicate, login: known.Login, role: known.Role, admin: known.Admin}
					return nil
				}
				return errUnauthorized
			})
			return result, err
		}
	}
	if s.settings.flag("auth.anonymous", "enabled") {
		return &caller{login: "anonymous", role: s.settings.get("auth.anonymous", "org_role")}, nil
	}
	return nil, errUnauthorized
}

func answer(writer http.ResponseWriter, status int, body any, charset bool) {
	kind := "application/json"
	if charset {
		kind += "; charset=UTF-8"
	}
	writer.Header().Set("Content-Type", kind)
	writer.Header().Set("Cache-Control", "no-store")
	writer.WriteHeader(status)
	_ = json.NewEncoder(writer).Encode(body)
}

func refuse(writer http.ResponseWriter, err error) {
	var known *failure
	if !errors.As(err, &known) {
		known = traced(http.StatusInternalServerError, "Internal server error - "+err.Error())
	}
	answer(writer, known.status, known.body, known.charset)
}

// need is what a path asks of its caller. Without a name anyone who is signed in may.
type need struct {
	permission string
	role       string // Viewer, Editor or Admin of the organisation; Server for the server's administrator
}

func (n need) allows(who *caller) bool {
	if n.role == "Server" {
		return who.admin
	}
	order := map[string]int{"": 0, "Viewer": 1, "Editor": 2, "Admin": 3}
	return who.admin || order[who.role] >= order[n.role]
}

type call struct {
	*http.Request
	who *caller
}

func (c *call) number(name string) (int64, error) {
	number, err := strconv.ParseInt(c.PathValue(name), 10, 64)
	if err != nil {
		return 0, plain(http.StatusBadRequest, name+" is invalid")
	}
	return number, nil
}

func (c *call) decode(into any) error {
	if err := json.NewDecoder(c.Body).Decode(into); err != nil {
		return plain(http.StatusBadRequest, "bad request data")
	}
	return nil
}

// handler returns a status and a body, or an error that refuse() knows how to say.
type handler func(*call) (int, any, error)

func message(text string) map[string]any { return map[string]any{"message": text} }

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, wanted need, function handler) {
		mux.HandleFunc(pattern, func(writer http.ResponseWriter, request *http.Request) {
			who, err := s.identify(request)
			if err == nil && !wanted.allows(who) {
				err = denied(wanted.permission)
			}
			if err != nil {
				refuse(writer, err)
				return
			}
			status, body, err := function(&call{request, who})
			if err != nil {
				refuse(writer, err)
				return
			}
			answer(writer, status, body, false)
		})
	}
	anyone := need{}
	admin := func(permission string) need { return need{permission, "Server"} }
	manager := func(permission string) need { return need{permission, "Admin"} }
	editor := func(permission string) need { return need{permission, "Editor"} }
	viewer := func(permission string) need { return need{permission, "Viewer"} }

	mux.HandleFunc("GET /api/health", func(writer http.ResponseWriter, _ *http.Request) {
		answer(writer, http.StatusOK, map[string]any{"commit": "stand-in", "database": "ok", "version": version()}, true)
	})
	mux.HandleFunc("GET /healthz", func(writer http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(writer, "Ok") })
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("POST /api/user/signup", func(writer http.ResponseWriter, _ *http.Request) {
		refuse(writer, plain(http.StatusUnauthorized, "User signup is disabled"))
	})
	mux.HandleFunc("/api/", func(writer http.ResponseWriter, request *http.Request) {
		if _, err := s.identify(request); err != nil {
			refuse(writer, err)
			return
		}
		refuse(writer, errNotFound)
	})

	handle("GET /api/org", anyone, func(*call) (int, any, error) {
		return http.StatusOK, map[string]any{"id": 1, "name": "Main Org.", "address": map[string]string{"address1": "", "address2": "",
			"city": "", "zipCode": "", "state": "", "country": ""}}, nil
	})
	handle("GET /api/user", anyone, s.me)
	handle("PUT /api/user/password", anyone, s.changePassword)
	handle("GET /api/frontend/settings", anyone, func(*call) (int, any, error) {
		return http.StatusOK, map[string]any{"buildInfo": map[string]any{"version": version(), "commit": "stand-in", "edition": "Open Source"},
			"appSubUrl": "", "allowOrgCreate": false}, nil
	})

	handle("GET /api/admin/settings", admin("settings:read"), s.showSettings)
	handle("GET /api/admin/stats", admin("server.stats:read"), s.stats)
	handle("POST /api/admin/provisioning/{kind}/reload", admin("provisioning:reload"), s.reload)
	handle("POST /api/admin/users", admin("users:create"), s.createUser)
	handle("PUT /api/admin/users/{id}/password", admin("users.password:write"), s.setUserPassword)
	handle("DELETE /api/admin/users/{id}", admin("users:delete"), s.deleteUser)
	handle("GET /api/users/lookup", admin("users:read"), s.lookupUser)
	handle("PATCH /api/org/users/{id}", manager("org.users:write"), s.changeRole)
	handle("GET /api/org/users", manager("org.users:read"), s.orgUsers)

	handle("POST /api/serviceaccounts", manager("serviceaccounts:create"), s.createServiceAccount)
	handle("GET /api/serviceaccounts/search", manager("serviceaccounts:read"), s.searchServiceAccounts)
	handle("POST /api/serviceaccounts/{id}/tokens", manager("serviceaccounts:write"), s.createToken)
	handle("DELETE /api/serviceaccounts/{id}", manager("serviceaccounts:delete"), s.deleteServiceAccount)

	handle("GET /api/datasources", manager("datasources:read"), s.listDatasources)
	handle("POST /api/datasources", manager("datasources:create"), s.createDatasource)
	handle("GET /api/datasources/uid/{uid}", manager("datasources:read"), s.getDatasource)
	handle("GET /api/datasources/name/{name}", manager("datasources:read"), s.getDatasource)
	handle("PUT /api/datasources/uid/{uid}", manager("datasources:write"), s.changeDatasource)
	handle("DELETE /api/datasources/uid/{uid}", manager("datasources:delete"), s.deleteDatasource)
	handle("GET /api/datasources/uid/{uid}/health", viewer("datasources:query"), s.datasourceHealth)
	handle("POST /api/ds/query", viewer("datasources:query"), s.dataQuery)
	for _, pattern := range []string{"/api/datasources/proxy/uid/{uid}/{path...}", "/api/datasources/proxy/{id}/{path...}"} {
		mux.HandleFunc(pattern, s.proxy)
	}

	handle("GET /api/search", anyone, s.search)
	handle("GET /api/folders", anyone, s.listFolders)
	handle("GET /api/dashboards/uid/{uid}", viewer("dashboards:read"), s.getDashboard)
	handle("POST /api/dashboards/db", editor("dashboards:write"), s.saveDashboard)
	handle("DELETE /api/dashboards/uid/{uid}", editor("dashboards:delete"), s.deleteDashboard)

	locked := func(function func(*call) (int, any, error)) handler {
		return func(request *call) (int, any, error) {
			s.alerting.mutex.Lock()
			defer s.alerting.mutex.Unlock()
			return function(request)
		}
	}
	rules := viewer("alert.provisioning:read")
	handle("GET /api/v1/provisioning/alert-rules", rules, locked(func(*call) (int, any, error) {
		result := []any{}
		for _, each := range s.alerting.rules() {
			result = append(result, s.alerting.export(each, false))
		}
		return http.StatusOK, result, nil
	}))
	mux.HandleFunc("GET /api/v1/provisioning/alert-rules/{uid}", s.alertRule)
	handle("DELETE /api/v1/provisioning/alert-rules/{uid}", manager("alert.provisioning:write"), locked(func(request *call) (int, any, error) {
		for _, each := range s.alerting.rules() {
			if each.UID == request.PathValue("uid") {
				return 0, nil, traced(http.StatusInternalServerError, "cannot delete with provided provenance 'api', needs 'file'")
			}
		}
		return http.StatusNoContent, nil, nil
	}))
	handle("GET /api/v1/provisioning/contact-points", rules, locked(func(*call) (int, any, error) {
		return http.StatusOK, s.alerting.points(), nil
	}))
	handle("GET /api/v1/provisioning/policies", rules, locked(func(*call) (int, any, error) {
		if s.alerting.policy == nil {
			return http.StatusOK, map[string]any{"receiver": s.alerting.receiver(), "group_by": []string{"grafana_folder", "alertname"}}, nil
		}
		return http.StatusOK, s.alerting.policy, nil
	}))
	handle("GET /api/v1/provisioning/mute-timings", rules, locked(func(*call) (int, any, error) {
		return http.StatusOK, s.alerting.muteTimings, nil
	}))
	handle("GET /api/v1/provisioning/templates", rules, locked(func(*call) (int, any, error) {
		return http.StatusOK, s.alerting.templates, nil
	}))
	handle("GET /api/prometheus/grafana/api/v1/rules", viewer("alert.rules:read"), locked(func(*call) (int, any, error) {
		return http.StatusOK, s.alerting.prometheus(), nil
	}))
	handle("GET /api/alertmanager/grafana/api/v2/alerts", viewer("alert.instances:read"), locked(func(*call) (int, any, error) {
		return http.StatusOK, s.alerting.alerts(s.settings.rootURL()), nil
	}))

	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("GET /logout", s.logout)
	mux.HandleFunc("GET /{$}", s.homePage)
	mux.HandleFunc("GET /d/{uid}", s.dashboardPage)
	mux.HandleFunc("GET /d/{uid}/{slug}", s.dashboardPage)
	return mux
}

func (s *server) alertRule(writer http.ResponseWriter, request *http.Request) {
	if _, err := s.identify(request); err != nil {
		refuse(writer, err)
		return
	}
	s.alerting.mutex.Lock()
	defer s.alerting.mutex.Unlock()
	for _, each := range s.alerting.rules() {
		if each.UID == request.PathValue("uid") {
			answer(writer, http.StatusOK, s.alerting.export(each, true), false)
			return
		}
	}
	writer.Header().Set("Content-Type", "text/plain; charset=utf-8")
	writer.WriteHeader(http.StatusNotFound)
}

func (s *server) metrics(writer http.ResponseWriter, _ *http.Request) {
	if !s.settings.flag("metrics", "enabled") {
		refuse(writer, errNotFound)
		return
	}
	writer.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	count := 0
	_ = s.store.view(func(state *state) error { count = len(state.Dashboards); return nil })
	_, _ = fmt.Fprintf(writer, "# HELP grafana_build_info the build; this one is a stand-in\n# TYPE grafana_build_info gauge\n"+
		"grafana_build_info{edition=\"stand-in\",version=%q} 1\n# HELP grafana_stat_totals_dashboard total amount of dashboards\n"+
		"# TYPE grafana_stat_totals_dashboard gauge\ngrafana_stat_totals_dashboard %d\n", version(), count)
}

// --- users -----------------------------------------------------------------------------------------------------------

func (u *user) shown(mine bool) map[string]any {
	result := map[string]any{"id": u.ID, "email": u.Email, "name": u.Name, "login": u.Login, "theme": "", "orgId": 1,
		"isGrafanaAdmin": u.Admin, "isDisabled": false, "isExternal": false, "isExternallySynced": false, "authLabels": nil,
		"avatarUrl": "", "createdAt": u.Created.Format(time.RFC3339), "updatedAt": u.Updated.Format(time.RFC3339)}
	if mine {
		result["authLabels"], result["avatarUrl"] = []string{}, "/public/img/user_profile.png"
	}
	return result
}

func (s *server) me(request *call) (int, any, error) {
	if request.who.user == nil {
		return 0, nil, plain(http.StatusNotFound, "user not found")
	}
	return http.StatusOK, request.who.user.shown(true), nil
}

func (s *server) changePassword(request *call) (int, any, error) {
	var body struct {
		Old string `json:"oldPassword"`
		New string `json:"newPassword"`
	}
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	if request.who.user == nil || !request.who.user.checks(body.Old) {
		return 0, nil, plain(http.StatusUnauthorized, "Invalid old password")
	}
	if len(body.New) <= 4 {
		return 0, nil, plain(http.StatusBadRequest, "New password is too short")
	}
	return http.StatusOK, message("User password changed"), s.store.update(func(state *state) error {
		state.userByID(request.who.user.ID).setPassword(body.New)
		return nil
	})
}

func (s *server) createUser(request *call) (int, any, error) {
	var body struct {
		Login, Email, Name, Password string
	}
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	if body.Login == "" {
		body.Login = body.Email
	}
	if body.Login == "" {
		return 0, nil, plain(http.StatusBadRequest, "Validation error, need specify either username or email")
	}
	if len(body.Password) < 4 {
		return 0, nil, plain(http.StatusBadRequest, "Password is missing or too short")
	}
	id := int64(0)
	err := s.store.update(func(state *state) error {
		if state.userByLogin(body.Login) != nil || (body.Email != "" && state.userByLogin(body.Email) != nil) {
			return traced(http.StatusPreconditionFailed,
				fmt.Sprintf("User with email '%s' or username '%s' already exists", body.Email, body.Login))
		}
		state.LastUser++
		id = state.LastUser
		made := &user{ID: id, Login: body.Login, Email: body.Email, Name: body.Name, Role: "Viewer", Created: time.Now().UTC()}
		if made.Email == "" {
			made.Email = made.Login
		}
		made.setPassword(body.Password)
		state.Users = append(state.Users, made)
		return nil
	})
	return http.StatusOK, map[string]any{"id": id, "message": "User created"}, err
}

// withUser runs a change on the user whose number the path has.
func (s *server) withUser(request *call, function func(*state, *user) error) error {
	id, err := request.number("id")
	if err != nil {
		return err
	}
	return s.store.update(func(state *state) error {
		found := state.userByID(id)
		if found == nil {
			return plain(http.StatusNotFound, "user not found")
		}
		return function(state, found)
	})
}

func (s *server) setUserPassword(request *call) (int, any, error) {
	var body struct{ Password string }
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	if len(body.Password) < 4 {
		return 0, nil, plain(http.StatusBadRequest, "New password too short")
	}
	return http.StatusOK, message("User password updated"), s.withUser(request, func(_ *state, found *user) error {
		found.setPassword(body.Password)
		return nil
	})
}

func (s *server) deleteUser(request *call) (int, any, error) {
	return http.StatusOK, message("User deleted"), s.withUser(request, func(state *state, found *user) error {
		var kept []*user
		for _, each := range state.Users {
			if each != found {
				kept = append(kept, each)
			}
		}
		state.Users = kept
		return nil
	})
}

func (s *server) lookupUser(request *call) (int, any, error) {
	var result map[string]any
	err := s.store.view(func(state *state) error {
		found := state.userByLogin(request.URL.Query().Get("loginOrEmail"))
		if found == nil {
			return plain(http.StatusNotFound, "user not found")
		}
		result = found.shown(false)
		return nil
	})
	return http.StatusOK, result, err
}

func (s *server) changeRole(request *call) (int, any, error) {
	var body struct{ Role string }
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	if body.Role != "Viewer" && body.Role != "Editor" && body.Role != "Admin" {
		return 0, nil, plain(http.StatusBadRequest, "Invalid role specified")
	}
	return http.StatusOK, message("Organization user updated"), s.withUser(request, func(_ *state, found *user) error {
		found.Role = body.Role
		return nil
	})
}

func (s *server) orgUsers(*call) (int, any, error) {
	result := []any{}
	err := s.store.view(func(state *state) error {
		for _, each := range state.Users {
			result = append(result, map[string]any{"orgId": 1, "userId": each.ID, "email": each.Email, "login": each.Login,
				"name": each.Name, "role": each.Role, "isDisabled": false})
		}
		return nil
	})
	return http.StatusOK, result, err
}

// --- service accounts ------------------------------------------------------------------------------------------------

func (a *serviceAccount) shown(tokens int, avatar string) map[string]any {
	return map[string]any{"id": a.ID, "name": a.Name, "login": "sa-" + a.Name, "orgId": 1, "isDisabled": false, "role": a.Role,
		"tokens": tokens, "avatarUrl": avatar}
}

func (s *server) createServiceAccount(request *call) (int, any, error) {
	var body struct{ Name, Role string }
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	if body.Name == "" {
		return 0, nil, plain(http.StatusBadRequest, "name is missing")
	}
	if body.Role == "" {
		body.Role = "Viewer"
	}
	var result map[string]any
	err := s.store.update(func(state *state) error {
		for _, each := range state.ServiceAccounts {
			if each.Name == body.Name {
				return coded(http.StatusBadRequest, "serviceaccounts.ErrAlreadyExists", "service account already exists")
			}
		}
		state.LastUser++
		made := &serviceAccount{ID: state.LastUser, Name: body.Name, Role: body.Role}
		state.ServiceAccounts = append(state.ServiceAccounts, made)
		result = made.shown(0, "")
		return nil
	})
	return http.StatusCreated, result, err
}

func (s *server) searchServiceAccounts(request *call) (int, any, error) {
	accounts := []any{}
	err := s.store.view(func(state *state) error {
		for _, each := range state.ServiceAccounts {
			if !strings.Contains(strings.ToLower(each.Name), strings.ToLower(request.URL.Query().Get("query"))) {
				continue
			}
			count := 0
			for _, token := range state.Tokens {
				if token.Account == each.ID {
					count++
				}
			}
			accounts = append(accounts, each.shown(count, "/public/img/user_profile.png"))
		}
		return nil
	})
	return http.StatusOK, map[string]any{"totalCount": len(accounts), "serviceAccounts": accounts, "page": 1, "perPage": 1000}, err
}

func (s *server) createToken(request *call) (int, any, error) {
	id, err := request.number("id")
	if err != nil {
		return 0, nil, err
	}
	var body struct{ Name string }
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	secret := randomText(16)
	secret = fmt.Sprintf("glsa_%s_%08x", secret, crc32.ChecksumIEEE([]byte(secret)))
	var result map[string]any
	err = s.store.update(func(state *state) error {
		known := false
		for _, each := range state.ServiceAccounts {
			known = known || each.ID == id
		}
		if !known {
			return coded(http.StatusNotFound, "serviceaccounts.ErrNotFound", "service account not found")
		}
		for _, each := range state.Tokens {
			if each.Name == body.Name {
				return coded(http.StatusBadRequest, "serviceaccounts.ErrTokenAlreadyExists",
					"service account token with given name already exists in the organization")
			}
		}
		state.LastToken++
		sum := sha256.Sum256([]byte(secret))
		state.Tokens = append(state.Tokens, &apiToken{ID: state.LastToken, Account: id, Name: body.Name, Digest: hex.EncodeToString(sum[:])})
		result = map[string]any{"id": state.LastToken, "name": body.Name, "key": secret}
		return nil
	})
	return http.StatusOK, result, err
}

func (s *server) deleteServiceAccount(request *call) (int, any, error) {
	id, err := request.number("id")
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, message("Service account deleted"), s.store.update(func(state *state) error {
		var accounts []*serviceAccount
		for _, each := range state.ServiceAccounts {
			if each.ID != id {
				accounts = append(accounts, each)
			}
		}
		if len(accounts) == len(state.ServiceAccounts) {
			return coded(http.StatusNotFound, "serviceaccounts.ErrNotFound", "service account not found")
		}
		var tokens []*apiToken
		for _, each := range state.Tokens {
			if each.Account != id {
				tokens = append(tokens, each)
			}
		}
		state.ServiceAccounts, state.Tokens = accounts, tokens
		return nil
	})
}

// --- the server ------------------------------------------------------------------------------------------------------

func (s *server) showSettings(*call) (int, any, error) {
	result := map[string]map[string]string{}
	for section, keys := range s.settings {
		result[section] = map[string]string{}
		for name, value := range keys {
			if value != "" && (strings.Contains(name, "password") || strings.Contains(name, "secret")) {
				value = "*********"
			}
			result[section][name] = value
		}
	}
	return http.StatusOK, result, nil
}

func (s *server) stats(*call) (int, any, error) {
	result := map[string]int{"orgs": 1, "playlists": 0, "snapshots": 0, "stars": 0, "tags": 0, "activeSessions": 0,
		"activeAdmins": 0, "activeEditors": 0, "activeViewers": 0, "dailyActiveAdmins": 0, "dailyActiveEditors": 0,
		"dailyActiveSessions": 0, "dailyActiveViewers": 0, "admins": 0, "editors": 0, "viewers": 0}
	s.alerting.mutex.Lock()
	result["alerts"] = len(s.alerting.rules())
	s.alerting.mutex.Unlock()
	s.mutex.Lock()
	result["activeSessions"] = len(s.sessions)
	s.mutex.Unlock()
	err := s.store.view(func(state *state) error {
		for _, name := range []string{"users", "activeUsers", "dailyActiveUsers", "monthlyActiveUsers"} {
			result[name] = len(state.Users)
		}
		for _, each := range state.Users {
			result[strings.ToLower(each.Role)+"s"]++
		}
		result["dashboards"], result["datasources"] = len(state.Dashboards), len(state.Datasources)
		return nil
	})
	return http.StatusOK, result, err
}

func (s *server) reload(request *call) (int, any, error) {
	var err error
	name := request.PathValue("kind")
	switch name {
	case "dashboards":
		var providers []dashboardProvider
		if providers, err = s.dashboardProviders(); err == nil {
			err = s.provisionDashboards(providers)
		}
	case "datasources":
		err = s.provisionDatasources()
	case "alerting":
		if err = s.alerting.provision(); err == nil {
			s.alerting.start(s.context)
		}
	case "plugins", "notifications":
	default:
		return 0, nil, errNotFound
	}
	if err != nil {
		s.log.error("Failed to reload", "kind", name, "error", err.Error())
		return 0, nil, plain(http.StatusInternalServerError, err.Error())
	}
	return http.StatusOK, message(strings.ToUpper(name[:1]) + name[1:] + " config reloaded"), nil
}

// --- data sources ----------------------------------------------------------------------------------------------------

func (d *datasource) listed() map[string]any {
	return map[string]any{"id": d.ID, "uid": d.UID, "orgId": 1, "name": d.Name, "type": d.Type, "typeName": "InfluxDB",
		"typeLogoUrl": "public/app/plugins/datasource/influxdb/img/influxdb_logo.svg", "access": d.Access, "url": d.URL,
		"user": d.User, "database": d.Database, "basicAuth": d.BasicAuth, "isDefault": d.Default, "jsonData": d.JSONData,
		"readOnly": d.ReadOnly}
}

func (d *datasource) shown() map[string]any {
	result := d.listed()
	delete(result, "typeName")
	fields := map[string]bool{}
	for name := range d.Secure {
		fields[name] = true
	}
	result["typeLogoUrl"], result["basicAuthUser"], result["withCredentials"] = "", d.BasicAuthUser, d.WithCredentials
	result["secureJsonFields"], result["version"] = fields, d.Version
	return result
}

func (s *server) listDatasources(*call) (int, any, error) {
	result := []any{}
	err := s.store.view(func(state *state) error {
		sorted := append([]*datasource(nil), state.Datasources...)
		sort.Slice(sorted, func(i, j int) bool { return strings.ToLower(sorted[i].Name) < strings.ToLower(sorted[j].Name) })
		for _, each := range sorted {
			result = append(result, each.listed())
		}
		return nil
	})
	return http.StatusOK, result, err
}

var errSource = plain(http.StatusNotFound, "Data source not found")

func (s *server) getDatasource(request *call) (int, any, error) {
	var result map[string]any
	err := s.store.view(func(state *state) error {
		found := state.datasource(func(each *datasource) bool {
			return each.UID == request.PathValue("uid") || each.Name == request.PathValue("name")
		})
		if found == nil {
			return errSource
		}
		result = found.shown()
		return nil
	})
	return http.StatusOK, result, err
}

func (s *server) createDatasource(request *call) (int, any, error) {
	var body provisionedSource
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	if body.Name == "" || body.Type == "" || body.Access == "" {
		return 0, nil, plain(http.StatusBadRequest, "bad request data")
	}
	var result map[string]any
	err := s.store.update(func(state *state) error {
		if state.datasource(func(each *datasource) bool { return each.Name == body.Name }) != nil {
			return traced(http.StatusConflict, "data source with the same name already exists")
		}
		if body.UID != "" && state.datasourceByUID(body.UID) != nil {
			return traced(http.StatusConflict, "data source with the same uid already exists")
		}
		if err := s.putProvisioned(state, body); err != nil {
			return err
		}
		made := state.Datasources[len(state.Datasources)-1]
		made.ReadOnly = false
		result = map[string]any{"id": made.ID, "message": "Datasource added", "name": made.Name, "datasource": made.shown()}
		return nil
	})
	return http.StatusOK, result, err
}

func (s *server) changeDatasource(request *call) (int, any, error) {
	var body provisionedSource
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	var result map[string]any
	err := s.store.update(func(state *state) error {
		found := state.datasourceByUID(request.PathValue("uid"))
		if found == nil {
			return errSource
		}
		if found.ReadOnly {
			return plain(http.StatusForbidden, "Cannot update read-only data source")
		}
		secrets := found.Secure
		found.Name = body.Name
		body.UID, body.Version = found.UID, found.Version+1
		if err := s.putProvisioned(state, body); err != nil {
			return err
		}
		for name, value := range secrets { // a secret that is not given stays
			if _, given := found.Secure[name]; !given {
				found.Secure[name] = value
			}
		}
		found.ReadOnly = false
		result = map[string]any{"id": found.ID, "message": "Datasource updated", "name": found.Name, "datasource": found.shown()}
		return nil
	})
	return http.StatusOK, result, err
}

func (s *server) deleteDatasource(request *call) (int, any, error) {
	var result map[string]any
	err := s.store.update(func(state *state) error {
		found := state.datasourceByUID(request.PathValue("uid"))
		if found == nil {
			return errSource
		}
		if found.ReadOnly {
			return plain(http.StatusForbidden, "Cannot delete read-only data source")
		}
		result = map[string]any{"id": found.ID, "message": "Data source deleted"}
		state.removeDatasource(func(each *datasource) bool { return each == found })
		return nil
	})
	return http.StatusOK, result, err
}

// connection finds a data source and opens its secrets.
func (s *server) connection(match func(*datasource) bool) (*connection, error) {
	var result *connection
	err := s.store.view(func(state *state) error {
		found := state.datasource(match)
		if found == nil {
			return traced(http.StatusNotFound, "Data source not found")
		}
		var err error
		result, err = s.store.connect(found)
		return err
	})
	return result, err
}

func (s *server) datasourceHealth(request *call) (int, any, error) {
	source, err := s.connection(func(each *datasource) bool { return each.UID == request.PathValue("uid") })
	if err != nil {
		return 0, nil, traced(http.StatusInternalServerError, "Unable to load datasource metadata")
	}
	status, body := source.health(request.Context())
	return status, body, nil
}

func (s *server) dataQuery(request *call) (int, any, error) {
	var body struct {
		From    string            `json:"from"`
		To      string            `json:"to"`
		Queries []json.RawMessage `json:"queries"`
	}
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	if len(body.Queries) == 0 {
		return 0, nil, traced(http.StatusBadRequest, "No queries found in query")
	}
	now := time.Now()
	from, err := parseTime(body.From, now)
	if err != nil {
		return 0, nil, plain(http.StatusBadRequest, err.Error())
	}
	to, err := parseTime(body.To, now)
	if err != nil {
		return 0, nil, plain(http.StatusBadRequest, err.Error())
	}
	results := map[string]any{}
	for _, text := range body.Queries {
		var each query
		if err := json.Unmarshal(text, &each); err != nil {
			return 0, nil, plain(http.StatusBadRequest, "bad request data")
		}
		uid := each.sourceUID()
		source, err := s.connection(func(known *datasource) bool {
			return (uid != "" && known.UID == uid) || (uid == "" && known.ID == each.DatasourceID)
		})
		if err != nil {
			return 0, nil, err
		}
		series, statement, err := each.run(request.Context(), source, from, to)
		if err != nil {
			s.log.error("Query failed", "logger", "tsdb.influx_influxql", "refId", each.RefID, "error", err.Error())
			return 0, nil, coded(http.StatusInternalServerError, "plugin.downstreamError", "An error occurred within the plugin")
		}
		frames := []any{}
		for _, one := range series {
			frames = append(frames, one.frame(statement, each.RefID))
		}
		results[each.RefID] = map[string]any{"status": http.StatusOK, "frames": frames}
	}
	return http.StatusOK, map[string]any{"results": results}, nil
}

// proxy hands a request on to a data source's server, with the data source's own credentials.
func (s *server) proxy(writer http.ResponseWriter, request *http.Request) {
	if _, err := s.identify(request); err != nil {
		refuse(writer, err)
		return
	}
	id, _ := strconv.ParseInt(request.PathValue("id"), 10, 64)
	source, err := s.connection(func(each *datasource) bool {
		return each.UID == request.PathValue("uid") || (id != 0 && each.ID == id)
	})
	if err != nil {
		refuse(writer, plain(http.StatusNotFound, "Unable to find datasource"))
		return
	}
	target, err := url.Parse(source.source.URL)
	if err != nil {
		refuse(writer, plain(http.StatusInternalServerError, "Unable to load datasource meta data"))
		return
	}
	transport, err := source.transport()
	if err != nil {
		refuse(writer, err)
		return
	}
	path := request.PathValue("path")
	(&httputil.ReverseProxy{Transport: transport, Rewrite: func(onward *httputil.ProxyRequest) {
		onward.Out.URL.Path, onward.Out.URL.RawPath = "/"+path, ""
		onward.SetURL(target)
		for _, name := range []string{"Authorization", "Cookie", "Origin", "Referer"} {
			onward.Out.Header.Del(name)
		}
		source.headers(onward.Out.Header)
	}, ErrorHandler: func(writer http.ResponseWriter, _ *http.Request, err error) {
		s.log.error("Proxy request failed", "logger", "data-proxy-log", "error", err.Error())
		refuse(writer, plain(http.StatusBadGateway, "Bad Gateway"))
	}}).ServeHTTP(writer, request)
}

// --- dashboards ------------------------------------------------------------------------------------------------------

var noWord = regexp.MustCompile(`[^a-z0-9]+`)

func slug(title string) string {
	return strings.Trim(noWord.ReplaceAllString(strings.ToLower(title), "-"), "-")
}

func (d *dashboard) url() string { return "/d/" + d.UID + "/" + slug(d.Title) }

func (s *server) search(request *call) (int, any, error) {
	result := []any{}
	asked := request.URL.Query()
	err := s.store.view(func(state *state) error {
		matches := func(title string) bool {
			return strings.Contains(strings.ToLower(title), strings.ToLower(asked.Get("query")))
		}
		if kind := asked.Get("type"); kind == "" || kind == "dash-folder" {
			for _, each := range state.Folders {
				if matches(each.Title) {
					result = append(result, map[string]any{"id": each.ID, "uid": each.UID, "title": each.Title, "uri": "db/" + slug(each.Title),
						"url": "/dashboards/f/" + each.UID + "/" + slug(each.Title), "slug": "", "type": "dash-folder", "tags": []string{},
						"isStarred": false, "sortMeta": 0})
				}
			}
		}
		if kind := asked.Get("type"); kind == "" || kind == "dash-db" {
			for _, each := range state.Dashboards {
				if !matches(each.Title) {
					continue
				}
				entry := map[string]any{"id": each.ID, "uid": each.UID, "title": each.Title, "uri": "db/" + slug(each.Title),
					"url": each.url(), "slug": "", "type": "dash-db", "tags": each.tags(), "isStarred": false, "sortMeta": 0}
				if place := state.folderByUID(each.Folder); place != nil {
					entry["folderId"], entry["folderUid"], entry["folderTitle"] = place.ID, place.UID, place.Title
					entry["folderUrl"] = "/dashboards/f/" + place.UID + "/" + slug(place.Title)
				}
				result = append(result, entry)
			}
		}
		return nil
	})
	return http.StatusOK, result, err
}

func (d *dashboard) tags() []any {
	if tags, ok := d.Data["tags"].([]any); ok {
		return tags
	}
	return []any{}
}

func (s *server) listFolders(*call) (int, any, error) {
	result := []any{}
	err := s.store.view(func(state *state) error {
		for _, each := range state.Folders {
			result = append(result, map[string]any{"id": each.ID, "uid": each.UID, "title": each.Title})
		}
		return nil
	})
	return http.StatusOK, result, err
}

func (s *server) getDashboard(request *call) (int, any, error) {
	var result map[string]any
	err := s.store.view(func(state *state) error {
		found := state.dashboardByUID(request.PathValue("uid"))
		if found == nil {
			return traced(http.StatusNotFound, "Dashboard not found")
		}
		meta := map[string]any{"type": "db", "canSave": true, "canEdit": true, "canAdmin": true, "canStar": true, "canDelete": true,
			"slug": slug(found.Title), "url": found.url(), "expires": "0001-01-01T00:00:00Z",
			"created": found.Created.Format(time.RFC3339), "updated": found.Updated.Format(time.RFC3339), "updatedBy": "Anonymous",
			"createdBy": "Anonymous", "version": found.Version, "hasAcl": false, "isFolder": false, "folderId": 0, "folderUid": "",
			"folderTitle": "General", "folderUrl": "", "provisioned": found.Provider != "", "provisionedExternalId": found.External,
			"annotationsPermissions": map[string]any{"dashboard": map[string]bool{"canAdd": true, "canEdit": true, "canDelete": true},
				"organization": map[string]bool{"canAdd": true, "canEdit": true, "canDelete": true}},
			"publicDashboardAccessToken": "", "publicDashboardUid": "", "publicDashboardEnabled": false}
		if place := state.folderByUID(found.Folder); place != nil {
			meta["folderId"], meta["folderUid"], meta["folderTitle"] = place.ID, place.UID, place.Title
			meta["folderUrl"] = "/dashboards/f/" + place.UID + "/" + slug(place.Title)
		}
		result = map[string]any{"dashboard": found.Data, "meta": meta}
		return nil
	})
	return http.StatusOK, result, err
}

func (s *server) saveDashboard(request *call) (int, any, error) {
	var body struct {
		Dashboard map[string]any `json:"dashboard"`
		FolderUID string         `json:"folderUid"`
		Overwrite bool           `json:"overwrite"`
	}
	if err := request.decode(&body); err != nil {
		return 0, nil, err
	}
	title, _ := body.Dashboard["title"].(string)
	if title == "" {
		return 0, nil, plain(http.StatusBadRequest, "Dashboard title cannot be empty")
	}
	uid, _ := body.Dashboard["uid"].(string)
	var result map[string]any
	err := s.store.update(func(state *state) error {
		if body.FolderUID != "" && state.folderByUID(body.FolderUID) == nil {
			return plain(http.StatusBadRequest, "folder not found")
		}
		found := state.dashboardByUID(uid)
		now := time.Now().UTC()
		switch {
		case found != nil && found.Provider != "":
			return plain(http.StatusBadRequest, "Cannot save provisioned dashboard")
		case found != nil:
			if version, _ := body.Dashboard["version"].(float64); int64(version) != found.Version && !body.Overwrite {
				return &failure{status: http.StatusPreconditionFailed, body: map[string]any{"status": "version-mismatch",
					"message": "The dashboard has been changed by someone else"}}
			}
		default:
			state.LastDashboard++
			if uid == "" {
				uid = randomText(8)
			}
			found = &dashboard{ID: state.LastDashboard, UID: uid, Created: now}
			state.Dashboards = append(state.Dashboards, found)
		}
		found.Version++
		found.Title, found.Data, found.Folder, found.Updated = title, body.Dashboard, body.FolderUID, now
		found.stamp()
		result = map[string]any{"id": found.ID, "uid": found.UID, "url": found.url(), "status": "success", "version": found.Version,
			"slug": slug(title)}
		return nil
	})
	return http.StatusOK, result, err
}

func (s *server) deleteDashboard(request *call) (int, any, error) {
	var result map[string]any
	err := s.store.update(func(state *state) error {
		found := state.dashboardByUID(request.PathValue("uid"))
		if found == nil {
			return traced(http.StatusNotFound, "Dashboard not found")
		}
		if found.Provider != "" {
			return traced(http.StatusBadRequest, "provisioned dashboard cannot be deleted")
		}
		var kept []*dashboard
		for _, each := range state.Dashboards {
			if each != found {
				kept = append(kept, each)
			}
		}
		state.Dashboards = kept
		result = map[string]any{"id": found.ID, "title": found.Title, "message": "Dashboard " + found.Title + " deleted"}
		return nil
	})
	return http.StatusOK, result, err
}
