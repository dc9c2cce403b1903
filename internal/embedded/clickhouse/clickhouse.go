// Package clickhouse hosts the real ClickHouse engine, libchdb, behind ClickHouse's own HTTP and native TCP ports, so that
// the demo and the tests need neither a container nor a server: clickhouse-go runs against it unmodified. Where a real
// server is at hand, use that one.
//
// The engine lives in a process of its own: it brings its own memory limits, threads and signal habits, and a crash of it
// must not be ours. Main is that process; Start runs it as a child. The library comes from npm, once (Install), and is
// loaded without cgo.
//
// # How it works
//
// One TCP connection is one session of the engine (SET and USE last); HTTP statements share a pool of sessions and put
// their settings back. The engine reads and writes Native blocks in a bare framing, revision 0. HTTP tells the driver
// revision 0, so that bytes pass through; TCP speaks revision 54460 and recodes between the two by walking column types. An
// INSERT streams into the engine; a client that leaves or cancels cancels it.
//
// # What a server has and this has not
//
//   - Replicated tables, quorum, clusters: the interserver address cannot be set.
//   - system.query_log, part_log and their like; query ids are accepted and lost. KILL QUERY WHERE query LIKE works.
//   - Users, roles, quotas, row policies: one user, checked here; the engine runs as default.
//   - AggregateFunction, JSON, Variant and Dynamic columns over native TCP (use HTTP).
//   - TLS, transactions, progress before the end.
//
// # Traps of the engine
//
//   - It calls a statement that begins with nothing it can read a success; this host answers 62 to those.
//   - A second process on the same directory fails (76).
//   - Table default non_replicated_deduplication_window is 0 and async_insert is 1: set both.
//   - A query parameter is read as escaped text: a bare tab, newline or backslash in it is an error, as on a server.
package clickhouse

// Version is libchdb's, as npm numbers it; it holds ClickHouse 26.7.
const Version = "26.7.3-stable.1"

// displayName is what the host calls itself to clients.
const displayName = "crossdock-embedded"
