package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"

	"crossdock/internal/embedded/process"
)

// A Cluster is several brokers that replicate: every internal topic has a replica on each, and takes writes while all but
// one of three are there. Each node votes for the controller.
type Cluster struct {
	Brokers []*Broker // in the order of their ids, from 1
}

// StartCluster starts as many brokers as advertise has entries, and waits until all answer. Each entry is the Advertise of a
// broker; o.Port and o.Advertise do not count, and o.Dir gets a folder for each.
func StartCluster(ctx context.Context, o Options, advertise [][]string) (*Cluster, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Heap == "" {
		o.Heap = "768m"
	}
	in, err := Install(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	ports := 0
	for i, paths := range advertise {
		own := o
		own.Dir, own.Advertise = filepath.Join(o.Dir, "broker-"+strconv.Itoa(i+1)), paths
		if err := os.Mkdir(own.Dir, 0o755); err != nil {
			return nil, err
		}
		b, err := in.broker(i+1, own)
		if err != nil {
			return nil, err
		}
		c.Brokers = append(c.Brokers, b)
		ports += b.node.ports()
	}
	for try := 1; ; try++ {
		first, err := process.FreePorts(ports)
		if err != nil {
			return nil, err
		}
		var voters []int
		for _, b := range c.Brokers {
			b.node.port = first
			voters = append(voters, first+1)
			first += b.node.ports()
		}
		starting, starts := errgroup.WithContext(ctx)
		for _, b := range c.Brokers {
			b.node.voters = voters
			starting.Go(func() error { return b.Start(starts) })
		}
		if err = starting.Wait(); err == nil {
			return c, nil
		}
		err = errors.Join(err, c.Kill9())
		if try == portTries || !taken(err) {
			return nil, fmt.Errorf("a cluster of %d brokers: %w", len(c.Brokers), err)
		}
	}
}

// Addrs are the brokers' addresses.
func (c *Cluster) Addrs() []string {
	var all []string
	for _, b := range c.Brokers {
		all = append(all, b.Addr())
	}
	return all
}

// Kill9 ends every broker: what is on their disks stays.
func (c *Cluster) Kill9() error {
	var errs []error
	for _, b := range c.Brokers {
		errs = append(errs, b.Kill9())
	}
	return errors.Join(errs...)
}
