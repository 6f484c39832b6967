// Copyright: (c) 2026, edgestack.iot contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"sort"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"
)

type ruleQuery struct {
	RefID             string         `json:"refId"`
	QueryType         string         `json:"queryType"`
	RelativeTimeRange map[string]int `json:"relativeTimeRange"`
	DatasourceUID     string         `json:"datasourceUid"`
	Model             map[string]any `json:"model"`
}

type rule struct {
	ID           int64
	UID          string            `json:"uid"`
	Title        string            `json:"title"`
	Condition    string            `json:"condition"`
	Data         []ruleQuery       `json:"data"`
	NoDataState  string            `json:"noDataState"`
	ExecErrState string            `json:"execErrState"`
	For          string            `json:"for"`
	Annotations  map[string]string `json:"annotations"`
	Labels       map[string]string `json:"labels"`
	IsPaused     bool              `json:"isPaused"`

	wait       time.Duration
	group      *ruleGroup
	updated    time.Time
	instances  map[string]*instance
	health     string
	lastError  string
	evaluated  time.Time
	evaluation float64
}

type ruleGroup struct {
	Name      string  `json:"name"`
	Folder    string  `json:"folder"`
	Interval  string  `json:"interval"`
	Rules     []*rule `json:"rules"`
	interval  time.Duration
	folderUID string
}

type contactPoint struct {
	UID                   string         `json:"uid"`
	Name                  string         `json:"name"`
	Type                  string         `json:"type"`
	Settings              map[string]any `json:"settings"`
	DisableResolveMessage bool           `json:"disableResolveMessage"`
	Provenance            string         `json:"provenance,omitempty"`
}

// instance is one series of a rule: its labels, and the state that the evaluations brought it to.
type instance struct {
	labels  map[string]string
	state   string // Normal, Pending, Alerting, NoData, Error
	since   time.Time
	pending time.Time
	sent    time.Time
	values  map[string]float64
}

// alerting holds the provisioned rules, evaluates them and answers for their state.
type alerting struct {
	server        *server
	mutex         sync.Mutex
	groups        []*ruleGroup
	contactPoints []contactPoint
	policy        map[string]any
	muteTimings   []map[string]any
	templates     []map[string]any
	lastID        int64
	restart       context.CancelFunc
}

func parseInterval(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		number, err := strconv.Atoi(days)
		return time.Duration(number) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

func (a *alerting) provision() error {
	found, names, err := documents(a.server.settings, "alerting")
	if err != nil {
		return err
	}
	var groups []*ruleGroup
	var points []contactPoint
	var policy map[string]any
	mutes, texts := []map[string]any{}, []map[string]any{}
	for _, path := range names {
		// Annotations and queries stay as they are written ($timeFilter, $$x); everything else is interpolated.
		expanded, err := interpolate(found[path])
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		var raw, document struct {
			Groups        []*ruleGroup `json:"groups"`
			ContactPoints []struct {
				Name      string         `json:"name"`
				Receivers []contactPoint `json:"receivers"`
			} `json:"contactPoints"`
			Policies  []map[string]any `json:"policies"`
			MuteTimes []map[string]any `json:"muteTimes"`
			Templates []map[string]any `json:"templates"`
		}
		if err := convert(expanded, &document); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := convert(found[path], &raw); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for i, group := range document.Groups {
			if group.interval, err = parseInterval(group.Interval); err != nil || group.interval < time.Second {
				return fmt.Errorf("%s: rule group %q: interval %q", path, group.Name, group.Interval)
			}
			for j, each := range group.Rules {
				if each.UID == "" || each.Title == "" || each.Condition == "" || len(each.Data) == 0 {
					return fmt.Errorf("%s: rule group %q: a rule needs uid, title, condition and data", path, group.Name)
				}
				if each.wait, err = parseInterval(each.For); err != nil {
					return fmt.Errorf("%s: rule %q: for: %w", path, each.Title, err)
				}
				each.Annotations, each.Data = raw.Groups[i].Rules[j].Annotations, raw.Groups[i].Rules[j].Data
				each.group, each.updated, each.health = group, time.Now().UTC(), "ok"
				each.instances = map[string]*instance{}
				for k := range each.Data {
					complete(&each.Data[k])
				}
				if each.NoDataState == "" {
					each.NoDataState = "NoData"
				}
				if each.ExecErrState == "" {
					each.ExecErrState = "Alerting"
				}
			}
			groups = append(groups, group)
		}
		for _, point := range document.ContactPoints {
			for _, receiver := range point.Receivers {
				receiver.Name, receiver.Provenance = point.Name, "file"
				points = append(points, receiver)
			}
		}
		for _, each := range document.Policies {
			delete(each, "orgId")
			each["provenance"] = "file"
			policy = each
		}
		mutes, texts = append(mutes, document.MuteTimes...), append(texts, document.Templates...)
	}
	// The folders come now, before the dashboards', and with a uid that nobody chose.
	err = a.server.store.update(func(state *state) error {
		for _, group := range groups {
			group.folderUID = state.ensureFolder(group.Folder, "").UID
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	known := map[string]*rule{}
	for _, group := range a.groups {
		for _, each := range group.Rules {
			known[each.UID] = each
		}
	}
	for _, group := range groups {
		for _, each := range group.Rules {
			if before := known[each.UID]; before != nil {
				each.ID, each.instances = before.ID, before.instances
			} else {
				a.lastID++
				each.ID = a.lastID
			}
		}
	}
	a.groups, a.contactPoints, a.policy, a.muteTimings, a.templates = groups, points, policy, mutes, texts
	return nil
}

// complete fills in what Grafana adds to every query of a rule.
func complete(each *ruleQuery) {
	if each.Model == nil {
		each.Model = map[string]any{}
	}
	each.Model["refId"] = each.RefID
	for key, value := range map[string]float64{"intervalMs": 1000, "maxDataPoints": 43200} {
		if _, given := each.Model[key]; !given {
			each.Model[key] = value
		}
	}
	// A time range left out, as expressions do, is 0 to 0.
	span := map[string]int{"from": 0, "to": 0}
	for key, value := range each.RelativeTimeRange {
		span[key] = value
	}
	each.RelativeTimeRange = span
}

// start evaluates every group at once and then at its interval; called again after a reload.
func (a *alerting) start(parent context.Context) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.restart != nil {
		a.restart()
	}
	ctx, cancel := context.WithCancel(parent)
	a.restart = cancel
	for _, group := range a.groups {
		go func() {
			ticker := time.NewTicker(group.interval)
			defer ticker.Stop()
			for {
				for _, each := range group.Rules {
					if !each.IsPaused {
						a.evaluate(ctx, each)
					}
				}
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
			}
		}()
	}
}

func key(labels map[string]string) string {
	content, _ := json.Marshal(labels) // a map's keys are sorted
	return string(content)
}

type numbers map[string]struct {
	labels map[string]string
	value  float64
}

// results evaluates the queries and expressions of a rule: reference -> series -> number.
func (a *alerting) results(ctx context.Context, each *rule) (map[string]numbers, error) {
	now := time.Now()
	done := map[string]numbers{}
	series := map[string][]labelled{}
	var visit func(reference string, depth int) error
	visit = func(reference string, depth int) error {
		if done[reference] != nil || series[reference] != nil {
			return nil
		}
		if depth > len(each.Data) {
			return fmt.Errorf("the expressions refer to one another in a circle at %s", reference)
		}
		var found *ruleQuery
		for i := range each.Data {
			if each.Data[i].RefID == reference {
				found = &each.Data[i]
			}
		}
		if found == nil {
			return fmt.Errorf("unable to find dependent node %q", reference)
		}
		if found.DatasourceUID != "__expr__" && found.DatasourceUID != "-100" {
			var asked query
			if err := convert(found.Model, &asked); err != nil {
				return err
			}
			source, err := a.server.connection(func(source *datasource) bool { return source.UID == found.DatasourceUID })
			if err != nil {
				return err
			}
			from := now.Add(-time.Duration(found.RelativeTimeRange["from"]) * time.Second)
			to := now.Add(-time.Duration(found.RelativeTimeRange["to"]) * time.Second)
			series[reference], _, err = asked.run(ctx, source, from, to)
			if series[reference] == nil {
				series[reference] = []labelled{}
			}
			return err
		}
		kind, _ := found.Model["type"].(string)
		input, _ := found.Model["expression"].(string)
		input = strings.TrimPrefix(input, "$")
		if err := visit(input, depth+1); err != nil {
			return err
		}
		result := numbers{}
		switch kind {
		case "reduce":
			reducer, _ := found.Model["reducer"].(string)
			for _, one := range series[input] {
				value, err := reduce(reducer, one.Values)
				if err != nil {
					return err
				}
				result[key(one.Labels)] = struct {
					labels map[string]string
					value  float64
				}{one.Labels, value}
			}
		case "threshold":
			var model struct {
				Conditions []struct {
					Evaluator struct {
						Type   string    `json:"type"`
						Params []float64 `json:"params"`
					} `json:"evaluator"`
				} `json:"conditions"`
			}
			if err := convert(found.Model, &model); err != nil {
				return err
			}
			if len(model.Conditions) == 0 {
				return errors.New("threshold expression without a condition")
			}
			evaluator := model.Conditions[0].Evaluator
			for name, one := range done[input] {
				met, err := compare(evaluator.Type, evaluator.Params, one.value)
				if err != nil {
					return err
				}
				one.value = 0
				if met {
					one.value = 1
				}
				result[name] = one
			}
		default:
			return fmt.Errorf("the stand-in does not know the expression %q", kind)
		}
		done[reference] = result
		return nil
	}
	if err := visit(each.Condition, 0); err != nil {
		return nil, err
	}
	return done, nil
}

func reduce(reducer string, values []any) (float64, error) {
	var clean []float64
	for _, value := range values {
		if number, ok := value.(float64); ok {
			clean = append(clean, number)
		}
	}
	if reducer == "count" {
		return float64(len(values)), nil
	}
	if len(clean) == 0 {
		return math.NaN(), nil
	}
	sum, least, most := 0.0, clean[0], clean[0]
	for _, number := range clean {
		sum, least, most = sum+number, min(least, number), max(most, number)
	}
	switch reducer {
	case "last":
		return clean[len(clean)-1], nil
	case "mean":
		return sum / float64(len(clean)), nil
	case "sum":
		return sum, nil
	case "min":
		return least, nil
	case "max":
		return most, nil
	}
	return 0, fmt.Errorf("reduction %s not implemented", reducer)
}

func compare(kind string, parameters []float64, value float64) (bool, error) {
	needed := map[string]int{"gt": 1, "lt": 1, "within_range": 2, "outside_range": 2}[kind]
	if needed == 0 || len(parameters) < needed {
		return false, fmt.Errorf("threshold %q with %d parameters", kind, len(parameters))
	}
	switch kind {
	case "gt":
		return value > parameters[0], nil
	case "lt":
		return value < parameters[0], nil
	case "within_range":
		return value > parameters[0] && value < parameters[1], nil
	}
	return value < parameters[0] || value > parameters[1], nil
}

func (a *alerting) evaluate(ctx context.Context, each *rule) {
	started := time.Now()
	results, err := a.results(ctx, each)
	if ctx.Err() != nil {
		return
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	each.evaluated, each.evaluation = started.UTC().Truncate(time.Second), time.Since(started).Seconds()
	each.health, each.lastError = "ok", ""
	seen := map[string]bool{}
	step := func(labels map[string]string, bad bool, quiet string, values map[string]float64) {
		name := key(labels)
		seen[name] = true
		known := each.instances[name]
		if known == nil {
			known = &instance{labels: labels, state: "", since: each.evaluated}
			each.instances[name] = known
		}
		known.values = values
		state := quiet
		if bad {
			if known.state != "Alerting" && known.state != "Pending" {
				known.pending = started
			}
			state = "Alerting"
			if started.Sub(known.pending) < each.wait {
				state = "Pending"
			}
		}
		if state != known.state {
			known.state, known.since = state, each.evaluated
		}
		if state == "Alerting" {
			known.sent = started
		}
	}
	switch {
	case err != nil:
		each.health, each.lastError = "error", err.Error()
		a.server.log.error("Failed to evaluate rule", "logger", "ngalert.scheduler", "rule_uid", each.UID, "error", err.Error())
		switch each.ExecErrState {
		case "Alerting":
			step(nil, true, "Normal", nil)
		case "OK":
			step(nil, false, "Normal", nil)
		default:
			step(nil, false, "Error", nil)
		}
	case len(results[each.Condition]) == 0:
		if each.NoDataState == "NoData" {
			each.health = "nodata"
		}
		step(nil, each.NoDataState == "Alerting", map[string]string{"OK": "Normal", "NoData": "NoData"}[each.NoDataState], nil)
	default:
		for name, one := range results[each.Condition] {
			values := map[string]float64{}
			for reference, numbers := range results {
				if other, ok := numbers[name]; ok {
					values[reference] = other.value
				}
			}
			step(one.labels, one.value != 0, "Normal", values)
		}
	}
	for name := range each.instances {
		if !seen[name] {
			delete(each.instances, name)
		}
	}
}

// text renders an annotation or label as Grafana does: {{ $labels.x }}, {{ $values.B }}.
func text(source string, one *instance) string {
	parsed, err := template.New("").Option("missingkey=zero").Parse("{{ $labels := .Labels }}{{ $values := .Values }}" + source)
	if err != nil {
		return source
	}
	var result strings.Builder
	if err := parsed.Execute(&result, map[string]any{"Labels": one.labels, "Values": one.values}); err != nil {
		return source
	}
	return result.String()
}

func (a *alerting) labels(each *rule, one *instance) map[string]string {
	result := map[string]string{"alertname": each.Title, "grafana_folder": each.group.Folder}
	for name, value := range one.labels {
		result[name] = value
	}
	for name, value := range each.Labels {
		result[name] = text(value, one)
	}
	return result
}

func (a *alerting) annotations(each *rule, one *instance) map[string]string {
	result := map[string]string{}
	for name, value := range each.Annotations {
		result[name] = text(value, one)
	}
	return result
}

func (a *alerting) export(each *rule, provenance bool) map[string]any {
	result := map[string]any{"id": each.ID, "uid": each.UID, "orgID": 1, "folderUID": each.group.folderUID,
		"ruleGroup": each.group.Name, "title": each.Title, "condition": each.Condition, "data": each.Data,
		"updated": each.updated.Format(time.RFC3339), "noDataState": each.NoDataState, "execErrState": each.ExecErrState,
		"for": "0s", "isPaused": each.IsPaused}
	if each.wait > 0 {
		result["for"] = durationText(each.wait)
	}
	if len(each.Annotations) > 0 {
		result["annotations"] = each.Annotations
	}
	if len(each.Labels) > 0 {
		result["labels"] = each.Labels
	}
	if provenance {
		result["provenance"] = "file"
	}
	return result
}

func (a *alerting) rules() []*rule {
	var result []*rule
	for _, group := range a.groups {
		result = append(result, group.Rules...)
	}
	return result
}

func (a *alerting) points() []contactPoint {
	result := append([]contactPoint{{Name: "email receiver", Type: "email", Settings: map[string]any{"addresses": "<example@email.com>"}}},
		a.contactPoints...)
	sort.SliceStable(result, func(i, j int) bool { return result[i].Name < result[j].Name })
	return result
}

func (a *alerting) receiver() string {
	if name, ok := a.policy["receiver"].(string); ok {
		return name
	}
	return "grafana-default-email"
}

func scientific(value float64) string { return strconv.FormatFloat(value, 'e', -1, 64) }

func (r *rule) sorted() []*instance {
	var names []string
	for name := range r.instances {
		names = append(names, name)
	}
	sort.Strings(names)
	var result []*instance
	for _, name := range names {
		result = append(result, r.instances[name])
	}
	return result
}

// prometheus is the state of all rules as /api/prometheus/grafana/api/v1/rules shows it.
func (a *alerting) prometheus() map[string]any {
	groups := []any{}
	for _, group := range a.groups {
		rules := []any{}
		var last time.Time
		took := 0.0
		for _, each := range group.Rules {
			state := "inactive"
			alerts := []any{}
			for _, one := range each.sorted() {
				switch {
				case one.state == "Alerting":
					state = "firing"
				case one.state == "Pending" && state != "firing":
					state = "pending"
				}
				value := ""
				if number, ok := one.values[each.Condition]; ok {
					value = scientific(number)
				}
				alerts = append(alerts, map[string]any{"labels": a.labels(each, one), "annotations": a.annotations(each, one),
					"state": one.state, "activeAt": one.since.Format(time.RFC3339), "value": value})
			}
			data, _ := json.Marshal(each.Data)
			shown := map[string]any{"name": each.Title, "query": string(data), "state": state, "type": "alerting",
				"health": each.health, "alerts": alerts, "labels": each.Labels, "annotations": each.Annotations,
				"lastEvaluation": each.evaluated.Format(time.RFC3339), "evaluationTime": each.evaluation}
			if each.lastError != "" {
				shown["lastError"] = each.lastError
			}
			if each.wait > 0 {
				shown["duration"] = each.wait.Seconds()
			}
			rules = append(rules, shown)
			if each.evaluated.After(last) {
				last, took = each.evaluated, each.evaluation
			}
		}
		groups = append(groups, map[string]any{"name": group.Name, "file": group.Folder, "rules": rules,
			"interval": group.interval.Seconds(), "lastEvaluation": last.Format(time.RFC3339), "evaluationTime": took})
	}
	return map[string]any{"status": "success", "data": map[string]any{"groups": groups}}
}

// alerts is what the alert manager holds: the instances that fire.
func (a *alerting) alerts(rootURL string) []any {
	result := []any{}
	const form = "2006-01-02T15:04:05.000Z07:00"
	for _, each := range a.rules() {
		for _, one := range each.sorted() {
			if one.state != "Alerting" {
				continue
			}
			labels := a.labels(each, one)
			labels["__alert_rule_uid__"] = each.UID
			annotations := a.annotations(each, one)
			annotations["__orgId__"] = "1"
			var references, described []string
			for reference := range one.values {
				references = append(references, reference)
			}
			sort.Sort(sort.Reverse(sort.StringSlice(references)))
			var pairs []string
			for tag, value := range one.labels {
				pairs = append(pairs, tag+"="+value)
			}
			sort.Strings(pairs)
			for _, reference := range references {
				described = append(described, fmt.Sprintf("[ var='%s' labels={%s} value=%s ]", reference, strings.Join(pairs, ", "),
					strconv.FormatFloat(one.values[reference], 'g', -1, 64)))
			}
			values, _ := json.Marshal(one.values)
			annotations["__value_string__"], annotations["__values__"] = strings.Join(described, ", "), string(values)
			sum := fnv.New64a()
			_, _ = sum.Write([]byte(key(labels)))
			result = append(result, map[string]any{
				"annotations": annotations, "labels": labels, "fingerprint": fmt.Sprintf("%016x", sum.Sum64()),
				"startsAt": one.since.Format(form), "updatedAt": one.sent.UTC().Format(form),
				"endsAt":       one.sent.UTC().Add(4 * each.group.interval).Format(form),
				"generatorURL": rootURL + "/alerting/grafana/" + each.UID + "/view",
				"receivers":    []any{map[string]any{"active": nil, "integrations": nil, "name": a.receiver()}},
				"status":       map[string]any{"inhibitedBy": []any{}, "silencedBy": []any{}, "state": "active"}})
		}
	}
	return result
}
