package kafka

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A node is what sets one broker of a cluster apart from the others. Its ports lie in a row: clients', the controllers',
// and one for each path.
type node struct {
	id        int // from 1
	port      int
	voters    []int    // ports of all nodes' controllers, in the order of their ids
	advertise []string // addresses of the paths
}

// ports is how many the node needs.
func (n *node) ports() int { return 2 + len(n.advertise) }

// replicas is how many every internal topic has, and inSync how many of them must take a write: all but one of three.
func (n *node) replicas() int { return len(n.voters) }
func (n *node) inSync() int   { return (n.replicas() + 1) / 2 }

func (n *node) properties(data string, more []string) string {
	listeners := []string{"PLAINTEXT://" + local(n.port), "CONTROLLER://" + local(n.port+1)}
	advertised := listeners[:1:1]
	protocols := []string{"PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"}
	for i, address := range n.advertise {
		name := fmt.Sprintf("PATH%d", i)
		listeners = append(listeners, name+"://"+local(n.port+2+i))
		advertised = append(advertised, name+"://"+address)
		protocols = append(protocols, name+":PLAINTEXT")
	}
	var voters []string
	for i, port := range n.voters {
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, local(port)))
	}
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[2]s
listeners=%[3]s
advertised.listeners=%[4]s
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=%[5]s
log.dirs=%[6]s
auto.create.topics.enable=false
default.replication.factor=%[7]d
min.insync.replicas=%[8]d
offsets.topic.replication.factor=%[7]d
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=%[7]d
transaction.state.log.min.isr=%[8]d
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=%[7]d
share.coordinator.state.topic.min.isr=%[8]d
share.coordinator.state.topic.num.partitions=8
group.initial.rebalance.delay.ms=0
log.retention.hours=-1
%[9]s
`, n.id, strings.Join(voters, ","), strings.Join(listeners, ","), strings.Join(advertised, ","), strings.Join(protocols, ","),
		data, n.replicas(), n.inSync(), strings.Join(more, "\n"))
}

// identify makes the copied log directory this node's own: the template is that of node 1, and no two nodes of a cluster may
// have one directory id.
func (b *Broker) identify() error {
	if b.node.id == 1 {
		return nil
	}
	path := filepath.Join(b.data(), "meta.properties")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails (crypto/rand)
	id[0] &^= 0xf8          // Kafka has reserved ids, and takes none that begins with a hyphen
	text = regexp.MustCompile(`(?m)^node\.id=.*$`).ReplaceAll(text, fmt.Appendf(nil, "node.id=%d", b.node.id))
	text = regexp.MustCompile(`(?m)^directory\.id=.*$`).ReplaceAll(text, []byte("directory.id="+base64.RawURLEncoding.EncodeToString(id[:])))
	return os.WriteFile(path, text, 0o644)
}
