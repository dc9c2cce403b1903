// Package kafka runs a real Apache Kafka broker (KRaft, combined mode) on 127.0.0.1 for tests, from the jars that pom.xml
// names, with control enough for fault tests: start, stop, kill -9, start again on the same port and data.
//
// It differs from a production broker in what a machine of two cores asks for: one node, 8 partitions of the offsets and
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
}

// A Broker is a single-node cluster, running or not.
type Broker struct {
	in      *Installation
	dir     string
	port    int
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
	b := &Broker{in: in, dir: o.Dir, port: o.Port, flags: []string{"-Xms256m", "-Xmx" + o.Heap}, config: o.Config}
	if o.Brief {
		b.flags = append(b.flags, "-XX:TieredStopAtLevel=1")
	}
	if err := os.CopyFS(b.data(), os.DirFS(in.template)); err != nil {
		return nil, fmt.Errorf("data of Kafka: %w", err)
	}
	for try := 1; ; try++ {
		if o.Port == 0 {
			if b.port, err = process.FreePorts(2); err != nil {
				return nil, err
			}
		}
		err = b.Start(ctx)
		if err == nil {
			return b, nil
		}
		// Between our look at a port and Kafka's bind somebody else may have taken it.
		if o.Port != 0 || try == portTries || !strings.Contains(err.Error(), "Address already in use") {
			return nil, err
		}
	}
}

// Start runs a broker that is down and waits until it answers.
func (b *Broker) Start(ctx context.Context) error {
	if b.process != nil {
		return fmt.Errorf("kafka at %s is running already, pid %d", b.Addr(), b.Pid())
	}
	config := filepath.Join(b.dir, "server.properties")
	if err := os.WriteFile(config, []byte(properties(b.data(), b.port, b.config)), 0o644); err != nil {
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
func (b *Broker) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

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

func (b *Broker) data() string { return filepath.Join(b.dir, "data") }

// arguments make Java run a class of Kafka.
func (in *Installation) arguments(class string, args ...string) []string {
	return append([]string{
		"-XX:+UseSerialGC", // two cores: parallel collectors only add threads
		"-Dlog4j2.configurationFile=" + in.log4j, "-cp", filepath.Join(in.Libs, "*"), class,
	}, args...)
}

func properties(data string, port int, more []string) string {
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[3]s
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=8
group.initial.rebalance.delay.ms=0
log.retention.hours=-1
%[4]s
`, port, port+1, data, strings.Join(more, "\n"))
}
