package main

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"crossdock/avro/event"
	"crossdock/avro/govern"
	"crossdock/avro/schemas"
	"crossdock/cmd/crossdock/pipeline"
)

func (a *app) schemaCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Compile every schema and compare it with its releases, and with the registry where one is configured",
		Long: `Compiles every schema with a second implementation of Avro, compares each with all its releases (every record ever
written must stay readable: BACKWARD_TRANSITIVE), and where registry.url is set with every version that it has.
Exit code 1 where a change would break a reader.`,
		Example: "  crossdock schema check\n  crossdock schema check --set registry.url=http://127.0.0.1:8081",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if err := govern.Check(); err != nil {
				return err
			}
			violations, err := govern.Compatible()
			if err != nil {
				return err
			}
			if c.Registry.URL != "" {
				client, err := pipeline.Registry(&c.Config)
				if err != nil {
					return err
				}
				registered, err := govern.CompatibleWith(cmd.Context(), client, pipeline.Carried(pipeline.Naming(&c.Config)))
				if err != nil {
					return pipeline.RegistryAway(&c.Config, err)
				}
				violations = append(violations, registered...)
			}
			found := make([]string, 0, len(violations))
			for _, v := range violations {
				found = append(found, v.Error())
			}
			err = a.print(map[string]any{"schemas": len(event.Kinds()), "violations": found}, func(w io.Writer) error {
				for _, v := range violations {
					fmt.Fprintln(w, v)
				}
				_, err := fmt.Fprintf(w, "%d schemas checked, %d violations\n", len(event.Kinds()), len(violations))
				return err
			})
			if err == nil && len(violations) > 0 {
				err = errSaid
			}
			return err
		},
	}
	register := &cobra.Command{
		Use:     "register",
		Short:   "Register the current schemas under their subjects, and show their ids",
		Example: "  crossdock schema register --set registry.url=http://127.0.0.1:8081",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			s, err := pipeline.Serde(cmd.Context(), &c.Config)
			if err != nil {
				return err
			}
			ids := map[string]int{}
			for _, k := range event.Kinds() {
				ids[k.String()] = s.ID(k)
			}
			return a.print(ids, func(w io.Writer) error {
				names := make([]string, 0, len(ids))
				for name := range ids {
					names = append(names, name)
				}
				sort.Strings(names)
				for _, name := range names {
					fmt.Fprintf(w, "%5d  %s\n", ids[name], name)
				}
				return nil
			})
		},
	}
	show := &cobra.Command{
		Use:     "print [record...]",
		Short:   "Print schemas in full, references included; none named: list them",
		Example: "  crossdock schema print InventoryMovement",
		RunE: func(_ *cobra.Command, names []string) error {
			if len(names) == 0 {
				all := make([]string, 0, len(event.Kinds()))
				for _, k := range event.Kinds() {
					all = append(all, k.String())
				}
				return a.print(all, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, strings.Join(all, "\n"))
					return err
				})
			}
			for _, name := range names {
				text, err := schemas.Indented(name)
				if err != nil {
					return usagef("%v; crossdock schema print lists the schemas", err)
				}
				fmt.Fprintln(a.stdout, text)
			}
			return nil
		},
	}
	return group("schema", "Schemas: check, register, print", check, register, show)
}
