package pipeline

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"crossdock/internal/config"
)

// advertised is the URL that other instances are told, of a listener that is open.
func advertised(c *config.Query, listening net.Addr) (string, error) {
	if c.Advertise != "" {
		return c.Advertise, nil
	}
	at, ok := listening.(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("query.listen: %v is no TCP address", listening)
	}
	host := at.IP.String()
	if at.IP.IsUnspecified() {
		name, err := os.Hostname()
		if err != nil {
			return "", usagef("query.advertise: not set, query.listen %s names no host, and the machine has no name: %v", c.Listen, err)
		}
		host = name
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(at.Port)), nil
}
