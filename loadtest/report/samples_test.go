package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"crossdock/loadtest/machine"
)

// hopNames by entry, with what their latency is a multiple of.
var sampleHops = []struct {
	name, doc string
	base      float64 // median, µs
	spread    float64 // of the logarithm
}{
	{"accepted", "acknowledged by all in-sync replicas", 2100, 0.35},
	{"translated", "the document's events stand on the inbox, read committed", 6800, 0.4},
	{"enriched", "the movement stands on the inventory stage's inbox, read committed", 11500, 0.4},
	{"balance", "the balance that contains it stands on topic balances, read committed", 23800, 0.42},
	{"row", "its row answers a query in ClickHouse", 840000, 0.3},
}

// sampleReport is what a run of so many slices at a rate would tell.
func sampleReport(length int, perSecond float64, entry Entry) *Report {
	rnd := rand.New(rand.NewPCG(1, uint64(length)))
	began := time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)
	r := &Report{
		Format: Format, Run: "peak-day-20261120-093000", Revision: "4f0c2a91be7d3366aa01c5f2d9e8b7a6c5d4e3f2",
		Machine:  machine.Machine{CPU: "AMD EPYC 7B13", Cores: 2, MemoryBytes: 8 << 30, System: "linux/amd64 6.1.0"},
		Versions: machine.Versions{Revision: "4f0c2a91be7d3366aa01c5f2d9e8b7a6c5d4e3f2", Go: "go1.26.1", Broker: "Kafka 4.4.0", Client: "franz-go v1.22.2"},
		Profile:  "peak-day", ProfileText: "name: peak-day\nskus: 200000\nsites: 220\nzipf: 0.9\npace:\n  rate: 24k\n  for: 10m\n  ramp: 30s\n  spikes: {every: 3m, for: 60s, factor: 1.3}\nduplicates:\n  share: 0.01\n",
		Entry: entry, Seed: 42, Began: began, Ended: began.Add(time.Duration(float64(length)*1e9) + 2300*time.Millisecond),
		Tool:  Tool{Late: 812, LateMost: 41000, CPUSeconds: float64(length) * 0.11},
		Notes: []string{"The broker, the pipeline and the load test shared two cores: each takes from the others what it uses.", "Rows were polled every 100 ms, so the hop “row” is up to that much too long."},
	}
	edges := []int64{100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 20000000, 60000000}
	groups := []string{"crossdock.enrich", "crossdock.inventory", "crossdock.translate", "crossdock-sink"}
	for _, h := range sampleHops {
		if (h.name == "translated") == (entry == Documents) || h.name == "accepted" || h.name == "balance" || h.name == "row" {
			hop := Hop{Name: h.name, Doc: h.doc, Share: 1, Edges: edges}
			if h.name == "balance" || h.name == "row" {
				hop.Share = 0.1
			}
			r.Hops = append(r.Hops, hop)
		}
	}
	values := make([][]float64, len(r.Hops))
	for i := range length {
		f := 1.0
		if length > 60 {
			f = min(1, float64(i+1)/30)
			if i%180 >= 120 {
				f *= 1.3
			}
		}
		s := Slice{At: float64(i), Seconds: 1, Due: int64(perSecond * f), Seen: map[string]int64{}, Lag: map[string]int64{}, Commits: int64(18 + rnd.IntN(9))}
		s.Made = s.Due
		s.Acknowledged = int64(float64(s.Due) * (0.985 + 0.03*rnd.Float64()))
		pause := length > 60 && i >= 300 && i < 306
		for n, g := range groups {
			s.Lag[g] = int64(perSecond * f * (0.02 + 0.05*float64(n)) * (0.7 + 0.6*rnd.Float64()))
			if pause {
				s.Lag[g] += int64(float64(i-299) * perSecond * 0.6)
			}
		}
		for n := range r.Hops {
			base := sampleHops[0]
			for _, h := range sampleHops {
				if h.name == r.Hops[n].Name {
					base = h
				}
			}
			heat := make([]int64, len(edges)+1)
			count := int(perSecond * f * 0.8 * r.Hops[n].Share)
			for range min(400, count) {
				us := base.base * math.Exp(rnd.NormFloat64()*base.spread) * (0.8 + 0.4*f)
				if rnd.Float64() < 0.004 {
					us *= 5
				}
				if pause && n > 0 {
					us += float64(306-i) * 1e6 * rnd.Float64()
				}
				values[n] = append(values[n], us)
				row := 0
				for row < len(edges) && us > float64(edges[row]) {
					row++
				}
				heat[row] += int64(max(1, count/400))
			}
			r.Hops[n].Heat = append(r.Hops[n].Heat, heat)
			for row, c := range heat {
				s.Seen[r.Hops[n].Name] += int64(float64(c) / r.Hops[n].Share)
				r.Hops[n].Measured += c
				heat[row] = int64(float64(c) / r.Hops[n].Share)
			}
		}
		r.Slices = append(r.Slices, s)
		r.Sent.Planned += s.Due
		r.Sent.Made += s.Made
		r.Sent.Acknowledged += s.Due
	}
	for n := range r.Hops {
		r.Hops[n].distribution(values[n])
	}
	r.Sent.Bytes, r.Sent.Keys = r.Sent.Made*249, r.Sent.Made/7
	if entry == Documents {
		r.Sent.Documents = r.Sent.Made / 12
	}
	made := float64(r.Sent.Made)
	r.Sent.Kinds = map[string]int64{"pick": int64(made * .45), "pack and ship": int64(made * .15), "receive and putaway": int64(made * .12), "adjust and count": int64(made * .08), "milestone": int64(made * .12), "return": int64(made * .05), "order": int64(made * .02), "item": int64(made * .01)}
	r.Sent.Copies = map[string]int64{"original": int64(made * .99), "exact duplicate": int64(made * .006), "re-enveloped": int64(made * .004)}
	r.Sent.Poison = map[string]int64{"unknown item": int64(made * .0002), "truncated": int64(made * .0001), "unknown schema": int64(made * .0001)}
	r.Sent.Offline, r.Sent.Late = int64(made*.005), int64(made*.03)
	for i, name := range []string{"crossdock", "kafka", "clickhouse", "loadtest"} {
		p := Process{Name: name, From: []string{"metrics", "process table"}[min(i, 1)], PeakBytes: int64(400+220*i) << 20, CPUSecondsPerMillion: 4.1 / float64(i+1), CPUSeconds: 4.1 / float64(i+1) * made / 1e6}
		cpu := 0.0
		for at := 0.0; at <= float64(length); at += math.Max(1, float64(length)/120) {
			p.Samples = append(p.Samples, Sample{At: at, CPUSeconds: cpu, Bytes: int64((300 + 220*float64(i) + 100*(1-math.Exp(-at/60))) * (1 << 20))})
			cpu += (0.2 + 0.5/float64(i+1)*(0.8+0.4*rnd.Float64())) * math.Max(1, float64(length)/120)
		}
		r.Processes = append(r.Processes, p)
	}
	r.Commits = &Commits{Count: int64(length) * 22, Aborted: 3, Edges: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}}
	for i, stage := range []string{"enrich", "inventory", "orders"} {
		c := StageCommits{Stage: stage, Count: int64(length) * 7, Aborted: int64(i), Records: 3200 / float64(i*i+1), Duration: make([]int64, len(r.Commits.Edges)+1)}
		for k := range c.Duration {
			c.Duration[k] = int64(float64(c.Count) * math.Exp(-math.Pow(float64(k-3-i), 2)/2) / 2.5)
		}
		r.Commits.Stages = append(r.Commits.Stages, c)
	}
	for p := range int32(24) {
		r.Partitions = append(r.Partitions, Partition{p, int64(made / 24 * (0.85 + 0.3*rnd.Float64()) * map[bool]float64{true: 1.6, false: 0.97}[p == 17])})
	}
	r.Verdict = &Verdict{OK: true, Line: fmt.Sprintf("verified: %d events, 0 lost, 0 duplicated", r.Sent.Made), Events: r.Sent.Made, Seconds: 41.7, Readings: []Reading{
		{Source: "balances", Read: r.Sent.Made + 1200, Foreign: 1200, Keys: r.Sent.Keys, OK: true},
		{Source: "state", Read: r.Sent.Keys, Keys: r.Sent.Keys, OK: true},
		{Source: "clickhouse", Read: r.Sent.Made, Keys: r.Sent.Keys, Problems: map[string]int64{"lost": 0}, OK: true},
		{Source: "dead letters", Read: int64(made * .0002), OK: true},
	}}
	r.Objectives = []Objective{{"balance p99", "at most 100 ms", "74.2 ms", true}, {"row p99", "at most 5 s", "1.8 s", true}, {"lag at the end", "at most 1,000", "212", true}, {"exact", "0 lost, 0 duplicated, 0 wrong", "0, 0, 0", true}, {"load test's pace", "kept", "kept", true}}
	return r
}

// distribution fills a hop's quantiles from values.
func (h *Hop) distribution(values []float64) {
	if len(values) == 0 {
		return
	}
	sorted := append([]float64(nil), values...)
	slices.Sort(sorted)
	at := func(q float64) int64 { return int64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]) }
	h.Latency = Latency{Mean: at(0.55), P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: at(1)}
	for x := 0.0; x < 6; x += 0.05 {
		q := 1 - math.Pow(10, -x)
		h.Quantiles = append(h.Quantiles, Point{q, at(q)})
	}
	h.Quantiles = append(h.Quantiles, Point{1, at(1)})
}

// sampleBroken is a run of 10 minutes whose outputs are wrong, with an outage and keys that hold what came from outside.
func sampleBroken() *Report {
	r := sampleReport(600, 24000, Movements)
	r.Run = "flash-sale-20261120-101500"
	r.Outages = []Outage{{At: 300, Seconds: 5.4, What: "no acknowledgement: unable to dial 127.0.0.1:9092: connection refused"}}
	r.Objectives[0] = Objective{"balance p99", "at most 100 ms", "4.31 s", false}
	r.Objectives[3] = Objective{"exact", "0 lost, 0 duplicated, 0 wrong", "3, 1, 2", false}
	r.Verdict.OK, r.Verdict.Lost, r.Verdict.Duplicated, r.Verdict.Wrong = false, 3, 1, 2
	r.Verdict.Line = fmt.Sprintf("failed: %d events, 3 lost, 1 duplicated, 2 wrong", r.Sent.Made)
	r.Verdict.Readings[0].OK, r.Verdict.Readings[0].Problems = false, map[string]int64{"lost": 3, "duplicated": 1}
	r.Hops[len(r.Hops)-1].Missing = 31
	for i := range 5 {
		k := FailingKey{Key: fmt.Sprintf("SKU-r7f3-%06d<script>alert(1)</script>%s|DC-%02d", i, strings.Repeat("0123456789", 3*i), i), What: []string{"available is 12, and 13 was sent: lost 1", "version 4 comes after version 2"}, Omitted: int64(i * 14)}
		for e := range 6 + i {
			k.Events = append(k.Events, fmt.Sprintf("seq %9d  2026-11-20T09:31:%02d.112233Z  id 8d1f0c1e-7b0a-5c3e-9d2f-%012d  dedupe r7f3/%d  pick  −1 EA  original  acknowledged", 120034+e*913, e, e, e))
		}
		r.Verdict.Failing = append(r.Verdict.Failing, k)
	}
	return r
}

// sampleInterrupted was ended by Ctrl-C, and nobody verified it.
func sampleInterrupted() *Report {
	r := sampleReport(96, 6000, Movements)
	r.Sent.Planned *= 6
	r.Stopped, r.Verdict = "interrupted (Ctrl-C)", nil
	r.Tool.Bottleneck = "the load test used 0.98 of one core, and 12 % of the events left late"
	r.Objectives = r.Objectives[:2]
	r.Objectives[1] = Objective{Name: "row p99", Wanted: "at most 5 s"}
	return r
}

// sampleSearch looked for the highest rate.
func sampleSearch() *Report {
	r := sampleReport(120, 31000, Movements)
	r.SearchHop, r.SearchBound = "balance", 100000
	r.Search = []Attempt{
		{24000, true, "p99 within the bound", 38000, 90}, {48000, false, "p99 above the bound, and lag grew", 9300000, 880000},
		{36000, false, "p99 above the bound", 180000, 3000}, {30000, true, "p99 within the bound", 61000, 120},
		{33000, false, "p99 above the bound", 131000, 400}, {31500, true, "p99 within the bound", 88000, 180}, {32250, false, "p99 above the bound", 104000, 350},
	}
	return r
}

func samples() map[string]*Report {
	return map[string]*Report{
		"ten-minutes": sampleReport(600, 24000, Movements),
		"documents":   sampleReport(300, 2000, Documents),
		"five":        sampleReport(5, 1000, Movements),
		"broken":      sampleBroken(),
		"interrupted": sampleInterrupted(),
		"search":      sampleSearch(),
		"nothing":     {},
	}
}
