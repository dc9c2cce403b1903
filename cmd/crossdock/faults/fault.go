package faults

import (
	"context"
	"fmt"
	"time"
)

// A Fault is one way in which things break.
type Fault struct {
	Name string
	Does string // what is done, and how it is undone
	Must string // what must hold, beside that nothing is lost, doubled or wrong and work goes on
	// needs says what the field must have for it.
	needs need
	// inject does it and undoes it; it returns once it is undone. What it returns is what a reader of the table wants to
	// know of it: on whom, for how long.
	inject func(ctx context.Context, f *Field, d Draw) (detail string, err error)
}

// A need is what a fault asks of a field.
type need uint8

const (
	needsCluster   need = 1 << iota // three brokers
	needsTimers                     // parking.limit
	needsSmallDisk                  // processes with a file system of their own
)

// A Draw is what chance decides of a fault. Every step draws all of it, so that a fault that asks for more does not move the
// ones after it.
type Draw struct {
	Victim int           // the place of an instance
	Broker int           // the place of a broker
	Share  float64       // 0 to 1, for what else has a range
	Twice  bool          // for what has two forms
	Gap    time.Duration // before it
}

// between is a length in a range.
func (d Draw) between(low, high time.Duration) time.Duration {
	return low + time.Duration(d.Share*float64(high-low))
}

// All lists the faults.
func All() []Fault {
	return []Fault{
		killAndRestart(), killInARebalance(), killBetweenRevokeAndRejoin(), killAndRename(), killAll(),
		freeze(), zombieWithTimers(), twin(),
		scaleOutAndIn(), rollingRestart(), stateRot(), stateGone(), diskFull(), changelogMadeAnew(),
		brokerKill(), coordinatorKill(), controllerKill(), brokerFreeze(),
		connectionsCut(), unreachable(), stalled(), slow(),
		answersLost("the end of a transaction", endTxn), answersLost("the offsets of a transaction", txnOffsetCommit),
		answersLost("produce", produce), answersLost("a producer's id", initProducerID), answersLost("a group's assignment", syncGroup),
	}
}

// Find is a fault by its name.
func Find(name string) (Fault, error) {
	for _, f := range All() {
		if f.Name == name {
			return f, nil
		}
	}
	return Fault{}, fmt.Errorf("there is no fault %q", name)
}
