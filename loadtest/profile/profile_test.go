package profile

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"crossdock/loadtest/latency"
	"crossdock/loadtest/pace"
	"crossdock/loadtest/scans"
)

var values = cmpopts.IgnoreUnexported(Profile{})

func mustLoad(t testing.TB, name string) *Profile {
	t.Helper()
	p, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func written(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wants(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("missing %q in:\n%v", p, err)
		}
	}
}

func TestEveryShippedProfileLoadsAndSaysWhatItIs(t *testing.T) {
	for _, name := range Names() {
		p := mustLoad(t, name)
		if p.Name != name || p.Doc == "" {
			t.Errorf("%s: name %q, doc %q", name, p.Name, p.Doc)
		}
		l, err := p.Load(7, "run-1")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if l.Seed != 7 || l.Run != "run-1" || l.Hottest.Share != 0 {
			t.Errorf("%s: seed %d, run %s, late duplicates %g", name, l.Seed, l.Run, l.Hottest.Share)
		}
	}
	files, err := shipped.ReadDir("profiles")
	if err != nil || len(files) != len(Names()) {
		t.Errorf("%d files, %d names: %v", len(files), len(Names()), err)
	}
}

func TestBaseSpellsOutEveryDefault(t *testing.T) {
	base := mustLoad(t, "base")
	want := Default()
	want.Doc = base.Doc
	if d := cmp.Diff(want, base, values); d != "" {
		t.Error(d)
	}
	for _, s := range base.settings() {
		if strings.HasPrefix(s.key, "objectives.") && s.value.String() == none {
			continue // there are many, and none of them says anything
		}
		if base.origins[s.key].line == 0 {
			t.Errorf("base does not name %s", s.key)
		}
	}
}

// The numbers of the load model stand in two places: what the generator has by itself, and the profile.
func TestBaseIsTheGeneratorsOwnLoad(t *testing.T) {
	got, err := mustLoad(t, "base").Load(1, "")
	if err != nil {
		t.Fatal(err)
	}
	want := scans.DefaultLoad(1)
	want.Rate = 6000
	want.Hottest.Age = 2 * time.Hour // of none
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(scans.Load{}, "Pace")); d != "" {
		t.Error(d)
	}
}

func TestShippedProfilesDifferFromBaseInWhatTheirNameSays(t *testing.T) {
	for _, c := range []struct {
		name, key, want string
	}{
		{"flash-sale", "retail.hot_share", "30 %"}, {"offline-flood", "offline.share", "5 %"}, {"poison", "poison.share", "2 %"},
		{"snapshot-storm", "snapshots.every", "3m"}, {"returns-wave", "mix.return", "24"}, {"peak-day", "pace.rate", "24k"},
		{"peak-day", "pace.spikes.factor", "1.3"}, {"peak-day", "pace.spikes.for", "1m"}, {"peak-day", "objectives.balance.p99", "100ms"},
	} {
		for _, s := range mustLoad(t, c.name).settings() {
			if s.key == c.key && s.value.String() != c.want {
				t.Errorf("%s: %s is %s, not %s", c.name, c.key, s.value, c.want)
			}
		}
	}
}

func TestWhatIsPrintedReadsAsTheSameProfile(t *testing.T) {
	for _, name := range Names() {
		p := mustLoad(t, name)
		again, err := Parse("run.json", p.YAML())
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, p.YAML())
		}
		if d := cmp.Diff(p, again, values); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// Every value in every form, awkward floats too, is read as what was written.
func TestEveryValuePrintsAsItIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Default()
		for _, s := range p.settings() {
			switch v := s.value.(type) {
			case rate:
				*v.p = rapid.Float64Range(pace.MinRate, pace.MaxRate).Draw(t, s.key)
			case share:
				*v.p = rapid.Float64Range(0, 1).Draw(t, s.key)
			case quantity:
				*v.p = rapid.Float64Range(0, 1e9).Draw(t, s.key)
			case duration:
				*v.p = time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, s.key))
			case count[int]:
				*v.p = rapid.IntRange(0, 1e9).Draw(t, s.key)
			case count[int64]:
				*v.p = rapid.Int64Range(0, 1<<53-1).Draw(t, s.key)
			case text:
				*v.p = strings.TrimSpace(rapid.StringOf(rapid.RuneFrom([]rune("ab:#-'\"{}[], %&*!|>\n1é"))).Draw(t, s.key))
			case steps:
				n := rapid.IntRange(0, 4).Draw(t, "steps")
				for range n {
					*v.p = append(*v.p, Step{rapid.Float64Range(0, 9).Draw(t, "rate"), rapid.Float64Range(0, 1).Draw(t, "for")})
				}
			}
		}
		d := document{label: "x", data: []byte(p.YAML())}
		n, err := root(d)
		if err != nil {
			t.Fatalf("%v\n%s", err, p.YAML())
		}
		r := parser{document: d, seen: map[string]int{}, p: Default()}
		r.table = r.p.settings()
		r.section(n, "")
		if len(r.problems) > 0 {
			t.Fatalf("%v\n%s", r.problems, p.YAML())
		}
		if d := cmp.Diff(p, r.p, values); d != "" {
			t.Fatalf("%s\n%s", d, p.YAML())
		}
	})
}

func TestAllProblemsOfAFileAreReportedAtOnceWithLineAndRemedy(t *testing.T) {
	path := written(t, "mine.yaml", `extends: base
pace:
  rate: fast
  for: 10
  spiks: {every: 5m}
retail:
  skus: 0.5
  dcs: 300
duplicates:
  share: 1 %
  share: 2 %
  late: {share: 70 %}
duplicate: {share: 1 %}
poision: 5 %
poison: 5 %
disorder: {min: 2m, max: 1m}
objectives:
  balance: {p99: 0.0000001ms, p9: 1s}
  exact: yes
mix: &anchor {pick: 1}
zipf: 1
`)
	_, err := Load(path)
	wants(t, err,
		path+`:3: pace.rate: "fast" is no number`, `:4: pace.for: 10 has no unit: write 10s, 10m or 10h`,
		":5: pace.spiks: no such key; did you mean pace.spikes?", `:7: retail.skus: "0.5" is no whole number`,
		":8: retail.dcs: 300 distribution centres of 220 sites", ":11: duplicates.share: it is set a second time, after line 10",
		":12: duplicates.late.share: 70 % is no share that can be", ":13: duplicate: no such key; did you mean duplicates?",
		":14: poision: no such key; did you mean poison?", ":15: poison: it is a section",
		":16: disorder.min: it is above disorder.max", `:18: objectives.balance.p99: "0.0000001ms" is less than a nanosecond`,
		":18: objectives.balance.p9: no such key; did you mean objectives.balance.p99?", `:19: objectives.exact: "yes": write true or false`,
		":20: mix: anchors", ":21: zipf: no such key; did you mean retail.zipf?",
	)
	last := 0
	for _, l := range strings.Split(err.Error(), "\n") {
		var line int
		if _, rest, ok := strings.Cut(l, "mine.yaml:"); ok {
			for _, c := range rest {
				if c < '0' || c > '9' {
					break
				}
				line = line*10 + int(c-'0')
			}
		}
		if line < last {
			t.Errorf("line %d is named after line %d", line, last)
		}
		last = line
	}
}

func TestAFileThatIsNoProfileIsRefusedByName(t *testing.T) {
	for text, want := range map[string]string{
		"": "it is empty", "# nothing\n": "it is empty", "- a\n": "made of keys and values", "a: b: c\n": "mapping values",
		"doc: a\n---\ndoc: b\n": "second YAML document", "extends: bse\n": "did you mean base?", "extends: ./other.yaml\n": "no such file",
		"extends: [base]\n": "one value is wanted", "pace: [1]\n": "it is a section", "pace:\n  steps: 5\n": "a list of steps",
		"pace:\n  steps: [{rate: 1, fore: 1}]\n": "no fore", "pace:\n  steps: [{rate: 1, for: 30 %}]\n": "30 % of the run together: make it 100 %",
		"pace:\n  steps: [{rate: 0, for: 1}]\n": "no step has a rate above 0", "<<: {a: b}\n": "merges",
	} {
		_, err := Load(written(t, "bad.yaml", text))
		wants(t, err, "bad.yaml", want)
	}
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	wants(t, err, "no such file", "base, peak-day")
	_, err = Load("peek-day")
	wants(t, err, `no profile "peek-day"`, "did you mean peak-day?", "snapshot-storm", "path of a YAML file")
	_, err = Load(written(t, "large.yaml", strings.Repeat("#\n", maxBytes)))
	wants(t, err, "larger than")
}

func TestExtendsBeginsWithTheOtherProfilesValues(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": "extends: flash-sale\nretail: {skus: 1M}\ndoc: mine\n", "b.yaml": "extends: ./a.yaml\npace: {for: 1h}\npoison:\n",
		"loop.yaml": "extends: ./pool.yaml\n", "pool.yaml": "extends: ./loop.yaml\n", "bad.yaml": "extends: ./a.yaml\nretail: {dcs: 500}\n",
		"worse.yaml": "extends: ./bad.yaml\nretial: {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := mustLoad(t, filepath.Join(dir, "b.yaml"))
	if b.Name != "b" || b.Doc != "" || b.Retail.HotShare != 0.3 || b.Retail.SKUs != 1_000_000 || b.Pace.For != time.Hour || len(b.Pace.Steps) != 3 {
		t.Errorf("%+v", b)
	}
	_, err := Load(filepath.Join(dir, "loop.yaml"))
	wants(t, err, "extends itself")
	_, err = Load(filepath.Join(dir, "worse.yaml"))
	wants(t, err, "worse.yaml:1: extends", "bad.yaml:2: retail.dcs", "worse.yaml:2: retial: no such key; did you mean retail?")
}

func TestAnOverrideIsReadAsInAFileAndNamedWhereItIsWrong(t *testing.T) {
	p := mustLoad(t, "base")
	for _, kv := range [][2]string{
		{"duplicates.share", "0.02"}, {"pace.rate", "1.5M"}, {"retail.dc_share", "35%"}, {"snapshots.every", "none"},
		{"pace.steps", "[{rate: 1, for: 50 %}, {rate: 2, for: 50 %}]"}, {"objectives.exact", "false"}, {"doc", "it's: mine"},
	} {
		if err := p.Set(kv[0], kv[1]); err != nil {
			t.Error(err)
		}
	}
	if p.Duplicates.Share != 0.02 || p.Pace.Rate != 1.5e6 || p.Retail.DCShare != 0.35 || p.Snapshots.Every != 0 || len(p.Pace.Steps) != 2 ||
		p.Objectives.Exact || p.Doc != "it's: mine" {
		t.Errorf("%+v", p)
	}
	before := p.Clone()
	for key, c := range map[string][2]string{
		"duplicates.shar": {"1", "did you mean duplicates.share?"}, "duplicates.share": {"3", "duplicates.share=3: 300 % is no share that can be"},
		"pace.rate": {"20M", "pace.rate=20M: 20M events a second cannot be: give 0.001 to 10M"}, "pace.steps": {"[", "write a list"},
		"retail.skus": {"-1", "-1 cannot be: give 1 to 10M"}, "pace.for": {"0s", "give"}, "pace": {"1", "no such key"},
	} {
		wants(t, p.Set(key, c[0]), c[1])
	}
	if d := cmp.Diff(before, p, cmp.AllowUnexported(Profile{}, origin{})); d != "" {
		t.Errorf("what was refused changed the profile: %s", d)
	}
	if err := p.Set("disorder.min", "2m"); err != nil {
		t.Fatal(err)
	}
	_, err := p.Plan()
	wants(t, err, "disorder.min=2m: it is above disorder.max")
}

// A plan has as many events as its rates make in their times.
func TestAPlanHasRateTimesTimeEvents(t *testing.T) {
	for name, want := range map[string]float64{
		// 10 minutes at 6,000, less half a ramp of 10 seconds.
		"base": 6000 * (600 - 5), "poison": 6000 * (600 - 5),
		// 2 minutes at 6,000 (ramp: half of 30 s), 6 at 24,000 (the ramp's mean is 15,000), 2 at 6,000 (again), and two
		// spikes of a minute that lie in the middle: 0.3 times 24,000.
		"peak-day": 6000*(120-15) + (15_000*30 + 24_000*330) + (15_000*30 + 6000*90) + 2*60*0.3*24_000,
		// 6,000 with a ramp of 5 s, 12,000, 6,000.
		"flash-sale": 6000*(120-2.5) + (9000*5 + 12_000*355) + (9000*5 + 6000*115),
	} {
		plan, err := mustLoad(t, name).Plan()
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(plan.Count()); math.Abs(got-want) > 1 {
			t.Errorf("%s has %g events, not %g", name, got, want)
		}
		if plan.Duration() != 10*time.Minute {
			t.Errorf("%s lasts %v", name, plan.Duration())
		}
	}
	peak, err := mustLoad(t, "peak-day").Plan()
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]float64{
		0: 0, 15 * time.Second: 3000, time.Minute: 6000, 135 * time.Second: 15_000, 200 * time.Second: 31_200, 250 * time.Second: 24_000,
		479 * time.Second: 31_200, 9 * time.Minute: 6000,
	} {
		if got := peak.Rate(at); math.Abs(got-want) > 1e-6 {
			t.Errorf("the rate at %v is %g, not %g", at, got, want)
		}
	}
	if peak.Peak() != 31_200 {
		t.Errorf("the peak is %g", peak.Peak())
	}
}

// Segments are made of floats, but however a shape is cut it lasts as long as it says, and no rate passes its peak.
func TestAnyShapeLastsAsLongAsItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Default()
		p.Pace.Rate = rapid.Float64Range(1, 1e6).Draw(t, "rate")
		p.Pace.For = time.Duration(rapid.Int64Range(int64(time.Second), int64(10*time.Hour)).Draw(t, "for"))
		sum := 0.0
		for range rapid.IntRange(0, 5).Draw(t, "steps") {
			s := Step{rapid.Float64Range(0, 2).Draw(t, "step"), rapid.Float64Range(0.1, 1).Draw(t, "length")}
			sum += s.For
			p.Pace.Steps = append(p.Pace.Steps, s)
		}
		for i := range p.Pace.Steps {
			p.Pace.Steps[i].For /= sum
		}
		if sum > 0 {
			p.Pace.Steps[0].Rate++
		}
		p.Pace.Ramp = time.Duration(rapid.Int64Range(0, int64(p.Pace.For)/60).Draw(t, "ramp"))
		if rapid.Bool().Draw(t, "spiky") {
			p.Pace.Spikes.Every = time.Duration(rapid.Int64Range(int64(p.Pace.For)/100, int64(p.Pace.For)).Draw(t, "every"))
			p.Pace.Spikes.For = time.Duration(rapid.Int64Range(1, int64(p.Pace.Spikes.Every)-1).Draw(t, "spike"))
			p.Pace.Spikes.Factor = rapid.Float64Range(0, 3).Draw(t, "factor")
		}
		plan, err := p.Plan()
		if err != nil {
			t.Fatal(err)
		}
		if plan.Duration() != p.Pace.For {
			t.Fatalf("it lasts %v, not %v", plan.Duration(), p.Pace.For)
		}
		highest := 1.0
		if len(p.Pace.Steps) > 0 {
			highest = 0
			for _, s := range p.Pace.Steps {
				highest = max(highest, s.Rate)
			}
		}
		if p.Pace.Spikes.Every > 0 {
			highest *= max(1, p.Pace.Spikes.Factor)
		}
		if limit := p.Pace.Rate * highest; plan.Peak() > limit*(1+1e-9) {
			t.Fatalf("it comes to %g a second, above %g", plan.Peak(), limit)
		}
	})
}

func TestAnotherRateAndLengthKeepTheShape(t *testing.T) {
	p := mustLoad(t, "peak-day")
	if err := p.At(2400, time.Minute); err != nil {
		t.Fatal(err)
	}
	short, err := p.Plan()
	if err != nil {
		t.Fatal(err)
	}
	long, err := mustLoad(t, "peak-day").Plan()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		share := time.Duration(i)
		if got, want := short.Rate(share*time.Minute/100), long.Rate(share*10*time.Minute/100)/10; math.Abs(got-want) > 1e-6*want {
			t.Errorf("after %d %% the rate is %g, not %g", i, got, want)
		}
	}
	if p.Objectives.MaxLagEnd != 600 {
		t.Errorf("a tenth of the rate may be %d behind, not 600", p.Objectives.MaxLagEnd)
	}
	p = mustLoad(t, "peak-day")
	if err := p.At(24_000, 10*time.Hour); err != nil {
		t.Fatal(err)
	}
	if p.Pace.Ramp != 30*time.Second || p.Pace.Spikes.For != time.Minute || p.Pace.Spikes.Every != 4*time.Minute {
		t.Errorf("ramp and spikes of a longer run: %+v", p.Pace)
	}
}

func TestAnImpossibleRateOrLengthIsRefusedWithTheRemedy(t *testing.T) {
	p := mustLoad(t, "peak-day")
	before := p.Clone()
	for _, r := range []float64{0, -5, math.NaN(), math.Inf(1), 10_000_001, 1e-9} {
		wants(t, p.At(r, time.Minute), "events a second cannot be: give 0.001 to 10M, like 24k")
	}
	for _, d := range []time.Duration{0, -time.Second, 400 * 24 * time.Hour} {
		wants(t, p.At(1000, d), "give more than 0s, at most 8784h, like 10m")
	}
	wants(t, p.At(9e6, time.Minute), "pace.rate=9M: with its steps and spikes it comes to 11.7M events a second: give at most 7692307")
	if d := cmp.Diff(before, p, cmp.AllowUnexported(Profile{}, origin{})); d != "" {
		t.Errorf("what was refused changed the profile: %s", d)
	}
	for _, c := range []struct {
		key, value, want string
	}{
		{"pace.ramp", "3m", "pace.ramp=3m: 3m is longer than the shortest of pace.steps, 2m"},
		{"pace.spikes.every", "1h", "comes after the end of the run of 10m"}, {"pace.spikes.for", "5m", "are no spikes"},
		{"pace.spikes.every", "1ms", "are no spikes"},
	} {
		q := mustLoad(t, "peak-day")
		if err := q.Set(c.key, c.value); err != nil {
			t.Fatal(err)
		}
		wants(t, q.Validate(), c.want)
	}
}

// 1,000 pickers x 80 lines an hour x 4 scans are 89 scans a second in a distribution centre.
func TestTheRateOfPickersIsWhatTheyScan(t *testing.T) {
	p := mustLoad(t, "base")
	if err := p.Set("pace.rate", "pickers"); err != nil {
		t.Fatal(err)
	}
	plan, err := p.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if dcs := plan.Peak() * p.Retail.DCShare / float64(p.Retail.DCs); math.Abs(dcs-88.9) > 0.02 {
		t.Errorf("%g scans a second in a distribution centre", dcs)
	}
	if err := p.Set("retail.dcs", "0"); err != nil {
		t.Fatal(err)
	}
	wants(t, p.Validate(), "no picker scans without a distribution centre")
}

func TestTheTableHasALineForEveryShippedProfile(t *testing.T) {
	var b bytes.Buffer
	if err := WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != len(Names())+1 {
		t.Fatalf("%s", b.String())
	}
	for i, name := range Names() {
		if !strings.HasPrefix(lines[i+1], name+" ") || !strings.HasSuffix(lines[i+1], mustLoad(t, name).Doc) {
			t.Errorf("%s", lines[i+1])
		}
	}
	if !strings.Contains(lines[2], "24k/s") || !strings.Contains(lines[2], "31.2k/s") || !strings.Contains(lines[2], "10m ") {
		t.Errorf("%s", lines[2])
	}
}

func TestEveryHopCanHaveAnObjective(t *testing.T) {
	keys := map[string]bool{}
	for _, s := range Default().settings() {
		if keys[s.key] {
			t.Errorf("%s is there twice", s.key)
		}
		keys[s.key] = true
		if s.doc == "" {
			t.Errorf("%s has no doc", s.key)
		}
	}
	for h := range latency.Hops {
		if !keys["objectives."+latency.Hop(h).String()+".p99"] {
			t.Errorf("%s has none", latency.Hop(h))
		}
	}
}

// A key that changes nothing of what is sent would be a lie.
func TestEveryKeyOfTheLoadChangesWhatIsSent(t *testing.T) {
	begin := func() *Profile {
		p := Default()
		for key, value := range map[string]string{"pace.spikes.every": "2m", "duplicates.late.share": "1 %"} {
			if err := p.Set(key, value); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	// What is good beside the defaults, where the value for its unit is not.
	other := map[string]string{
		"pace.rate": "7k", "pace.for": "20m", "pace.ramp": "1s", "pace.steps": "[{rate: 2, for: 1}]", "pace.spikes.every": "3m",
		"disorder.min": "2s", "disorder.max": "2m", "offline.min": "6m", "offline.max": "5h", "offline.flush_min": "60",
		"offline.flush_max": "300", "retail.dcs": "21", "pace.spikes.for": "1s", "snapshots.every": "20m", "duplicates.late.age": "3h",
	}
	sent := func(p *Profile) (scans.Load, int64, []float64) {
		l, err := p.Load(1, "")
		if err != nil {
			t.Fatal(err)
		}
		var rates []float64
		for at := time.Duration(0); at < 20*time.Minute; at += 500 * time.Millisecond {
			rates = append(rates, l.Pace.Rate(at))
		}
		count := l.Pace.Count()
		l.Pace = nil
		return l, count, rates
	}
	was, count, rates := sent(begin())
	for _, s := range Default().settings() {
		if s.source == "" || strings.HasPrefix(s.key, "objectives.") {
			continue
		}
		p := begin()
		if strings.HasPrefix(s.key, "scanners.") {
			// How fast people are counts where the rate is theirs.
			p.Pace.Rate = 0
			was, count, rates := sent(p)
			if err := p.Set(s.key, "50"); err != nil {
				t.Fatal(err)
			}
			if l, n, r := sent(p); cmp.Equal(was, l) && n == count && cmp.Equal(rates, r) {
				t.Errorf("%s changes nothing", s.key)
			}
			continue
		}
		value, ok := other[s.key]
		if !ok {
			value = map[string]string{"share": "7 %", "weight": "9", "count": "300", "rows": "300", "events": "300", "factor": "2", "exponent": "1.2"}[s.value.unit()]
		}
		if err := p.Set(s.key, value); err != nil {
			t.Fatal(err)
		}
		if l, n, r := sent(p); cmp.Equal(was, l) && n == count && cmp.Equal(rates, r) {
			t.Errorf("%s=%s changes nothing", s.key, value)
		}
	}
}

func TestACopyIsChangedByItself(t *testing.T) {
	p := mustLoad(t, "peak-day")
	c := p.Clone()
	c.Pace.Steps[0].Rate = 9
	if err := c.Set("retail.skus", "5"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(mustLoad(t, "peak-day"), p, cmp.AllowUnexported(Profile{}, origin{})); d != "" {
		t.Error(d)
	}
}
