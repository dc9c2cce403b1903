package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"crossdock/avro/event"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/connectors"
	"crossdock/connectors/canonical"
	"crossdock/connectors/catalog"
)

func (a *app) translateCommand() *cobra.Command {
	docType, source := "", ""
	c := &cobra.Command{
		Use:   "translate FILE...",
		Short: "Show what a document becomes, as canonical JSON lines",
		Long: `Translates documents and prints the canonical events that they become, one JSON line each, on standard output; what
was refused or noticed, with its position and remedy, on standard error. Nothing is sent anywhere, and no broker is
needed. "-" reads standard input. Exit code 1 where a part was refused.`,
		Example: "  crossdock translate order.edi\n  crossdock translate --as X12/945 --source acme-3pl - <advice.edi",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			table, codec, err := catalog.Table()
			if err != nil {
				return err
			}
			settings, err := pipeline.Settings(&c.Config)
			if err != nil {
				return &usageError{err}
			}
			if _, ok := table.ByDocType(docType); docType != "" && !ok {
				return usagef("--as %s: no connector declares it; there are %s", docType, docTypes(table))
			}
			printer := &canonical.Printer{Codec: codec, Events: a.stdout, Problems: a.stderr, JSON: a.json}
			for _, file := range files {
				d := &connectors.Document{Source: source, DocType: docType, RawRef: file, ReceivedAt: event.MicrosOf(time.Now()), Settings: settings[source]}
				if err := a.translateFile(cmd.Context(), table, d, printer); err != nil {
					return err
				}
			}
			if printer.RefusedCount > 0 {
				return errSaid
			}
			return nil
		},
	}
	c.Flags().StringVar(&docType, "as", "", "document type, such as X12/940 (default: by content)")
	c.Flags().StringVar(&source, "source", "file", "source whose settings apply, and whose name events carry")
	return c
}

func (a *app) translateFile(ctx context.Context, table *connectors.Table, d *connectors.Document, out connectors.Sink) (err error) {
	d.Body = a.stdin
	if d.RawRef != "-" {
		f, err := os.Open(d.RawRef)
		if err != nil {
			return fmt.Errorf("translate: %w", err)
		}
		defer func() {
			if closed := f.Close(); err == nil {
				err = closed
			}
		}()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return fmt.Errorf("translate: %s is a folder; name its files", d.RawRef)
		}
		d.Body = io.Reader(f)
	}
	return table.Translate(ctx, d, out)
}

func docTypes(table *connectors.Table) string {
	var names []string
	for _, c := range table.All() {
		for _, d := range c.DocTypes {
			if len(d.Makes) > 0 {
				names = append(names, d.Name)
			}
		}
	}
	return strings.Join(names, ", ")
}
