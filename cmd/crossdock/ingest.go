package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"crossdock/cmd/crossdock/pipeline"
	"crossdock/connectors/catalog"
	"crossdock/connectors/ingress"
	"crossdock/internal/kafkaclient"
)

func (a *app) ingestCommand() *cobra.Command {
	source, docType := "", ""
	cmd := &cobra.Command{
		Use:   "ingest FILE...",
		Short: "Feed documents to the raw topic of a source, cut at document borders",
		Long: `Feeds files of any size to the raw topic of a source. Each is cut at the borders of its format (interchanges, lines,
rows) into documents of at most 16 MiB, and each document is acknowledged by all in-sync replicas before the next.
Exit code 1 where a part was refused.`,
		Example: "  crossdock ingest --source acme-3pl orders/*.edi",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if _, known := c.Sources[source]; !known {
				return usagef("--source %q is not among the configured sources %v; add it under sources, and run crossdock topology apply", source, pipeline.Sources(&c.Config))
			}
			table, _, err := catalog.Table()
			if err != nil {
				return err
			}
			client, err := dial(cmd.Context(), &c.Config)
			if err != nil {
				return err
			}
			client.Close()
			opts, err := kafkaclient.Options(c.Kafka)
			if err != nil {
				return err
			}
			producer, err := ingress.NewProducer(pipeline.Naming(&c.Config), table, c.Ingress.MaxBody, opts...)
			if err != nil {
				return err
			}
			defer producer.Close()
			var reports []ingress.FileReport
			var failed error // of a file; those before it are stored, and told of
			refused := 0
			for _, file := range files {
				report, err := producer.Ingest(cmd.Context(), ingress.Feed{
					Source: source, DocType: docType, Path: file, Now: time.Now,
					Progress: a.progress("ingest " + file),
				})
				if failed = err; failed != nil && report.Parts == 0 {
					break
				}
				refused += report.RefusedParts()
				reports = append(reports, report)
				if failed != nil {
					break
				}
			}
			if failed != nil && len(reports) == 0 {
				return failed
			}
			err = a.print(reports, func(w io.Writer) error {
				for _, r := range reports {
					fmt.Fprintf(w, "%s: %d documents, %d bytes stored\n", r.File, r.Parts, r.Bytes)
					for _, problem := range r.Refused {
						fmt.Fprintf(w, "  refused: %s\n", problem)
					}
				}
				return nil
			})
			if failed != nil {
				return failed
			}
			if err == nil && refused > 0 {
				err = errSaid
			}
			return err
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "configured source that the documents come from")
	cmd.Flags().StringVar(&docType, "as", "", "document type, such as X12/940 (default: by content)")
	return cmd
}

// progressEvery is how often work without a terminal says how far it is.
const progressEvery = 5 * time.Second

// progress tells of stored bytes, a line now and then.
func (a *app) progress(what string) func(bytes int64) {
	began, told := time.Now(), time.Now()
	return func(bytes int64) {
		if now := time.Now(); now.Sub(told) >= progressEvery {
			told = now
			fmt.Fprintf(a.stderr, "%s: %d MiB stored, %.1f MiB/s\n", what, bytes>>20, float64(bytes)/now.Sub(began).Seconds()/(1<<20))
		}
	}
}
