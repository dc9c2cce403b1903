// Package kafka runs a real Apache Kafka broker (KRaft, combined mode) on 127.0.0.1 for tests, from the jars that pom.xml
// names, with control enough for fault tests: start, stop, kill -9, start again on the same port and data.
//
// Start runs a node that is a cluster by itself, StartCluster several.
//
// It differs from a production broker in what a machine of two cores asks for: 8 partitions of the offsets and
// transaction topics instead of 50, no delay before a group's first rebalance, unlimited retention by default (topics set
// their own), and no automatic topics.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/internal/embedded/process"
)

// Options of a broker.
type Options struct {
	Dir  string // of its data, configuration and log; must exist
	Port int    // 0: a free one
	Heap string // -Xmx; "": 768m
	// Brief compiles with the quick compiler of the JVM alone: 2.8 instead of 4.5 CPU s to start, slower once warm. For
	// brokers that are killed and started again, never for one that is measured.
	Brief    bool
	Config   []string     // more lines of server.properties, which win over ours
	Progress func(string) // told of slow steps; nil: nobody is
	// Advertise gives a broker one listener more for each address, host:port, and tells the clients of that listener to come
	// to the address: a proxy that sends them on to Path. Port must be 0 then.
	Advertise []string
}

// A Broker is one node, running or not: a cluster by itself, or a part of a Cluster.
type Broker struct {
	in      *Installation
	dir     string
	node    node
	flags   []string // of the JVM
	config  []string
	process *process.Process // nil while it is down
}

// portTries bounds the search for a port that nobody takes before Kafka binds it.
const portTries = 5

// Start installs what is needed, once, and starts a broker. It returns *artifact.Unavailable without Java or Maven.
func Start(ctx context.Context, o Options) (*Broker, error) {
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
	b, err := in.broker(1, o)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		port := o.Port
		if port == 0 {
			if port, err = process.FreePorts(b.node.ports()); err != nil {
				return nil, err
			}
		}
		b.node.port = port
		b.node.voters = []int{port + 1}
		err = b.Start(ctx)
		if err == nil {
			return b, nil
		}
		if o.Port != 0 || try == portTries || !taken(err) {
			return nil, err
		}
	}
}

// taken says that somebody else took a port between our look at it and Kafka's bind.
func taken(err error) bool { return strings.Contains(err.Error(), "Address already in use") }

// broker makes the files of a node, whose ports are not chosen yet.
func (in *Installation) broker(id int, o Options) (*Broker, error) {
	b := &Broker{in: in, dir: o.Dir, flags: []string{"-Xms256m", "-Xmx" + o.Heap}, config: o.Config, node: node{id: id, advertise: o.Advertise}}
	if o.Brief {
		b.flags = append(b.flags, "-XX:TieredStopAtLevel=1")
	}
	if err := os.CopyFS(b.data(), os.DirFS(in.template)); err != nil {
		return nil, fmt.Errorf("data of Kafka: %w", err)
	}
	return b, b.identify()
}

// Start runs a broker that is down and waits until it answers.
func (b *Broker) Start(ctx context.Context) error {
	if b.process != nil {
		return fmt.Errorf("kafka at %s is running already, pid %d", b.Addr(), b.Pid())
	}
	config := filepath.Join(b.dir, "server.properties")
	if err := os.WriteFile(config, []byte(b.node.properties(b.data(), b.config)), 0o644); err != nil {
		return err
	}
	p, err := process.Start(process.Options{
		Name: "Kafka", Path: b.in.Java, Log: filepath.Join(b.dir, "kafka.log"),
		Args: slices.Concat(b.flags, b.in.arguments("kafka.Kafka", config)),
	})
	if err != nil {
		return err
	}
	if err := p.Await(ctx, b.answers); err != nil {
		return errors.Join(err, p.Kill())
	}
	b.process = p
	return nil
}

// answers asks for the cluster's metadata: the port opens before the broker is unfenced and able to lead partitions.
func (b *Broker) answers(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", b.Addr())
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.Ping(ctx)
}

// Addr is the broker's address, host:port.
func (b *Broker) Addr() string { return local(b.node.port) }

// Path is where the listener of an address of Options.Advertise, by its place there, is bound: what a proxy dials.
func (b *Broker) Path(i int) string { return local(b.node.port + 2 + i) }

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Pid is the JVM's process id; 0 while it is down.
func (b *Broker) Pid() int {
	if b.process == nil {
		return 0
	}
	return b.process.Pid()
}

// Done is closed when the running broker has ended, by itself or not; nil while it is down.
func (b *Broker) Done() <-chan struct{} {
	if b.process == nil {
		return nil
	}
	return b.process.Done()
}

// Log is the broker's log file.
func (b *Broker) Log() string { return filepath.Join(b.dir, "kafka.log") }

// Stop shuts the broker down cleanly; it is killed when ctx ends first. It is a no-op on one that is down.
func (b *Broker) Stop(ctx context.Context) error {
	if b.process == nil {
		return nil
	}
	err := b.process.Stop(ctx)
	b.process = nil
	return err
}

// Kill9 ends the broker as a power cut would for the process; Start brings it back with what was on its disk.
func (b *Broker) Kill9() error {
	if b.process == nil {
		return nil
	}
	err := b.process.Kill()
	b.process = nil
	return err
}

// Freeze stops the broker without ending it, as a long pause of its machine would; Thaw lets it go on.
func (b *Broker) Freeze() error { return b.signal((*process.Process).Freeze) }

// Thaw lets a frozen broker go on.
func (b *Broker) Thaw() error { return b.signal((*process.Process).Thaw) }

func (b *Broker) signal(f func(*process.Process) error) error {
	if b.process == nil {
		return fmt.Errorf("kafka at %s is down", b.Addr())
	}
	return f(b.process)
}

func (b *Broker) data() string { return filepath.Join(b.dir, "data") }

// arguments make Java run a class of Kafka.
func (in *Installation) arguments(class string, args ...string) []string {
	return append([]string{
		"-XX:+UseSerialGC", // two cores: parallel collectors only add threads
		"-Dlog4j2.configurationFile=" + in.log4j, "-cp", filepath.Join(in.Libs, "*"), class,
	}, args...)
}
