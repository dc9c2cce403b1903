package store

import (
	"syscall"
	"testing"
	"time"
)

// perOp tells what the process spends an operation, from the call on: on a machine that is shared the wall says little.
func perOp(b *testing.B) (stop func()) {
	began := spentCPU(b)
	return func() { b.ReportMetric(float64(spentCPU(b)-began)/float64(b.N), "cpu-ns/op") }
}

func spentCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
