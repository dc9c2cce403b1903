package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports of servers lie below the range that systems take outgoing connections' ports from, so that nobody takes a server's
// port while it is down between a kill and its restart.
const (
	firstPort = 20_000
	lastPort  = 32_000
	portTries = 200
)

// FreePorts finds n ports of 127.0.0.1 in a row that are free at this moment and returns the first. Somebody else may take
// one before it is bound: a caller tries again then.
func FreePorts(n int) (first int, err error) {
	for range portTries {
		first = firstPort + rand.IntN(lastPort-firstPort-n)
		if allFree(first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row between %d and %d on 127.0.0.1", n, firstPort, lastPort)
}

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil || ln.Close() != nil {
			return false
		}
	}
	return true
}
