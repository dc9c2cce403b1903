// Package config is Crossdock's configuration: crossdock.yaml, the environment (CROSSDOCK_KAFKA_BROKERS) and flags, in
// rising order. Unknown keys are errors that name the nearest known one; all problems are reported at once; secrets are
// references (file:PATH, env:NAME), so that no file has to hold one. It knows no other part of Crossdock.
package config

import "time"

// A Config is everything that can be set. The `doc` tags are what `config print --docs` and the example file show.
type Config struct {
	App        string            `mapstructure:"app" doc:"Application id: consumer groups, transactional ids and changelogs are named after it"`
	Instance   string            `mapstructure:"instance" doc:"Name of this process within the application, stable over restarts (a StatefulSet's ordinal); empty: the host's name"`
	Kafka      Kafka             `mapstructure:"kafka"`
	Registry   Registry          `mapstructure:"registry"`
	Runtime    Runtime           `mapstructure:"runtime"`
	State      State             `mapstructure:"state"`
	Parking    Parking           `mapstructure:"parking"`
	Inventory  Inventory         `mapstructure:"inventory"`
	Ingress    Ingress           `mapstructure:"ingress"`
	Sources    map[string]Source `mapstructure:"sources"`
	Query      Query             `mapstructure:"query"`
	ClickHouse ClickHouse        `mapstructure:"clickhouse"`
	Sink       Sink              `mapstructure:"sink"`
	Admin      Admin             `mapstructure:"admin"`
	Log        Log               `mapstructure:"log"`
}

// Kafka is how to reach the brokers and how topics are made.
type Kafka struct {
	Brokers           []string `mapstructure:"brokers" doc:"Seed brokers, host:port (bootstrap.servers)"`
	Prefix            string   `mapstructure:"prefix" doc:"Prefix of every topic of the table"`
	Partitions        int      `mapstructure:"partitions" doc:"Partitions of every inbox; 2 x expected peak instances x workers"`
	ReplicationFactor int      `mapstructure:"replication_factor" doc:"Replicas of every topic (replication.factor)"`
	MinInsyncReplicas int      `mapstructure:"min_insync_replicas" doc:"Replicas that must have a record before it is acknowledged (min.insync.replicas)"`
	TLS               TLS      `mapstructure:"tls"`
	SASL              SASL     `mapstructure:"sasl"`
}

// TLS secures a connection.
type TLS struct {
	Enabled bool   `mapstructure:"enabled" doc:"Use TLS"`
	CA      string `mapstructure:"ca" doc:"PEM file of the authorities to trust; empty: the system's"`
	Cert    string `mapstructure:"cert" doc:"PEM file of the client's certificate; empty: none"`
	Key     string `mapstructure:"key" doc:"PEM file of the client's key"`
}

// SASL authenticates a client.
type SASL struct {
	Mechanism string `mapstructure:"mechanism" doc:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; empty: none"`
	Username  string `mapstructure:"username" doc:"User"`
	Password  Secret `mapstructure:"password" doc:"Password, or for OAUTHBEARER the token: file:PATH or env:NAME"`
}

// Registry is the schema registry.
type Registry struct {
	URL      string `mapstructure:"url" doc:"Confluent-compatible schema registry; for a trial: crossdock embedded registry"`
	Username string `mapstructure:"username" doc:"User"`
	Password Secret `mapstructure:"password" doc:"Password: file:PATH or env:NAME"`
}

// Runtime bounds the stream runtime.
type Runtime struct {
	Workers           int           `mapstructure:"workers" doc:"Workers of each stage: one transaction at a time each; 0: one a CPU"`
	CommitMinInterval time.Duration `mapstructure:"commit_min_interval" doc:"A transaction ends when the poll is used up and this has passed"`
	CommitInterval    time.Duration `mapstructure:"commit_interval" doc:"A transaction ends when this has passed (commit.interval.ms)"`
	CommitMaxRecords  int           `mapstructure:"commit_max_records" doc:"A transaction ends after so many records"`
	CommitMaxBytes    int           `mapstructure:"commit_max_bytes" doc:"A transaction ends when its changes and outputs are so large, in bytes"`
	SessionTimeout    time.Duration `mapstructure:"session_timeout" doc:"A silent process loses its partitions after this (session.timeout.ms)"`
	// TransactionTimeout bounds the others: the end of a transaction may take 4/5 of it, and giving up partitions half.
	TransactionTimeout time.Duration `mapstructure:"transaction_timeout" doc:"The brokers abort a transaction that is open longer (transaction.timeout.ms); below session_timeout"`

	StandbyReplicas int           `mapstructure:"standby_replicas" doc:"Other processes that keep the state of each partition up to date, so that a failover reads nothing (num.standby.replicas)"`
	WarmupLag       int64         `mapstructure:"warmup_lag" doc:"A partition moves to another process once that has so few records of its changelogs left to read (acceptable.recovery.lag)"`
	MaxWarmups      int           `mapstructure:"max_warmups" doc:"Partitions of a stage that warm up at a time before they move (max.warmup.replicas)"`
	ProbingInterval time.Duration `mapstructure:"probing_interval" doc:"Partitions that have warmed up wait no longer than this for the others (probing.rebalance.interval.ms)"`
}

// State is where stages keep their state: a cache in memory over a disk, behind which stand the changelogs.
type State struct {
	Dir           string        `mapstructure:"dir" doc:"Folder of the state, which outlives restarts; each instance has its own below it. Empty: in memory, and every start reads the changelogs"`
	CacheBytes    int64         `mapstructure:"cache_bytes" doc:"Memory of the state that is kept beside the disk, in bytes, for all stages together"`
	DirtyBytes    int64         `mapstructure:"dirty_bytes" doc:"Committed changes that the disk may lack, in bytes; beyond it processing waits. 0: a quarter of cache_bytes, 128 MiB at most"`
	FlushInterval time.Duration `mapstructure:"flush_interval" doc:"Committed changes are written when they are so old, or many: after a crash that much is read from the changelogs"`
}

// Parking sets the stage in which events wait for master data.
type Parking struct {
	Limit time.Duration `mapstructure:"limit" doc:"How long an event waits for an item, a site or a unit; then it becomes an exception, and a dead letter with its bytes. 0: without end"`
}

// Inventory sets the inventory stage.
type Inventory struct {
	Ledger bool `mapstructure:"ledger" doc:"Write every posting to the ledger topic"`
}

// Ingress is the HTTP entry for documents.
type Ingress struct {
	Listen         string        `mapstructure:"listen" doc:"Address of POST /v1/in/{source}"`
	MaxBody        int           `mapstructure:"max_body" doc:"Largest document accepted, in bytes; at most 16777216"`
	ProduceTimeout time.Duration `mapstructure:"produce_timeout" doc:"A document that the brokers have not acknowledged by then is answered with 503"`
	TLS            TLS           `mapstructure:"tls"`
}

// A Source is a system that sends documents.
type Source struct {
	System         string  `mapstructure:"system" doc:"Name that its events carry as their source system; empty: the source's name"`
	Partner        string  `mapstructure:"partner" doc:"Code of the partner in dedupe keys; empty: the document's sender"`
	Site           string  `mapstructure:"site" doc:"Site that the source speaks for, whatever its documents say; empty: what they say"`
	TimeZone       string  `mapstructure:"time_zone" doc:"IANA zone of times that name none"`
	Charset        string  `mapstructure:"charset" doc:"utf-8 or iso-8859-1, for formats that do not say"`
	ShipFrom       string  `mapstructure:"ship_from" doc:"Bucket that its shipping confirmations take stock from: AVAILABLE, PICKED or STAGED"`
	ItemQualifiers string  `mapstructure:"item_qualifiers" doc:"X12 element 235 codes, comma separated: which item number counts, best first"`
	AcceptTest     bool    `mapstructure:"accept_test" doc:"Translate documents that are marked as tests"`
	APIKey         Secret  `mapstructure:"api_key" doc:"Required in X-API-Key: file:PATH or env:NAME"`
	Bearer         Secret  `mapstructure:"bearer" doc:"Required bearer token: file:PATH or env:NAME"`
	HMAC           Secret  `mapstructure:"hmac" doc:"Secret of the body's HMAC-SHA256: file:PATH or env:NAME"`
	HMACHeader     string  `mapstructure:"hmac_header" doc:"Header with the signature, hex or base64, with or without a prefix ending in ="`
	RatePerSec     float64 `mapstructure:"rate_per_second" doc:"Documents a second; more are answered with 429; 0: no limit"`
}

// Query is the HTTP entry for questions about committed state.
type Query struct {
	Listen    string        `mapstructure:"listen" doc:"Address of GET /v1/inventory/{sku}/{site} and POST /v1/inventory/query; empty: none"`
	Advertise string        `mapstructure:"advertise" doc:"URL at which other instances reach query.listen; empty: http, its port, and its host or the machine's name"`
	Timeout   time.Duration `mapstructure:"timeout" doc:"A question that is not answered by then is answered with 503"`
}

// ClickHouse is the analytics database.
type ClickHouse struct {
	Addresses []string `mapstructure:"addresses" doc:"Native addresses, host:port; empty: no sink"`
	Database  string   `mapstructure:"database" doc:"Database of Crossdock's tables"`
	Username  string   `mapstructure:"username" doc:"User"`
	Password  Secret   `mapstructure:"password" doc:"Password: file:PATH or env:NAME"`
	TLS       TLS      `mapstructure:"tls"`
}

// Sink bounds the writing to ClickHouse.
type Sink struct {
	FlushInterval time.Duration `mapstructure:"flush_interval" doc:"Rows wait at most this long"`
	MaxRows       int           `mapstructure:"max_rows" doc:"Rows of one insert at most"`
}

// Admin is the port for probes, metrics and profiles.
type Admin struct {
	Listen string `mapstructure:"listen" doc:"Address of /livez, /readyz, /metrics, /debug/pprof; empty: none"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `mapstructure:"level" doc:"debug, info, warn, error"`
	Format string `mapstructure:"format" doc:"json, text; empty: text on a terminal, json elsewhere"`
}

// Default is what holds where nothing is set.
func Default() Config {
	return Config{
		App: "crossdock",
		Kafka: Kafka{
			Brokers: []string{"127.0.0.1:9092"}, Prefix: "crossdock.", Partitions: 8, ReplicationFactor: 1, MinInsyncReplicas: 1,
		},
		Runtime: Runtime{
			CommitMinInterval: 5 * time.Millisecond, CommitInterval: 100 * time.Millisecond, CommitMaxRecords: 20_000,
			CommitMaxBytes: 32 << 20, SessionTimeout: 45 * time.Second, TransactionTimeout: 10 * time.Second,
			WarmupLag: 10_000, MaxWarmups: 8, ProbingInterval: time.Minute,
		},
		State:      State{CacheBytes: 256 << 20, FlushInterval: 5 * time.Second},
		Parking:    Parking{Limit: 7 * 24 * time.Hour},
		Inventory:  Inventory{Ledger: true},
		Ingress:    Ingress{Listen: "127.0.0.1:8080", MaxBody: 16 << 20, ProduceTimeout: 30 * time.Second},
		Sources:    map[string]Source{},
		Query:      Query{Listen: "127.0.0.1:8082", Timeout: 5 * time.Second},
		ClickHouse: ClickHouse{Database: "crossdock", Username: "default"},
		Sink:       Sink{FlushInterval: time.Second, MaxRows: 1_000_000},
		Admin:      Admin{Listen: "127.0.0.1:9464"},
		Log:        Log{Level: "info"},
	}
}
