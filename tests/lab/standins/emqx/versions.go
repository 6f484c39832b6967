package main

import (
	_ "embed"
	"fmt"
	"sort"
	"strings"
)

// standIn is what a person must be able to see: this is not EMQX.
const standIn = "stand-in"

// Version is the one table of what differs between the versions that the stand-in can be. Code asks
// for a property of this table, never for a version number.
type Version struct {
	Number   string
	Schemas  *Schemas
	Metrics  []string // GET /metrics
	Stats    []string // GET /stats
	Monitor  []string // GET /monitor_current
	PromTree []string // GET /prometheus/stats as JSON: "group name"

	Masked           bool   // passwords are ****** in GET and PUT answers, and ****** keeps the stored one
	Connectors       bool   // connectors, actions, sources
	DataBackup       bool   // /data
	HotConfSchema    bool   // /schemas/hotconf
	ClusterSessions  bool   // cluster_sessions in /nodes and /stats
	MethodNotAllowed int    // status of a method that a path does not have
	KeyDeniedCode    string // an API key on a path for users only
	KeyDeniedMessage string // %s: the path's first part
	UserExists       string
	RulesUserExists  string // %s: the name
	DeleteAuthnTwice bool   // DELETE of a missing authenticator: 204
	AuthzIgnore      bool   // "ignore" in the metrics of a source
	QuoteDigits      bool   // HOCON output quotes texts that begin with a digit
	MergeErrorStatus int    // PUT /configs with an unknown key
	BannedForever    bool   // until is "infinity", not a year from now
	RetainHasNext    bool   // hasnext in the meta of /mqtt/retainer/messages
	RetainSysTopics  bool   // $SYS/brokers... are kept as retained messages
	RuleModified     bool   // last_modified_at of rules
	BindException    bool   // wording of a bad bind
	PortInUse        string // %s: id and bind
	BadPEM           string // %s: path, %s: option
	BridgeInUse      bool   // "rules" in the answer to DELETE of a bridge in use
	BridgeCompat     bool   // bridges are made of connectors and actions
	Telemetry        bool
	HTTPSShown       bool // dashboard.listeners.https in GET even when it is off
	PrometheusNested bool // GET /prometheus in its newer shape
	AuthzUnionAll    bool // a bad field of a source is told for every type of source
	UnsupportedMedia bool // the error code UNSUPPORTED_MEDIA_TYPE
	SubsDurable      bool // GET /subscriptions has "durable"
}

//go:embed metrics.txt
var metricNames string

var errNoVersion = fmt.Errorf("the stand-in can be 5.8.9 or 5.3.0")

// NewVersion makes the table's row for a version number.
func NewVersion(number string) (*Version, error) {
	var v Version
	switch number {
	case "5.8.9":
		v = Version{
			Masked: true, Connectors: true, DataBackup: true, HotConfSchema: true, ClusterSessions: true,
			MethodNotAllowed: 405,
			KeyDeniedCode:    "API_KEY_NOT_ALLOW",
			KeyDeniedMessage: "Please use bearer Token instead, using API key/secret in %s path is not permitted",
			UserExists:       "username_already_exists",
			RulesUserExists:  "User '%s' already exist",
			DeleteAuthnTwice: true, AuthzIgnore: true, QuoteDigits: true, MergeErrorStatus: 500,
			BannedForever: true, RetainHasNext: true, RuleModified: true,
			PortInUse: "{failed_to_start,\"%s : {shutdown,\\n                                 {failed_to_start_child,listener,eaddrinuse}}\"}",
			BadPEM: "{bad_ssl_config,#{file_path => \"%s\",pem_check => enoent,\n" +
				"                  which_option => <<\"%s\">>}}",
			BridgeInUse: true, BridgeCompat: true, HTTPSShown: true, PrometheusNested: true,
			UnsupportedMedia: true, SubsDurable: true,
		}
	case "5.3.0":
		v = Version{
			MethodNotAllowed: 500,
			KeyDeniedCode:    "BAD_API_KEY_OR_SECRET",
			KeyDeniedMessage: "Not allowed, Check api_key/api_secret",
			UserExists:       "username_already_exist",
			RulesUserExists:  "Users '%s' already exist",
			MergeErrorStatus: 400, RetainSysTopics: true, BindException: true,
			PortInUse: "{failed_to_start,\"%s : eaddrinuse\"}",
			BadPEM: "{bad_ssl_config,#{file_read => enoent,pem_check => invalid_pem,\n" +
				"                  which_options => [[<<\"%[2]s\">>]]}}",
			Telemetry: true, AuthzUnionAll: true,
		}
	default:
		return nil, errNoVersion
	}
	v.Number = number
	schemas, err := LoadSchemas(number)
	if err != nil {
		return nil, err
	}
	v.Schemas = schemas
	v.readNames()
	return &v, nil
}

// readNames takes the names of this version's counters out of metrics.txt.
// A line is "<table> <name>[ <versions>]"; without versions every version has it.
func (v *Version) readNames() {
	for _, line := range strings.Split(metricNames, "\n") {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] == "#" {
			continue
		}
		name, only := f[1], f[2:]
		if f[0] == "prometheus" {
			name, only = f[1]+" "+f[2], f[3:]
		}
		if len(only) > 0 && only[0] != v.Number {
			continue
		}
		switch f[0] {
		case "metrics":
			v.Metrics = append(v.Metrics, name)
		case "stats":
			v.Stats = append(v.Stats, name)
		case "monitor":
			v.Monitor = append(v.Monitor, name)
		case "prometheus":
			v.PromTree = append(v.PromTree, name)
		}
	}
	sort.Strings(v.Metrics)
}
