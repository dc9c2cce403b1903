package runtime

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if c := os.Getenv(childEnv); c != "" {
		os.Exit(child(c))
	}
	goleak.VerifyTestMain(m)
}

func TestEveryMovementIsCountedOnce(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.workers = 2
	r.send(5000, 200)
	p := r.start(r.config("a"))
	r.drained()
	until(t, "the instance is ready", p.Ready)
	r.send(5000, 200)
	r.drained()
	p.close(t)
	r.verify()
}

func TestRestartRestoresStateFromTheChangelog(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	for range 3 {
		r.send(2000, 50)
		p := r.start(r.config("a"))
		r.drained()
		p.close(t)
	}
	r.verify()
}
