package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/runtime/assignor"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// seedsEnv is how many seeds the test of short time tries, and firstSeedEnv the first of them: to try others, or one alone.
const (
	seedsEnv     = "CROSSDOCK_TEST_WORLDS"
	firstSeedEnv = "CROSSDOCK_TEST_SEED"
)

// A nic is one process's way to the brokers.
type nic struct {
	network *kfake.VirtualNetwork

	mu    sync.Mutex
	wires map[*wire]bool
	dead  bool
	gate  chan struct{} // what is held passes once it is closed; nil: nothing is held
	lose  int           // answers of EndTxn to lose
	lost  int
}

func (n *nic) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		return nil, errors.New("unplugged")
	}
	c, err := n.network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c, nic: n, closed: make(chan struct{})}
	n.wires[w] = true
	return w, nil
}

// unplug cuts every connection and, where it is for good or a while, refuses new ones.
func (n *nic) unplug(dead bool) {
	n.mu.Lock()
	n.dead = dead
	var all []*wire
	for w := range n.wires {
		all = append(all, w)
	}
	n.mu.Unlock()
	for _, w := range all {
		_ = w.Close()
	}
}

func (n *nic) plug() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = false
}

// hold keeps every byte back until release.
func (n *nic) hold() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gate == nil {
		n.gate = make(chan struct{})
	}
}

func (n *nic) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gate != nil {
		close(n.gate)
		n.gate = nil
	}
}

func (n *nic) loseAnswers(count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lose = count
}

// A wire is one connection.
type wire struct {
	net.Conn
	nic    *nic
	once   sync.Once
	closed chan struct{}

	mu     sync.Mutex
	losing bool // a request has gone out whose answer is to be lost
}

func (w *wire) Close() error {
	w.once.Do(func() {
		close(w.closed)
		w.nic.mu.Lock()
		delete(w.nic.wires, w)
		w.nic.mu.Unlock()
	})
	return w.Conn.Close()
}

func (w *wire) pass() error {
	w.nic.mu.Lock()
	gate := w.nic.gate
	w.nic.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-w.closed:
		return net.ErrClosed
	}
}

// Write carries one request: the client writes each at once.
func (w *wire) Write(b []byte) (int, error) {
	if err := w.pass(); err != nil {
		return 0, err
	}
	if len(b) >= 6 && int16(binary.BigEndian.Uint16(b[4:])) == int16(kmsg.EndTxn) {
		w.nic.mu.Lock()
		if w.nic.lose > 0 {
			w.nic.lose--
			w.nic.lost++
			w.mu.Lock()
			w.losing = true
			w.mu.Unlock()
		}
		w.nic.mu.Unlock()
	}
	return w.Conn.Write(b)
}

// Read loses the answer that comes after an EndTxn whose answer is to be lost, and all that follows.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		return n, err
	}
	w.mu.Lock()
	losing := w.losing
	w.mu.Unlock()
	if losing {
		_ = w.Close()
		return 0, io.EOF
	}
	if err := w.pass(); err != nil {
		return 0, err
	}
	return n, nil
}

// A world is a run in short time: every timeout is a tenth of what the faults of real brokers run with.
type world struct {
	*rig
	rng     *rand.Rand
	cluster *kfake.Cluster
	network *kfake.VirtualNetwork
	places  []*place
	dying   []life // unplugged for good
	due     map[int][]func()
	tick    int
	names   int
	standby int
	own     bool // the product's assignor, which knows who has state
	faults  []string
}

// A life is a process with its stores.
type life struct {
	*process
	stores *store.DB
}

// ended waits until it has ended, and says with what.
func (l *life) ended(t testing.TB) error {
	err := l.exit(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = l.stores.Close(ctx) // a full disk gives up
	return err
}

// A place is where a process runs.
type place struct {
	name string
	nic  *nic
	life
	away  bool
	disk  *vfs.MemFS
	full  *atomic.Bool  // the disk of the process
	clock *atomic.Int64 // of the process, beside the world's, in nanoseconds
}

const (
	worldTick    = 10 * time.Millisecond
	worldTicks   = 250
	worldsAtOnce = 8
)

func (w *world) start(p *place) {
	p.nic = &nic{network: w.network, wires: map[*wire]bool{}}
	p.full, p.clock = new(atomic.Bool), new(atomic.Int64)
	full, clock := p.full, p.clock
	if p.disk == nil {
		p.disk = vfs.NewCrashableMem()
	}
	now := func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	o := w.diskOptions(discardLog())
	o.Clock = now
	o.FS = errorfs.Wrap(p.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}))
	stores, err := store.Open("state", o)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := w.config(p.name)
	cfg.Client = []kgo.Opt{kgo.SeedBrokers(w.brokers...), kgo.Dialer(p.nic.dial)}
	cfg.HeartbeatInterval, cfg.MetadataMinAge = 50*time.Millisecond, 25*time.Millisecond
	cfg.RebalanceTimeout, cfg.EndTimeout, cfg.TransactionTimeout, cfg.SessionTimeout = 200*time.Millisecond, 300*time.Millisecond, 400*time.Millisecond, 600*time.Millisecond
	if w.own {
		cfg.Balancer, cfg.StandbyReplicas, cfg.ProbingInterval = assignor.New(p.name), w.standby, 200*time.Millisecond
	}
	p.life = life{w.rig.start(cfg, func(d *Deps) { d.State, d.Clock = stores, now }), stores}
	p.away = false
}

// kill leaves a process to itself without a network, and its disk as a power cut would: to everybody else it is gone between two
// requests.
func (w *world) kill(p *place) {
	p.nic.unplug(true)
	p.nic.release()
	p.disk = p.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: w.rng.IntN(2) * 50, RNG: w.rng})
	p.full.Store(false)
	p.waited = true
	p.stop()
	w.dying, p.away = append(w.dying, p.life), true
}

func (w *world) after(ticks int, f func()) { w.due[w.tick+ticks] = append(w.due[w.tick+ticks], f) }

// fault does one thing that chance picks, on somebody that chance picks.
func (w *world) fault() {
	p := w.places[w.rng.IntN(len(w.places))]
	if p.away {
		return
	}
	long := 1 + w.rng.IntN(100)
	name := ""
	switch w.rng.IntN(14) {
	case 0:
		name = "kill"
		w.kill(p)
		w.after(1+w.rng.IntN(20), func() { w.start(p) })
	case 1:
		name = "kill and rename"
		w.kill(p)
		w.names++
		p.name = fmt.Sprint("r", w.names)
		if w.rng.IntN(2) == 0 {
			p.disk = nil // it stayed with the name
		}
		w.start(p)
	case 2:
		name = "unreachable"
		n := p.nic
		n.unplug(true)
		w.after(long, func() {
			if p.nic == n {
				n.plug()
			}
		})
	case 3:
		name = "stall"
		n := p.nic
		n.hold()
		w.after(long, n.release)
	case 4:
		name = "cut"
		p.nic.unplug(false)
	case 5:
		name = "answers lost"
		p.nic.loseAnswers(1 + w.rng.IntN(3))
	case 6:
		name = "coordinators move"
		w.cluster.RehashCoordinators()
	case 7:
		name = "leaders move"
		w.cluster.ShufflePartitionLeaders()
	case 8:
		errs := []*kerr.Error{kerr.RequestTimedOut, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.ConcurrentTransactions}
		e := errs[w.rng.IntN(len(errs))]
		name = "EndTxn " + e.Message
		w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: e, Count: 1 + w.rng.IntN(3)})
	case 9:
		errs := []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut, kerr.UnknownProducerID}
		e := errs[w.rng.IntN(len(errs))]
		name = "Produce " + e.Message
		w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.changelog(), Err: e, Count: 1 + w.rng.IntN(3)})
	case 10:
		name = "restart"
		p.nic.release()
		p.nic.plug()
		p.full.Store(false)
		w.end(p)
		w.start(p)
	case 11: // until others have its partitions and have called its timers
		name = "zombie"
		n := p.nic
		n.hold()
		w.after(70+w.rng.IntN(50), n.release)
	case 12:
		by := time.Duration((w.rng.Float64() - 0.5) * float64(72*time.Hour))
		name = fmt.Sprint("clock steps by ", by.Round(time.Minute))
		p.clock.Add(int64(by))
	case 13:
		name = "disk full"
		full := p.full
		full.Store(true)
		w.after(long, func() { full.Store(false) })
	}
	w.faults = append(w.faults, fmt.Sprintf("%v %s of %s", time.Duration(w.tick)*worldTick, name, p.name))
}

// committed waits until all that was sent is, and keeps the processes running meanwhile.
func (w *world) committed() {
	w.t.Helper()
	adm := kadm.NewClient(w.client)
	ends, err := adm.ListEndOffsets(w.t.Context(), w.input())
	if err != nil || ends.Error() != nil {
		w.t.Fatal(err, ends.Error())
	}
	until(w.t, "all input is committed", func() bool {
		w.supervise()
		at, err := adm.FetchOffsets(w.t.Context(), w.app)
		if err != nil {
			return false
		}
		ok := true
		ends.Each(func(e kadm.ListedOffset) {
			c, have := at.Lookup(e.Topic, e.Partition)
			ok = ok && (e.Offset == 0 || have && c.At >= e.Offset)
		})
		return ok
	})
}

// supervise starts a process again that has ended because its name was taken: requests of its own that come late, when a
// network has held them for longer than a session, look like another process of its name.
func (w *world) supervise() {
	for _, p := range w.places {
		if p.away {
			continue
		}
		select {
		case err := <-p.over:
			p.over <- err
			_ = p.ended(w.t)
			var x *ExitError
			if !errors.As(err, &x) || x.Reason != NameTaken {
				w.t.Fatalf("instance %s stopped with %v", p.name, err)
			}
			w.faults = append(w.faults, fmt.Sprintf("%v %s has lost its name", time.Duration(w.tick)*worldTick, p.name))
			w.start(p)
		default:
		}
	}
}

// end asks a process to end.
func (w *world) end(p *place) {
	p.stop()
	var x *ExitError
	if err := p.ended(w.t); err != nil && (!errors.As(err, &x) || x.Reason != NameTaken) {
		w.t.Errorf("instance %s stopped with %v", p.name, err)
	}
}

// run sends, breaks and recounts.
func (w *world) run() {
	next := 10
	tick := time.NewTicker(worldTick)
	defer tick.Stop()
	for ; w.tick < worldTicks; w.tick++ {
		<-tick.C
		for _, f := range w.due[w.tick] {
			f()
		}
		delete(w.due, w.tick)
		w.supervise()
		w.send(w.rng.IntN(12), 30)
		if w.tick == next && w.tick < worldTicks-100 {
			w.fault()
			next += 1 + w.rng.IntN(30)
		}
	}
	for _, p := range w.places {
		p.nic.loseAnswers(0)
	}
	for tick := range w.due { // what outlasts the run
		for _, f := range w.due[tick] {
			f()
		}
	}
	w.committed()
	for _, p := range w.places { // whatever clock a timer was set by, it is due
		p.clock.Store(int64(200 * time.Hour))
	}
	w.reminded()
	for _, p := range w.places {
		w.end(p)
	}
	for i := range w.dying {
		_ = w.dying[i].ended(w.t) // whatever it said to itself
	}
	w.verify()
	w.remindedOnce()
}

// reminding is a counting processor that sets a timer for one in eight of the movements that it counts. What is called is told.
type reminding struct{ counting }

func (p *reminding) Process(ctx processors.Context, r *processors.Record) error {
	before := countOf(ctx, r.Key)
	if err := p.counting.Process(ctx, r); err != nil || countOf(ctx, r.Key) == before {
		return err
	}
	if id := p.movement.Header.DedupeKey; reminds(id) {
		ctx.SetTimer("remind", []byte(id), ctx.Now()+int64(xxhash.Sum64String(id)>>32%500_000))
	}
	return nil
}

func (p *reminding) OnTimer(ctx processors.Context, t processors.Timer, _ int) error {
	ctx.EmitRaw(topics.Exceptions, t.Key, t.Key, nil)
	return nil
}

func countOf(ctx processors.Context, key []byte) int64 {
	b := ctx.Store(0).Get(key)
	if b == nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(b[8:]))
}

func reminds(id string) bool { return xxhash.Sum64String(id)%8 == 0 }

func remindingStage() topology.Stage {
	s := countingStage(nil)
	s.Name = "reminding"
	s.Outputs = append(s.Outputs, topics.Exceptions)
	s.Stores = append(s.Stores, topology.Store{Name: "reminders", Timers: true})
	s.New = func() processors.Processor { return &reminding{} }
	return s
}

// reminded waits until no timer is left: as many calls are committed as there must be.
func (w *world) reminded() {
	w.t.Helper()
	must := 0
	for _, s := range w.sent {
		if reminds(s.dedupe) {
			must++
		}
	}
	looks := 0
	until(w.t, "all timers are called", func() bool {
		w.supervise()
		looks++
		return looks%20 == 0 && len(w.read(w.naming.Topic(topics.Exceptions))) >= must
	})
}

// remindedOnce recounts the calls.
func (w *world) remindedOnce() {
	w.t.Helper()
	called := map[string]int{}
	for _, rec := range w.read(w.naming.Topic(topics.Exceptions)) {
		called[string(rec.Key)]++
	}
	for _, s := range w.sent {
		want := 0
		if reminds(s.dedupe) {
			want = 1
		}
		if called[s.dedupe] != want {
			w.t.Errorf("the timer of %s was called %d times, should be %d", s.dedupe, called[s.dedupe], want)
		}
	}
}

// The faults of real brokers and processes, on the embedded broker and in short time. Two runs of a seed are alike in what is
// broken and when, not in how goroutines take turns.
//
// Virtual time (testing/synctest) does not carry it, and the reason is the client's: a goroutine that waits for a mutex does not
// let a bubble's clock go on, and franz-go holds two across requests whose answers need the clock. A commit waits for
// joinSyncMu while a join waits for the group's other members (groupConsumer.waitJoinSyncMu), and a rebalance's callback
// waits for failMu while the end of a transaction waits for its answer or its next try (GroupTransactSession.End). With one
// member and no rebalance a world passes in 0.2 s there; with either of the two it stands still for good.
func TestNothingIsLostDoubledOrWrongInManyWorlds(t *testing.T) {
	number := func(env string, usual uint64) uint64 {
		text := os.Getenv(env)
		if text == "" {
			return usual
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", env, err)
		}
		return n
	}
	first, count := number(firstSeedEnv, 1), number(seedsEnv, 24)
	var worlds errgroup.Group // they wait more than they work, so that more than a CPU's worth of them go on at once
	worlds.SetLimit(worldsAtOnce)
	for seed := first; seed < first+count; seed++ {
		worlds.Go(func() error {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { live(t, seed) })
			return nil
		})
	}
	_ = worlds.Wait() // each has told its test
}

func live(t *testing.T, seed uint64) {
	network := &kfake.VirtualNetwork{}
	c := fake(t, kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094), kfake.ListenFn(network.Listen))
	w := &world{cluster: c, network: network, rng: rand.New(rand.NewPCG(seed, 1)), due: map[int][]func(){}}
	w.rig = newRig(t, c.ListenAddrs(), remindingStage(), 4, kgo.Dialer(network.DialContext))
	w.workers = 2
	w.own, w.standby = w.rng.IntN(2) == 1, w.rng.IntN(2)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d (%s=%d %s=1): %v", seed, firstSeedEnv, seed, seedsEnv, w.faults)
		}
	}()
	for n := range 2 {
		p := &place{name: fmt.Sprint(n)}
		w.places = append(w.places, p)
		w.start(p)
	}
	w.run()
}
