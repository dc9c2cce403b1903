// Package faults breaks a running pipeline on purpose and recounts what came out of it: real brokers, several processes of
// the real program, scans that come at a steady rate whatever happens, and one fault after the other, drawn from a seed. At
// the end all that was sent is recounted by the load test's oracle, which shares no code with the pipeline: nothing may be
// lost, counted twice or wrong, and what must not be applied must have come out as a dead letter, an exception or a parked
// event, once each.
//
// A Fault says what it does, how it is undone and what must hold meanwhile. A run holds after each one that work goes on: all that
// had come is committed, and no partition that has records stands still for Options.Bound. The bound is one of progress: a slow or busy
// machine makes a run longer, and does not make it fail.
//
// A seed fixes the load, which faults come in which order, on whom, and for how long. It does not fix what the machine
// makes of it: a run that failed is repeated as it was scheduled, and most often, not always, fails again.
//
// Not here: steps of the clock. The pipeline's programs read the machine's clock by the kernel's vDSO, without a C library that
// a shim could stand before, and tests must not set the machine's. What depends on the clock takes it from its configuration:
// the worlds of package topology/runtime step it, under timers and stores, and no decision of a commit depends on it.
package faults
