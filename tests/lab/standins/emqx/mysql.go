package main

// MySQL resources: one pool of connections for each authenticator or source, and the configured query
// as a prepared statement with the placeholders as parameters.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

func init() {
	// the driver's own log would repeat what is logged here
	_ = mysql.SetLogger(log.New(io.Discard, "", 0))
}

// sqlVars are the placeholders a query may have; any other is passed on as it stands.
var sqlVars = []string{"username", "clientid", "password", "peerhost", "cert_common_name", "cert_subject",
	"cert_pem", "zone", "listener", "proto_name"}

var sqlPlaceholder = regexp.MustCompile(`(?:"\$\{([A-Za-z0-9_.]+)\}"|\$\{([A-Za-z0-9_.]+)\})`)

// SQLTemplate is a query with its placeholders taken out.
type SQLTemplate struct {
	Query string
	vars  []string
}

// ParseSQL replaces placeholders by `?`, also those in double quotes. In single quotes they become part
// of a text, and the statement fails as it does in EMQX.
func ParseSQL(query string) SQLTemplate {
	var t SQLTemplate
	t.Query = sqlPlaceholder.ReplaceAllStringFunc(query, func(ph string) string {
		m := sqlPlaceholder.FindStringSubmatch(ph)
		t.vars = append(t.vars, m[1]+m[2])
		return "?"
	})
	return t
}

// Args gives the parameters for a client. What is undefined (no user name, no certificate) is an
// empty text, never NULL: that is what EMQX's templates make of it.
func (t SQLTemplate) Args(c *ClientInfo) []any {
	args := make([]any, len(t.vars))
	for i, name := range t.vars {
		if !slices.Contains(sqlVars, name) {
			args[i] = "${" + name + "}"
			continue
		}
		args[i], _ = clientVar(c, name)
	}
	return args
}

// MySQL is a running resource.
type MySQL struct {
	db      *sql.DB
	tmpl    SQLTemplate
	timeout time.Duration
	broken  error // the configuration cannot be used (a missing secret)
	n       struct{ matched, success, failed atomic.Int64 }
}

func openMySQL(conf Map, expand func(string) string) *MySQL {
	r := &MySQL{tmpl: ParseSQL(asStr(conf["query"])), timeout: asDuration(conf["query_timeout"], 5*time.Second)}
	secret, err := Secret(asStr(conf["password"]))
	if err != nil {
		r.broken = err
		return r
	}
	dc := mysql.NewConfig()
	dc.Net = "tcp"
	dc.Addr = asStr(conf["server"])
	if _, _, err := net.SplitHostPort(dc.Addr); err != nil {
		dc.Addr = net.JoinHostPort(dc.Addr, "3306")
	}
	dc.User, dc.Passwd, dc.DBName = asStr(conf["username"]), secret, asStr(conf["database"])
	dc.Timeout = 5 * time.Second
	if ssl := asMap(conf["ssl"]); asBool(ssl["enable"], false) {
		if dc.TLS, err = clientTLS(ssl, expand); err != nil {
			r.broken = err
			return r
		}
		if dc.TLS.ServerName == "" {
			dc.TLS.ServerName, _, _ = net.SplitHostPort(dc.Addr)
		}
	}
	connector, err := mysql.NewConnector(dc)
	if err != nil {
		r.broken = err
		return r
	}
	r.db = sql.OpenDB(connector)
	size := asInt(conf["pool_size"], 8)
	r.db.SetMaxOpenConns(size)
	r.db.SetMaxIdleConns(size)
	return r
}

func clientTLS(ssl Map, expand func(string) string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: asStr(ssl["verify"]) != "verify_peer"}
	switch sni := asStr(ssl["server_name_indication"]); sni {
	case "", "disable", "undefined":
	default:
		conf.ServerName = sni
	}
	if ca := asStr(ssl["cacertfile"]); ca != "" {
		text, err := os.ReadFile(expand(ca))
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", ca)
		}
	}
	if cert := asStr(ssl["certfile"]); cert != "" {
		pair, err := tls.LoadX509KeyPair(expand(cert), expand(asStr(ssl["keyfile"])))
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

func (r *MySQL) Close() {
	if r.db != nil {
		go func() { _ = r.db.Close() }() // it waits for queries that are under way
	}
}

var errStalled = errors.New("timeout")

// Query runs the statement for a client and gives the rows by column name.
func (r *MySQL) Query(c *ClientInfo) ([]map[string]*string, error) {
	r.n.matched.Add(1)
	rows, err := r.query(c)
	if err != nil {
		r.n.failed.Add(1)
		logf("error", "msg: mysql_query_failed, reason: %v", err)
		return nil, err
	}
	r.n.success.Add(1)
	return rows, nil
}

func (r *MySQL) query(c *ClientInfo) ([]map[string]*string, error) {
	if r.broken != nil {
		return nil, r.broken
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	rows, err := r.db.QueryContext(ctx, r.tmpl.Query, r.tmpl.Args(c)...)
	if err != nil {
		return nil, stalled(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	cols, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out []map[string]*string
	for rows.Next() {
		vals := make([]sql.NullString, len(cols))
		ptrs := make([]any, len(cols))
		for i := range vals {
			ptrs[i] = &vals[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			return nil, err
		}
		row := map[string]*string{}
		for i, name := range cols {
			if vals[i].Valid {
				row[strings.ToLower(name)] = &vals[i].String
			} else {
				row[strings.ToLower(name)] = nil
			}
		}
		out = append(out, row)
	}
	return out, stalled(ctx, rows.Err())
}

func stalled(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errStalled
	}
	return err
}

// Status is "connected" when the server lets us in.
func (r *MySQL) Status() string {
	if r.broken != nil {
		return "disconnected"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := r.db.PingContext(ctx); err != nil {
		return "disconnected"
	}
	return "connected"
}

func tlsClient(nc net.Conn, conf *tls.Config) net.Conn { return tls.Client(nc, conf) }
