package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"time"
)

// minTransactionTimeout leaves half of it, the time to give up partitions, room for three heartbeats.
const minTransactionTimeout = 3 * time.Second

// validate returns every problem, each with its setting and what would be right.
func (c *Config) validate() []error {
	var p []error
	wrong := func(format string, args ...any) { p = append(p, fmt.Errorf(format, args...)) }
	name := regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

	if !name.MatchString(c.App) {
		wrong("app: %q is no application id; use lower-case letters, digits and hyphens", c.App)
	}
	if len(c.Kafka.Brokers) == 0 {
		wrong("kafka.brokers: none given; name at least one host:port")
	}
	for _, b := range c.Kafka.Brokers {
		address(wrong, "kafka.brokers", b)
	}
	between(wrong, "kafka.partitions", c.Kafka.Partitions, 1, 10_000)
	between(wrong, "kafka.replication_factor", c.Kafka.ReplicationFactor, 1, 32)
	between(wrong, "kafka.min_insync_replicas", c.Kafka.MinInsyncReplicas, 1, c.Kafka.ReplicationFactor)
	if m := c.Kafka.SASL.Mechanism; !slices.Contains([]string{"", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}, m) {
		wrong("kafka.sasl.mechanism: %q is unknown; use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER", m)
	}
	if c.Kafka.SASL.Mechanism != "" && !c.Kafka.SASL.Password.Set() {
		wrong("kafka.sasl.password: %s needs one; give file:PATH or env:NAME", c.Kafka.SASL.Mechanism)
	}
	for _, s := range []struct {
		name string
		tls  TLS
	}{{"kafka.tls", c.Kafka.TLS}, {"clickhouse.tls", c.ClickHouse.TLS}, {"ingress.tls", c.Ingress.TLS}} {
		if (s.tls.Cert == "") != (s.tls.Key == "") {
			wrong("%s: cert and key go together; one of them is missing", s.name)
		}
		if !s.tls.Enabled && s.tls != (TLS{}) {
			wrong("%s: files are named but %s.enabled is false", s.name, s.name)
		}
	}
	if c.Ingress.TLS.Enabled && c.Ingress.TLS.Cert == "" {
		wrong("ingress.tls.cert: a server needs a certificate")
	}
	for _, s := range []struct{ name, url string }{{"registry.url", c.Registry.URL}, {"query.advertise", c.Query.Advertise}} {
		if s.url == "" {
			continue
		}
		if parsed, err := url.Parse(s.url); err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
			wrong("%s: %q is no http or https address", s.name, s.url)
		}
	}
	if c.Query.Listen != "" {
		address(wrong, "query.listen", c.Query.Listen)
	} else if c.Query.Advertise != "" {
		wrong("query.advertise: %q is told to others, but query.listen is empty", c.Query.Advertise)
	}
	if c.Query.Timeout <= 0 {
		wrong("query.timeout: %v must be above 0", c.Query.Timeout)
	}
	between(wrong, "runtime.workers", c.Runtime.Workers, 0, 256)
	between(wrong, "runtime.commit_max_records", c.Runtime.CommitMaxRecords, 1, 1_000_000)
	between(wrong, "runtime.commit_max_bytes", c.Runtime.CommitMaxBytes, 1<<20, 1<<30)
	if c.Runtime.CommitMinInterval < 0 || c.Runtime.CommitInterval < c.Runtime.CommitMinInterval {
		wrong("runtime.commit_interval: %v is shorter than runtime.commit_min_interval %v", c.Runtime.CommitInterval, c.Runtime.CommitMinInterval)
	}
	if c.Runtime.SessionTimeout < 6*time.Second {
		wrong("runtime.session_timeout: %v is below the brokers' usual least of 6s (group.min.session.timeout.ms)", c.Runtime.SessionTimeout)
	}
	if t := c.Runtime.TransactionTimeout; t < minTransactionTimeout || t >= c.Runtime.SessionTimeout {
		wrong("runtime.transaction_timeout: %v is not between %v and below runtime.session_timeout %v", t, minTransactionTimeout, c.Runtime.SessionTimeout)
	} else if c.Runtime.CommitInterval > t/2 {
		wrong("runtime.commit_interval: %v is more than half of runtime.transaction_timeout %v", c.Runtime.CommitInterval, t)
	}
	between(wrong, "runtime.standby_replicas", c.Runtime.StandbyReplicas, 0, 16)
	if c.Runtime.WarmupLag < 1 {
		wrong("runtime.warmup_lag: %d is less than 1", c.Runtime.WarmupLag)
	}
	between(wrong, "runtime.max_warmups", c.Runtime.MaxWarmups, 1, 1000)
	if c.Runtime.ProbingInterval < time.Second {
		wrong("runtime.probing_interval: %v is less than 1s", c.Runtime.ProbingInterval)
	}
	if c.State.CacheBytes < 16<<20 {
		wrong("state.cache_bytes: %d is less than 16 MiB (16777216)", c.State.CacheBytes)
	}
	if c.State.DirtyBytes != 0 && (c.State.DirtyBytes < 1<<20 || c.State.DirtyBytes > c.State.CacheBytes/2) {
		wrong("state.dirty_bytes: %d is neither 0 nor between 1048576 and half of state.cache_bytes", c.State.DirtyBytes)
	}
	if c.State.FlushInterval < 10*time.Millisecond {
		wrong("state.flush_interval: %v is less than 10ms", c.State.FlushInterval)
	}
	if c.Parking.Limit < 0 || c.Parking.Limit > 0 && c.Parking.Limit < time.Second {
		wrong("parking.limit: %v is neither 0 nor at least 1s", c.Parking.Limit)
	}
	address(wrong, "ingress.listen", c.Ingress.Listen)
	between(wrong, "ingress.max_body", c.Ingress.MaxBody, 1, 16<<20)
	if c.Ingress.ProduceTimeout <= 0 {
		wrong("ingress.produce_timeout: %v must be above 0", c.Ingress.ProduceTimeout)
	}
	if c.Admin.Listen != "" {
		address(wrong, "admin.listen", c.Admin.Listen)
	}
	for _, a := range c.ClickHouse.Addresses {
		address(wrong, "clickhouse.addresses", a)
	}
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(c.ClickHouse.Database) {
		wrong("clickhouse.database: %q is no plain name", c.ClickHouse.Database)
	}
	between(wrong, "sink.max_rows", c.Sink.MaxRows, 1, 1_048_448)
	if c.Sink.FlushInterval <= 0 {
		wrong("sink.flush_interval: %v must be above 0", c.Sink.FlushInterval)
	}
	for s, source := range c.Sources {
		if !name.MatchString(s) {
			wrong("sources.%s: use lower-case letters, digits and hyphens, since a topic is named after it", s)
		}
		if _, err := time.LoadLocation(source.TimeZone); err != nil {
			wrong("sources.%s.time_zone: %v", s, err)
		}
		if !slices.Contains([]string{"AVAILABLE", "PICKED", "STAGED"}, source.ShipFrom) {
			wrong("sources.%s.ship_from: %q; use AVAILABLE, PICKED or STAGED", s, source.ShipFrom)
		}
		if source.HMAC.Set() && source.HMACHeader == "" {
			wrong("sources.%s.hmac_header: name the header that carries the signature", s)
		}
		if source.RatePerSec < 0 {
			wrong("sources.%s.rate_per_second: %v is below 0", s, source.RatePerSec)
		}
		for k, secret := range map[string]Secret{"api_key": source.APIKey, "bearer": source.Bearer, "hmac": source.HMAC} {
			if err := secret.check("sources." + s + "." + k); err != nil {
				p = append(p, err)
			}
		}
	}
	for k, secret := range map[string]Secret{"kafka.sasl.password": c.Kafka.SASL.Password, "registry.password": c.Registry.Password, "clickhouse.password": c.ClickHouse.Password} {
		if err := secret.check(k); err != nil {
			p = append(p, err)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		wrong("log.level: %q; use debug, info, warn or error", c.Log.Level)
	}
	if !slices.Contains([]string{"", "json", "text"}, c.Log.Format) {
		wrong("log.format: %q; use json or text", c.Log.Format)
	}
	return p
}

func between(wrong func(string, ...any), name string, v, low, high int) {
	if v < low || v > high {
		wrong("%s: %d is not between %d and %d", name, v, low, high)
	}
}

func address(wrong func(string, ...any), name, a string) {
	if _, port, err := net.SplitHostPort(a); err != nil || port == "" {
		wrong("%s: %q is no host:port", name, a)
	}
}
