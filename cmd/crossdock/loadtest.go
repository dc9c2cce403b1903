package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"crossdock/internal/config"
	"crossdock/internal/telemetry"
	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
	"crossdock/loadtest/trial"
)

// A loadtestFlags is what a person asks of loadtest run.
type loadtestFlags struct {
	profile, rate, lasts string
	seed                 uint64
	run, out, entry      string
	findMax              string
	watch                []string
	start, noVerify      bool
	state                string
	drain                time.Duration
	documents            documentFlags
}

func (a *app) loadtestCommand() *cobra.Command {
	return group("loadtest", "Load tests that tell the truth: realistic scans at any rate, honest latency, every balance recounted",
		a.loadtestRunCommand(), a.loadtestVerifyCommand(), a.loadtestReportCommand(), a.loadtestProfilesCommand())
}

func (a *app) loadtestRunCommand() *cobra.Command {
	o := loadtestFlags{profile: "base", seed: 1, out: "loadtest-results", entry: string(report.Movements), drain: 2 * time.Minute, documents: documentFlags{connections: 64}}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Drive a profile's load through the pipeline, open loop, recount every balance, and write a report",
		Long: `Publishes the items and sites of the run, sends its events at the times that the profile fixes in advance, and measures how
long after these each was accepted, enriched, in a balance and in a row of ClickHouse. Then it waits until all has come
out, recounts every balance from what was sent, and writes a folder with report.html, report.json and what it takes to
verify again.

The stages must run already, or --start runs them for the time of the test. --set takes keys of the profile beside those
of the configuration: --set duplicates.share=2%. Interrupting it once stops the sending and reports what ran; twice ends
it at once.

Exit codes: 0 objectives met and every balance right, 1 not, 2 a run that cannot be meant, 3 a service is not ready.`,
		Example: `  crossdock loadtest run --profile peak-day --rate 24k --for 10m
  crossdock loadtest run --profile base --rate 6k --for 1m --start
  crossdock loadtest run --profile base --rate 2k --for 1m --entry documents --start
  crossdock loadtest run --profile base --rate 4k --for 30s --find-max 'balance:p99<100ms' --start`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Whoever interrupts a second time does not want to wait for the truth.
			defer context.AfterFunc(cmd.Context(), func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })()
			return a.loadtestRun(cmd.Context(), &o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.profile, "profile", o.profile, "a shipped profile, or a YAML file; crossdock loadtest profiles lists them")
	f.StringVar(&o.rate, "rate", "", "events a second, such as 24k (default: the profile's)")
	f.StringVar(&o.lasts, "for", "", "how long events are sent, such as 10m; with --find-max each attempt (default: the profile's; 30s)")
	f.Uint64Var(&o.seed, "seed", o.seed, "seed of the events")
	f.StringVar(&o.run, "run", "", "name of the run and of its folder (default: profile and time)")
	f.StringVar(&o.out, "out", o.out, "folder for the folders of runs")
	f.StringVar(&o.entry, "entry", o.entry, "where events enter: movements (canonical, onto their topics) or documents (native, through the ingress)")
	f.StringVar(&o.documents.ingress, "ingress", "", "URL that documents are posted to (default: the configured ingress.listen; with --start that of the test)")
	f.StringVar(&o.documents.source, "source", "", "configured source that all documents come from (default: one for each system of the load, lt-sap, lt-pos ...)")
	f.IntVar(&o.documents.connections, "connections", o.documents.connections, "documents that may wait for an answer at one time")
	f.StringVar(&o.findMax, "find-max", "", "look for the highest rate at which a quantile stays under a bound: HOP:QUANTILE<DURATION")
	f.StringArrayVar(&o.watch, "watch", nil, "watch a process too: NAME=PID, or NAME=URL of its metrics (repeatable)")
	f.BoolVar(&o.start, "start", false, "run the stages that the load goes through and, with clickhouse.addresses, sink on this machine for the time of the test")
	f.BoolVar(&o.noVerify, "no-verify", false, "do not recount the balances")
	f.StringVar(&o.state, "state", "", "URL of the inventory stage's queries (default: the stage's admin port, where it answers)")
	f.DurationVar(&o.drain, "drain", o.drain, "how long what was sent may take to come out")
	return cmd
}

// loadProfile is the profile as the flags and --set change it. What is left of --set is the configuration's.
func (a *app) loadProfile(o *loadtestFlags) (*profile.Profile, error) {
	p, err := profile.Load(o.profile)
	if err != nil {
		return nil, &usageError{err}
	}
	var settings []string
	var wrong []error
	for _, s := range a.set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || ofConfiguration(name) {
			settings = append(settings, s)
			continue
		}
		if err := p.Set(name, value); err != nil {
			wrong = append(wrong, fmt.Errorf("--set %s: %w", s, err))
		}
	}
	a.set = settings
	if o.findMax != "" && o.lasts == "" {
		o.lasts = "30s"
	}
	asked := p.Clone()
	for _, f := range []struct{ flag, key, value string }{{"--rate", "pace.rate", o.rate}, {"--for", "pace.for", o.lasts}} {
		if f.value == "" {
			continue
		}
		if err := asked.Set(f.key, f.value); err != nil {
			wrong = append(wrong, fmt.Errorf("%s %s: %w", f.flag, f.value, err))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, &usageError{err}
	}
	// The profile's shape is stretched or shrunk with its length: a spike of a minute is none of a run of ten seconds.
	if o.rate != "" || o.lasts != "" {
		if err := p.At(asked.MeanRate(), asked.Pace.For); err != nil {
			return nil, &usageError{err}
		}
	}
	if err := p.Validate(); err != nil {
		return nil, &usageError{err}
	}
	return p, nil
}

// ofConfiguration says whether a key belongs to the configuration and not to a profile, by its first part.
func ofConfiguration(name string) bool {
	first, _, _ := strings.Cut(name, ".")
	for _, k := range config.Keys() {
		if section, _, _ := strings.Cut(k.Name, "."); section == first {
			return true
		}
	}
	return false
}

func (a *app) loadtestRun(ctx context.Context, o *loadtestFlags) error {
	p, err := a.loadProfile(o)
	if err != nil {
		return err
	}
	if o.run == "" {
		o.run = p.Name + time.Now().UTC().Format("-20060102-150405")
	}
	teller := newLoadTeller(a.stderr, a.onTerminal())
	defer teller.end()
	t := trial.Options{
		Profile: p, Seed: o.seed, Run: o.run, Out: o.out, Entry: report.Entry(o.entry), Verify: !o.noVerify, Drain: o.drain, Revision: revision(),
		Step: teller.step, Progress: teller.tell,
	}
	if o.findMax != "" {
		bound, err := trial.ParseBound(o.findMax)
		if err != nil {
			return usagef("--find-max %v", err)
		}
		t.FindMax = &bound
	}
	if t.Entry != report.Movements && t.Entry != report.Documents {
		return usagef("--entry %s: give movements or documents", o.entry)
	}
	if o.drain <= 0 {
		return usagef("--drain %v: give a time above 0, such as 2m", o.drain)
	}
	if err := o.checkDocuments(); err != nil {
		return err
	}
	if err := trial.CheckOut(o.out, o.run); err != nil {
		return &usageError{err}
	}
	s, err := a.openLoad(ctx, o, &t, teller)
	if err != nil {
		return err
	}
	result, err := trial.Run(ctx, t)
	teller.end()
	err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
	if result == nil {
		return loadError(err)
	}
	return a.tellResult(result, err)
}

// loadError gives an error its exit code.
func loadError(err error) error {
	var unfit *trial.UnfitError
	var notReady *trial.NotReadyError
	switch {
	case errors.As(err, &unfit):
		return &usageError{err}
	case errors.As(err, &notReady):
		return &notReadyError{err}
	}
	return err
}

// tellResult prints what came out, whatever else went wrong.
func (a *app) tellResult(result *trial.Result, failed error) error {
	r := result.Report
	var err error
	if a.json {
		err = r.WriteJSON(a.stdout)
	} else {
		err = r.WriteText(a.stdout)
	}
	if result.Path != "" {
		fmt.Fprintf(a.stderr, "written: %s\n", result.Path)
	}
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	if bad := shortcomings(r); len(bad) > 0 {
		fmt.Fprintf(a.stderr, "crossdock: the run is not good: %s\n", strings.Join(bad, "; "))
		return errSaid
	}
	return nil
}

// shortcomings say why a run is not good.
func shortcomings(r *report.Report) []string {
	var bad []string
	if r.Verdict != nil && !r.Verdict.OK {
		bad = append(bad, r.Verdict.Line)
	}
	for _, o := range r.Objectives {
		if !o.Met && o.Name != "exact" {
			bad = append(bad, fmt.Sprintf("%s is %s, not %s", o.Name, o.Got, o.Wanted))
		}
	}
	if n := len(r.Search); n > 0 && !r.Search[n-1].Holds {
		bad = append(bad, "no rate that the search found held once more")
	}
	return bad
}

func (a *app) onTerminal() bool {
	f, ok := a.stderr.(*os.File)
	return ok && telemetry.CanDraw(f)
}

func (a *app) loadtestProfilesCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "profiles [NAME]",
		Short:   "List the shipped profiles, or print one with every value that it runs with",
		Example: "  crossdock loadtest profiles\n  crossdock loadtest profiles peak-day",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			type listed struct {
				Name string `json:"name"`
				Doc  string `json:"doc"`
				YAML string `json:"yaml,omitempty"`
			}
			if len(args) == 1 {
				p, err := profile.Load(args[0])
				if err != nil {
					return &usageError{err}
				}
				return a.print(listed{p.Name, p.Doc, p.YAML()}, func(w io.Writer) error {
					_, err := io.WriteString(w, p.YAML())
					return err
				})
			}
			var all []listed
			for _, name := range profile.Names() {
				p, err := profile.Load(name)
				if err != nil {
					return err
				}
				all = append(all, listed{Name: p.Name, Doc: p.Doc})
			}
			return a.print(all, profile.WriteTable)
		},
	}
}
