// Copyright: (c) 2026, edgestack.iot contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// connection is a data source with its secrets in the clear, ready to be asked.
type connection struct {
	source datasource
	secure map[string]string
}

func (s *store) connect(source *datasource) (*connection, error) {
	result := &connection{source: *source, secure: map[string]string{}}
	for name, sealed := range source.Secure {
		plain, err := s.decrypt(sealed)
		if err != nil {
			return nil, fmt.Errorf("data source %s, %s: %w", source.UID, name, err)
		}
		result.secure[name] = plain
	}
	return result, nil
}

func (c *connection) option(name string) string {
	text, _ := c.source.JSONData[name].(string)
	return text
}

func (c *connection) switched(name string) bool {
	on, _ := c.source.JSONData[name].(bool)
	return on
}

// headers are the data source's own: httpHeaderName1 with the secret httpHeaderValue1, and so on.
func (c *connection) headers(header http.Header) {
	for number := 1; ; number++ {
		name := c.option("httpHeaderName" + strconv.Itoa(number))
		if name == "" {
			break
		}
		header.Set(name, c.secure["httpHeaderValue"+strconv.Itoa(number)])
	}
	if c.source.BasicAuth {
		request := http.Request{Header: header}
		request.SetBasicAuth(c.source.BasicAuthUser, c.secure["basicAuthPassword"])
	}
}

func (c *connection) transport() (*http.Transport, error) {
	configuration := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.option("serverName"),
		InsecureSkipVerify: c.switched("tlsSkipVerify")}
	if c.switched("tlsAuthWithCACert") && c.secure["tlsCACert"] != "" {
		configuration.RootCAs = x509.NewCertPool()
		if !configuration.RootCAs.AppendCertsFromPEM([]byte(c.secure["tlsCACert"])) {
			return nil, errors.New("failed to parse TLS CA PEM certificate")
		}
	}
	if c.switched("tlsAuth") {
		pair, err := tls.X509KeyPair([]byte(c.secure["tlsClientCert"]), []byte(c.secure["tlsClientKey"]))
		if err != nil {
			return nil, err
		}
		configuration.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{TLSClientConfig: configuration, DisableKeepAlives: true}, nil
}

type influxSeries struct {
	Name    string            `json:"name"`
	Tags    map[string]string `json:"tags"`
	Columns []string          `json:"columns"`
	Values  [][]any           `json:"values"`
}

// influxQL runs a statement in the database of the data source, through the v1 interface.
func (c *connection) influxQL(ctx context.Context, statement string) ([]influxSeries, error) {
	database := c.option("dbName")
	if database == "" {
		database = c.source.Database
	}
	parameters := url.Values{"db": {database}, "epoch": {"ms"}}
	var request *http.Request
	var err error
	target := strings.TrimRight(c.source.URL, "/") + "/query?"
	if c.option("httpMode") == "POST" {
		body := strings.NewReader(url.Values{"q": {statement}}.Encode())
		request, err = http.NewRequestWithContext(ctx, http.MethodPost, target+parameters.Encode(), body)
		if err == nil {
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	} else {
		parameters.Set("q", statement)
		request, err = http.NewRequestWithContext(ctx, http.MethodGet, target+parameters.Encode(), nil)
	}
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "Grafana/"+version())
	c.headers(request.Header)
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	answer, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(answer.Body, 256<<20))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 != 2 {
		return nil, fmt.Errorf("InfluxDB returned error status: %s: %s", answer.Status, strings.TrimSpace(string(content[:min(len(content), 300)])))
	}
	var parsed struct {
		Error   string `json:"error"`
		Results []struct {
			Error  string         `json:"error"`
			Series []influxSeries `json:"series"`
		} `json:"results"`
	}
	if err := json.Unmarshal(content, &parsed); err != nil {
		return nil, fmt.Errorf("InfluxDB's answer is no JSON: %w", err)
	}
	var series []influxSeries
	for _, result := range parsed.Results {
		if result.Error != "" {
			return nil, errors.New(result.Error)
		}
		series = append(series, result.Series...)
	}
	if parsed.Error != "" {
		return nil, errors.New(parsed.Error)
	}
	return series, nil
}

// query is one of the queries that POST /api/ds/query and the alert rules carry.
type query struct {
	RefID         string          `json:"refId"`
	Query         string          `json:"query"`
	RawQuery      bool            `json:"rawQuery"`
	ResultFormat  string          `json:"resultFormat"`
	Alias         string          `json:"alias"`
	IntervalMs    float64         `json:"intervalMs"`
	MaxDataPoints float64         `json:"maxDataPoints"`
	DatasourceID  int64           `json:"datasourceId"`
	Datasource    json.RawMessage `json:"datasource"`
}

// sourceUID: a data source is named by an object with its uid, or by the uid alone.
func (q *query) sourceUID() string {
	var object struct {
		UID string `json:"uid"`
	}
	var text string
	if json.Unmarshal(q.Datasource, &object) == nil && object.UID != "" {
		return object.UID
	}
	_ = json.Unmarshal(q.Datasource, &text)
	return text
}

var intervals = []struct {
	below, rounded time.Duration
}{
	{15 * time.Millisecond, 10 * time.Millisecond}, {35 * time.Millisecond, 20 * time.Millisecond},
	{75 * time.Millisecond, 50 * time.Millisecond}, {150 * time.Millisecond, 100 * time.Millisecond},
	{350 * time.Millisecond, 200 * time.Millisecond}, {750 * time.Millisecond, 500 * time.Millisecond},
	{1500 * time.Millisecond, time.Second}, {3500 * time.Millisecond, 2 * time.Second},
	{7500 * time.Millisecond, 5 * time.Second}, {12500 * time.Millisecond, 10 * time.Second},
	{17500 * time.Millisecond, 15 * time.Second}, {25 * time.Second, 20 * time.Second},
	{45 * time.Second, 30 * time.Second}, {90 * time.Second, time.Minute}, {210 * time.Second, 2 * time.Minute},
	{450 * time.Second, 5 * time.Minute}, {750 * time.Second, 10 * time.Minute}, {1050 * time.Second, 15 * time.Minute},
	{1500 * time.Second, 20 * time.Minute}, {2700 * time.Second, 30 * time.Minute}, {5400 * time.Second, time.Hour},
	{9000 * time.Second, 2 * time.Hour}, {16200 * time.Second, 3 * time.Hour}, {32400 * time.Second, 6 * time.Hour},
	{86400 * time.Second, 12 * time.Hour}, {604800 * time.Second, 24 * time.Hour}, {math.MaxInt64, 7 * 24 * time.Hour},
}

func (q *query) interval(from, to time.Time) time.Duration {
	points := q.MaxDataPoints
	if points <= 0 {
		points = 100
	}
	wanted := time.Duration(float64(to.Sub(from)) / points)
	if least := time.Duration(q.IntervalMs) * time.Millisecond; wanted < least {
		return least
	}
	for _, step := range intervals {
		if wanted < step.below {
			return step.rounded
		}
	}
	return 7 * 24 * time.Hour
}

func durationText(value time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if value >= unit.size && value%unit.size == 0 {
			return fmt.Sprintf("%d%s", value/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%dms", max(value.Milliseconds(), 1))
}

func (q *query) statement(from, to time.Time) string {
	interval := q.interval(from, to)
	timeFilter := fmt.Sprintf("time >= %dms and time <= %dms", from.UnixMilli(), to.UnixMilli())
	return strings.NewReplacer("$timeFilter", timeFilter, "$__interval_ms", strconv.FormatInt(interval.Milliseconds(), 10),
		"$__interval", durationText(interval), "${__interval}", durationText(interval),
		"$interval", durationText(interval)).Replace(q.Query)
}

// labelled is one column of one series: what Grafana hands over as a frame, and what rules reduce to a number.
type labelled struct {
	Name     string
	Labels   map[string]string
	Times    []any
	Values   []any
	TimeLess bool
}

func (l *labelled) kind() (string, string) {
	for _, value := range l.Values {
		switch value.(type) {
		case string:
			return "string", "string"
		case bool:
			return "boolean", "bool"
		case float64:
			return "number", "float64"
		}
	}
	return "number", "float64"
}

func (l *labelled) frame(statement, refID string) map[string]any {
	kind, exact := l.kind()
	field := map[string]any{"name": "value", "type": kind, "typeInfo": map[string]any{"frame": exact, "nullable": true},
		"config": map[string]any{"displayNameFromDS": l.Name}}
	if len(l.Labels) > 0 {
		field["labels"] = l.Labels
	}
	fields := []any{field}
	values := []any{l.Values}
	if !l.TimeLess {
		fields = []any{map[string]any{"name": "time", "type": "time", "typeInfo": map[string]any{"frame": "time.Time"}}, field}
		values = []any{l.Times, l.Values}
	}
	return map[string]any{
		"schema": map[string]any{"name": l.Name, "refId": refID, "fields": fields,
			"meta": map[string]any{"typeVersion": []int{0, 0}, "executedQueryString": statement}},
		"data": map[string]any{"values": values},
	}
}

var aliasPart = regexp.MustCompile(`\$\s*(\w+)|\[\[\s*(\w+)\s*\]\]`)

func seriesName(alias string, series influxSeries, column string) string {
	if alias != "" {
		return aliasPart.ReplaceAllStringFunc(alias, func(match string) string {
			groups := aliasPart.FindStringSubmatch(match)
			name := groups[1] + groups[2]
			if tag, ok := strings.CutPrefix(name, "tag_"); ok {
				if value, known := series.Tags[tag]; known {
					return value
				}
			}
			switch name {
			case "m", "measurement":
				return series.Name
			case "col":
				return column
			}
			return match
		})
	}
	name := series.Name + "." + column
	if len(series.Tags) > 0 {
		var tags []string
		for tag, value := range series.Tags {
			tags = append(tags, tag+": "+value)
		}
		sort.Strings(tags)
		name += " { " + strings.Join(tags, ", ") + " }"
	}
	return name
}

func (q *query) run(ctx context.Context, source *connection, from, to time.Time) ([]labelled, string, error) {
	if q.Query == "" {
		return nil, "", errors.New("the stand-in knows raw queries only (rawQuery, query)")
	}
	statement := q.statement(from, to)
	series, err := source.influxQL(ctx, statement)
	if err != nil {
		return nil, statement, err
	}
	var result []labelled
	for _, each := range series {
		if len(each.Columns) == 0 || each.Columns[0] != "time" {
			// SHOW ...: the last column holds the values
			part := labelled{Name: each.Name, TimeLess: true}
			for _, row := range each.Values {
				part.Values = append(part.Values, row[len(row)-1])
			}
			result = append(result, part)
			continue
		}
		for column := 1; column < len(each.Columns); column++ {
			part := labelled{Name: seriesName(q.Alias, each, each.Columns[column]), Labels: each.Tags}
			for _, row := range each.Values {
				part.Times = append(part.Times, row[0])
				part.Values = append(part.Values, row[column])
			}
			result = append(result, part)
		}
	}
	return result, statement, nil
}

// health is the data source's own check: how many measurements there are.
func (c *connection) health(ctx context.Context) (int, map[string]any) {
	series, err := c.influxQL(ctx, "SHOW measurements")
	if err != nil {
		return http.StatusBadRequest, map[string]any{"status": "ERROR", "message": err.Error() + " error performing influxQL query"}
	}
	count := 0
	for _, each := range series {
		count += len(each.Values)
	}
	return http.StatusOK, map[string]any{"status": "OK", "message": fmt.Sprintf("datasource is working. %d measurements found", count)}
}

var relative = regexp.MustCompile(`^now(?:([-+])(\d+)(ms|s|m|h|d|w|M|y))?(?:/([smhdwMy]))?$`)

// parseTime reads "now-6h" and milliseconds since 1970.
func parseTime(text string, now time.Time) (time.Time, error) {
	if milliseconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(milliseconds), nil
	}
	groups := relative.FindStringSubmatch(text)
	if groups == nil {
		return now, fmt.Errorf("time %q: neither now-<number><unit> nor milliseconds", text)
	}
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
		"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "M": 30 * 24 * time.Hour, "y": 365 * 24 * time.Hour}
	if groups[2] != "" {
		number, err := strconv.ParseInt(groups[2], 10, 32)
		if err != nil {
			return now, err
		}
		step := time.Duration(number) * units[groups[3]]
		if groups[1] == "-" {
			step = -step
		}
		now = now.Add(step)
	}
	if groups[4] != "" {
		now = now.Truncate(units[groups[4]])
	}
	return now, nil
}
