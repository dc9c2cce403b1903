// Package daemon runs the services that tests share, in one process that all test binaries of a machine find: the first
// one that needs Kafka starts the daemon, the daemon starts Kafka, and every later test binary uses the same broker.
//
// Invariants:
//
//   - Every user of a service holds a lease, an open connection to the daemon's socket. A lease ends with its process,
//     however that one ends.
//   - When there has been no lease for a while and nobody has pinned the daemon, it stops its services, removes their data
//     and exits. Nothing is left to clean up by hand.
//   - The services are the daemon's children and die with it.
package daemon

import (
	"encoding/json"

	"crossdock/internal/embedded/artifact"
)

// Services that a daemon runs.
const (
	Kafka      = "kafka"
	ClickHouse = "clickhouse"
	Registry   = "registry"
)

// Operations of a request.
const (
	opUse   = "use"   // start the service unless it runs; the connection is the lease
	opPin   = "pin"   // stay without leases
	opStop  = "stop"  // end now
	opState = "state" // say what runs
)

// request is one line of JSON from a client, the first and only one of a connection.
type request struct {
	Op      string `json:"op"`
	Service string `json:"service,omitempty"`
}

// response is one line of JSON from the daemon. Lines with Progress may come before the one that answers.
type response struct {
	Progress    string                `json:"progress,omitempty"`
	Service     *Service              `json:"service,omitempty"`
	State       *State                `json:"state,omitempty"`
	Unavailable *artifact.Unavailable `json:"unavailable,omitempty"`
	Error       string                `json:"error,omitempty"`
}

// A Service is one that runs.
type Service struct {
	Name      string            `json:"name"`
	Addresses map[string]string `json:"addresses"` // by what they are: "kafka"; "http", "tcp"; "url"
	Pid       int               `json:"pid"`
	Log       string            `json:"log"`
	StartedIn string            `json:"started_in"` // how long its start took, without fetching
}

// State is what a daemon is doing.
type State struct {
	Pid      int       `json:"pid"`
	Dir      string    `json:"dir"` // of the services' data and logs
	Pinned   bool      `json:"pinned"`
	Leases   int       `json:"leases"`
	Services []Service `json:"services"`
}

func line(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}
