package verify

import (
	"testing"

	"crossdock/avro/serde"
	"crossdock/loadtest/oracle"
)

// BenchmarkRecount is the first half of a verification: an event is made and told.
func BenchmarkRecount(b *testing.B) {
	g := bigRun(b)
	o := oracle.New(oracle.Options{Runs: []string{g.Load().Run}})
	t := teller{oracle: o, serde: serde.Local()}
	if err := t.catalogue(&Load{}, g); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := t.tell(g, g.Next()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMake(b *testing.B) {
	g := bigRun(b)
	for b.Loop() {
		g.Next()
	}
}
