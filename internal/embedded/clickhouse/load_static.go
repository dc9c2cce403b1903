//go:build crossdock_static

package clickhouse

import "errors"

// load fails: loading a library takes a dynamic linker, which a static binary does without. The image of the Dockerfile is
// built so; it meets a ClickHouse server instead.
func load(string) (*library, error) {
	return nil, errors.New("this binary was built without the ClickHouse engine (-tags crossdock_static); set clickhouse.addresses to a server, or build without the tag")
}
