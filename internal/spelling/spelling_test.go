package spelling

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTheNearestNameIsTheOneThatWasMeant(t *testing.T) {
	names := []string{"app", "log.level", "kafka.brokers", "kafka.partitions", "kafka.tls.enabled", "retail.zipf", "sources.*.time_zone", "poison.share", "objectives.balance.p50", "objectives.balance.p99"}
	for written, want := range map[string]string{
		"kafka.partitons":       "kafka.partitions",
		"kafak.brokers":         "kafka.brokers",
		"poision":               "poison", // a section
		"zipf":                  "retail.zipf",
		"retial.zipf":           "retail.zipf",
		"kafka.tsl":             "kafka.tls",
		"objectives.balance.p9": "objectives.balance.p99",
		"sources.acme.timezone": "sources.*.time_zone",
		"ap":                    "app",
		"foo":                   "",
		"nothing.like.it":       "",
		"":                      "",
	} {
		if got := Nearest(slices.Values(names), written); got != want {
			t.Errorf("%q: %q, want %q", written, got, want)
		}
	}
}

// Levenshtein's distance is a metric, and no more than the longer of the two.
func TestDistanceIsAMetric(t *testing.T) {
	word := rapid.StringMatching(`[ab.]{0,8}`)
	rapid.Check(t, func(rt *rapid.T) {
		a, b, c := word.Draw(rt, "a"), word.Draw(rt, "b"), word.Draw(rt, "c")
		ab, ba, bc, ac := distance(a, b), distance(b, a), distance(b, c), distance(a, c)
		switch {
		case ab != ba, (ab == 0) != (a == b), ac > ab+bc, ab > max(len(a), len(b)), ab < max(len(a), len(b))-min(len(a), len(b)):
			rt.Errorf("%q %q %q: %d %d %d %d", a, b, c, ab, ba, bc, ac)
		}
	})
}
