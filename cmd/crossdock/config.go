package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	docs := false
	show := &cobra.Command{
		Use:     "print",
		Short:   "Show every setting, its value and where the value came from",
		Example: "  crossdock config print\n  CROSSDOCK_KAFKA_PARTITIONS=16 crossdock config print --docs",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return a.print(c.Settings, func(w io.Writer) error {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, s := range c.Settings {
					fmt.Fprintf(t, "%s\t%s\t%s", s.Name, s.Value, s.Origin)
					if docs {
						fmt.Fprintf(t, "\t%s", s.Doc)
					}
					fmt.Fprintln(t)
				}
				return t.Flush()
			})
		},
	}
	show.Flags().BoolVar(&docs, "docs", false, "say what each setting means")
	return group("config", "The configuration: crossdock.yaml, CROSSDOCK_... and --set", show)
}
