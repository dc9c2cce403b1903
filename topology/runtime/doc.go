// Package runtime runs a stage on Kafka, exactly once. Consumer groups share the work, transactions make it exact,
// changelog topics make state durable; nothing here invents a cluster. Words are Kafka Streams' words.
//
//	Instance (process)
//	  worker 1..n       one goroutine, one kgo.GroupTransactSession: own client, own transactional id, static member
//	    task per partition   processor and stores (package task)
//	  restorer          own client, reads changelogs, never on the processing path
//	  keeper            replicas: standbys, warm-ups, and what tasks have left
//	  fencer            ends the transactions that dead workers left open
//	GlobalTables        master data for every instance of the process
//
// It knows topics, stages and the wire; it knows no rule of the business.
//
// Invariants:
//
//   - I1  Local state never holds an effect of a transaction that has not committed: records are processed against an
//     overlay that is merged only after End has reported a commit.
//   - I2  What is on disk says where it stands: state, changelog offset and source offset are one batch (package store).
//   - I3  No record is processed before the task's stores have reached their changelogs' ends. The end is the high
//     watermark, read uncommitted, taken after the stable offset fetch; the restorer reads read-committed until it has
//     passed it, control records included: a changelog ends with a marker.
//   - I4  If the outcome of End is unknown nothing is assumed. An error throws client, overlay and tasks away, and the
//     tasks are restored. (false, nil) after a wish to commit makes the worker read the group's stable offsets: where
//     every commit number is the one before the batch, the overlay is dropped and work goes on, otherwise as above.
//   - I5  Offsets, outputs, changelog and dead letters of one batch are one transaction, and none is without offsets: one
//     made by a change of the tables alone commits the present offset of its task again. The metadata of every commit
//     carries the task's commit number, one higher each time.
//   - I6  Records of one key are processed in the order of the inbox: an aborted batch is polled again from its start.
//
// Query reads committed state from outside, and Owner says who else may. A worker answers between two transactions and
// only while the group's coordinator confirms it, so an answer is never older than an output that was seen before.
//
//   - I7  Everything is bounded. Too much that the disk does not have pauses polling; nothing is dropped.
//   - I8  A store's partition has one owner: a lease of package store, which a replica or a task holds, one after the other.
//
// What a dead worker leaves open is ended by a fencer, one goroutine of each instance. It may come at any time, because it can
// only abort: a commit that the broker has taken is past it, a transaction with offsets holds back whoever would go on behind
// it, and a worker that was fenced although it lives does its batch again (I4).
//
// Stores are in memory where Deps has no State; every start reads its changelogs from the start then.
//
// A keeper has the stores that no task has: replicas, which follow the changelogs of partitions that others own or that are on
// their way here. What it follows is what the group's leader orders (package assignor), and what it has decides what the leader
// gives the instance. A replica's store becomes the task's, from where it stands; I3 holds for it as for any other.
package runtime
