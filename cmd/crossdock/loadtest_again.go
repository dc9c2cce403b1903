package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/kafkaclient"
	"crossdock/loadtest/report"
	"crossdock/loadtest/trial"
)

func (a *app) loadtestVerifyCommand() *cobra.Command {
	state := ""
	cmd := &cobra.Command{
		Use:   "verify FOLDER",
		Short: "Recount a finished run from its folder, and show what is not as it was sent",
		Long: `Makes every event of a finished run again, recounts every balance from those that the brokers had, and compares all of
them with the balances topic, the ledger, the state and ClickHouse as they are now. A failing key is shown with its
events. Exit code 1 where something was lost, counted twice or is wrong.`,
		Example: "  crossdock loadtest verify loadtest-results/monday",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.loadtestVerify(cmd.Context(), args[0], state)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "URL of the inventory stage's queries (default: the stage's admin port, where it answers)")
	return cmd
}

func (a *app) loadtestVerify(ctx context.Context, folder, state string) (err error) {
	m, err := trial.ReadManifest(folder)
	if err != nil {
		return &usageError{err}
	}
	loaded, err := a.config()
	if err != nil {
		return err
	}
	c := &loaded.Config
	client, err := dial(ctx, c)
	if err != nil {
		return err
	}
	client.Close()
	s := &loadServices{}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	e := trial.Evidence{State: state}
	if e.Kafka, err = kafkaclient.Options(c.Kafka); err != nil {
		return err
	}
	if c.Registry.URL == "" && m.Registry == registryInMemory {
		if c.Registry.URL, err = s.registry(ctx); err != nil {
			return err
		}
	}
	if e.Serde, err = pipeline.Serde(ctx, c); err != nil {
		return err
	}
	if m.Tables && len(c.ClickHouse.Addresses) > 0 {
		if e.Tables, err = s.tables(ctx, c); err != nil {
			return &notReadyError{err}
		}
	}
	if e.State == "" && c.Query.Listen != "" {
		e.State = answering(ctx, "http://"+local(c.Query.Listen))
	}
	told := time.Now()
	e.Progress = func(step string, done, total int64) {
		if time.Since(told) < progressEvery {
			return
		}
		told = time.Now()
		of := ""
		if total > 0 {
			of = " of " + grouped(total)
		}
		fmt.Fprintf(a.stderr, "%s: %s%s\n", step, grouped(done), of)
	}
	v, err := trial.Verify(ctx, folder, e)
	if err != nil {
		return loadError(err)
	}
	if err := a.print(v, func(w io.Writer) error { return tellVerdict(w, v) }); err != nil {
		return err
	}
	if !v.OK {
		return errSaid
	}
	return nil
}

// tellVerdict prints a verdict, and every failing key with its events.
func tellVerdict(w io.Writer, v *report.Verdict) error {
	fmt.Fprintln(w, v.Line)
	for _, r := range v.Readings {
		state := "right"
		if !r.OK {
			var problems []string
			for _, name := range slices.Sorted(maps.Keys(r.Problems)) {
				problems = append(problems, fmt.Sprintf("%s %s", grouped(r.Problems[name]), name))
			}
			state = "WRONG: " + strings.Join(problems, ", ")
		}
		fmt.Fprintf(w, "  %-18s %12s read  %s\n", r.Source, grouped(r.Read), state)
	}
	for _, n := range v.NotCompared {
		fmt.Fprintf(w, "  not compared       %s\n", n)
	}
	for _, k := range v.Failing {
		fmt.Fprintf(w, "\n%s\n", k.Key)
		for _, what := range k.What {
			fmt.Fprintf(w, "  %s\n", what)
		}
		for _, e := range k.Events {
			fmt.Fprintf(w, "    %s\n", e)
		}
		if k.Omitted > 0 {
			fmt.Fprintf(w, "    and %s events between\n", grouped(k.Omitted))
		}
	}
	if v.FailingMore > 0 {
		fmt.Fprintf(w, "\nand at least %s more\n", grouped(v.FailingMore))
	}
	return nil
}

func (a *app) loadtestReportCommand() *cobra.Command {
	html := ""
	cmd := &cobra.Command{
		Use:   "report RUN [OTHER]",
		Short: "Show the report of a run again, or compare two",
		Long: `Shows the report of a run, from its folder or its report.json; of two it shows what is different between them. --html
writes the page.`,
		Example: `  crossdock loadtest report loadtest-results/monday
  crossdock loadtest report loadtest-results/monday loadtest-results/tuesday --html compared.html`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			reports := make([]*report.Report, 0, len(args))
			for _, path := range args {
				r, err := report.ReadFile(path)
				if err != nil {
					return &usageError{err}
				}
				reports = append(reports, r)
			}
			var d rendered = reports[0]
			if len(reports) == 2 {
				d = report.Compare(reports[0], reports[1])
			}
			if html != "" {
				if err := report.WriteFile(html, d.WriteHTML); err != nil {
					return err
				}
				fmt.Fprintf(a.stderr, "written: %s\n", html)
				if !a.json {
					return nil
				}
			}
			if a.json {
				return d.WriteJSON(a.stdout)
			}
			return d.WriteText(a.stdout)
		},
	}
	cmd.Flags().StringVar(&html, "html", "", "write the page into this file")
	return cmd
}

// A rendered is a report or a comparison of two.
type rendered interface {
	WriteText(io.Writer) error
	WriteHTML(io.Writer) error
	WriteJSON(io.Writer) error
}
