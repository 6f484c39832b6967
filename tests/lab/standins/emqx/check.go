package main

// `emqx check_config` and the same judgement for what is merged in over the API.

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// CheckConfig judges a loaded configuration.
func CheckConfig(cfg *Config) error {
	n := &Node{cfg: cfg, ver: cfg.ver}
	cfg.mu.RLock()
	live := clone(cfg.live).(Map)
	cfg.mu.RUnlock()
	return n.checkConf(live)
}

// partSchemas are the roots whose content the OpenAPI documents describe; the others are only known
// by name.
var partSchemas = []string{"mqtt", "force_shutdown", "force_gc", "flapping_detect", "durable_sessions", "alarm",
	"broker", "sysmon", "sys_topics"}

// partKeys are the keys of roots that no OpenAPI document describes; a misspelt one is refused.
var partKeys = map[string][]string{
	"node": strings.Fields(`applications backtrace_depth broker_pool_size channel_cleanup_batch_size cluster_call config_files
		cookie crash_dump_bytes crash_dump_file crash_dump_seconds data_dir db_backend db_role default_bootstrap_batch_size
		default_shard_transport description dist_buffer_size dist_net_ticktime etc_dir generic_pool_size global_gc_interval
		max_ets_tables max_ports name process_limit role rpc_module shard_transports tags tlog_push_mode`),
	"cluster": strings.Fields(`autoclean autoheal core_nodes description discovery_strategy dns etcd k8s links mcast name
		prevent_overlapping_partitions proto_dist quic_lb_mode static`),
	"dashboard": strings.Fields(`bootstrap_users_file cors default_password default_username i18n_lang listeners sample_interval
		swagger_support token_expired_time`),
	"api_key": {"bootstrap_file"},
	"log":     {"audit", "console", "console_handler", "file", "file_handlers", "throttling"},
}

func checkKeys(part Map) error {
	for _, root := range sortedKeys(partKeys) {
		for _, k := range sortedKeys(asMap(part[root])) {
			if !slices.Contains(partKeys[root], k) {
				return fault(root, "unknown_fields", Map{"unknown": k, "unmatched": summary(partKeys[root])})
			}
		}
	}
	return nil
}

func (n *Node) checkConf(part Map) error {
	var unknown []string
	for _, root := range sortedKeys(part) {
		if !slices.Contains(knownRoots, root) {
			unknown = append(unknown, root)
		}
	}
	if unknown != nil {
		known := slices.Clone(knownRoots)
		sort.Strings(known)
		return fault("", "unknown_fields", Map{"unknown": strings.Join(unknown, ","), "unmatched": summary(known)})
	}
	for _, root := range partSchemas {
		v, given := part[root]
		schema := n.rootSchema(root)
		if !given || schema == nil {
			continue
		}
		c := &checker{s: n.ver.Schemas, noRequire: true}
		if root == "broker" {
			c.lenient = true // it has more than the API shows
		}
		if err := c.check(schema, v, root); err != nil {
			return err
		}
	}
	if err := checkKeys(part); err != nil {
		return err
	}
	if err := n.checkListeners(asMap(part["listeners"])); err != nil {
		return err
	}
	return n.checkAuthConf(part)
}

func (n *Node) checkListeners(kinds Map) error {
	for _, kind := range sortedKeys(kinds) {
		if !slices.Contains(listenerTypes, kind) {
			return fault("listeners", "unknown_fields", Map{"unknown": kind, "unmatched": "quic,ssl,..."})
		}
		for name, conf := range asMap(kinds[kind]) {
			m, isObject := conf.(Map)
			if !isObject {
				continue // null removes a default listener
			}
			schema, _ := n.ver.Schemas.Named("listeners." + kind + "_required_bind")
			c := &checker{s: n.ver.Schemas, noRequire: true, hidden: []string{"authentication", "limiter", "tcp_options", "proxy_protocol"}}
			if err := c.check(schema, m, "listeners."+kind+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Node) checkAuthConf(part Map) error {
	authz := asMap(part["authorization"])
	for _, k := range sortedKeys(authz) {
		if !slices.Contains([]string{"cache", "deny_action", "no_match", "node_cache", "sources"}, k) {
			return fault("authorization", "unknown_fields", Map{"unknown": k, "unmatched": "cache,deny_action,..."})
		}
	}
	c := &checker{s: n.ver.Schemas, noRequire: true}
	for field, allowed := range map[string][]any{"no_match": {"allow", "deny"}, "deny_action": {"ignore", "disconnect"}} {
		if v := authz[field]; v != nil {
			if err := c.enum(allowed, v, "authorization."+field); err != nil {
				return err
			}
		}
	}
	if cache, given := authz["cache"]; given {
		schema, _ := n.ver.Schemas.Named("emqx.authz_cache", "broker.authz_cache")
		if err := c.check(schema, cache, "authorization.cache"); err != nil {
			return err
		}
	}
	for i, e := range asList(authz["sources"]) {
		m := asMap(e)
		if m["type"] == "file" {
			continue
		}
		c := &checker{s: n.ver.Schemas}
		if err := c.check(n.bodySchema("/authorization/sources", "post"), m, fmt.Sprintf("authorization.sources.%d", i+1)); err != nil {
			return err
		}
	}
	chain, isList := part["authentication"].([]any)
	if !isList && len(asMap(part["authentication"])) > 0 {
		chain = []any{part["authentication"]}
	}
	for i, e := range chain {
		c := &checker{s: n.ver.Schemas}
		if err := c.check(n.bodySchema("/authentication", "post"), e, fmt.Sprintf("authentication.%d", i+1)); err != nil {
			return err
		}
	}
	return nil
}
