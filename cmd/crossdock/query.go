package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"crossdock/avro/event"
	"crossdock/cmd/crossdock/api"
)

// queryAnswerLimit bounds the answer about one key.
const queryAnswerLimit = 1 << 20

func (a *app) queryCommand() *cobra.Command {
	at := ""
	inventory := &cobra.Command{
		Use:   "inventory SKU SITE",
		Short: "Show the stock of a SKU at a site, as committed",
		Long: `Asks a running instance of the inventory stage, any of them, for the committed stock of one SKU at one site, in the
canonical codes of both. Exit code 1 where nothing has ever been posted to the key, 3 where the state cannot be asked just now: nobody
answers, or a partition is being restored or handed over.`,
		Example: "  crossdock query inventory LAMP-DESK CHI\n  crossdock query inventory LAMP-DESK CHI --url http://inventory-0:8082 --json",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" || args[1] == "" {
				return usagef("SKU or SITE is empty; name both")
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			base := at
			switch {
			case base == "" && c.Query.Advertise != "":
				base = c.Query.Advertise
			case base == "" && c.Query.Listen != "":
				base = "http://" + local(c.Query.Listen)
			case base == "":
				return usagef("query.listen is empty, so that nothing answers here; name an instance with --url http://host:port")
			}
			if u, err := url.Parse(base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return usagef("--url %s: write http://host:port", base)
			}
			// One more beat than the instance takes: its own answer says more than a time that is up here.
			ctx, cancel := context.WithTimeout(cmd.Context(), c.Query.Timeout+time.Second)
			defer cancel()
			raw, err := askInventory(ctx, strings.TrimSuffix(base, "/"), args[0], args[1])
			if err != nil {
				return err
			}
			var b api.Balance
			if err := json.Unmarshal(raw, &b); err != nil || b.Stock == nil {
				return fmt.Errorf("%s answers with what is no balance: %.200s; is it an instance's query.listen?", base, raw)
			}
			return a.print(raw, func(w io.Writer) error { return printBalance(w, &b) })
		},
	}
	inventory.Flags().StringVar(&at, "url", "", "where an instance answers (default query.advertise, or query.listen of this machine)")
	return group("query", "Committed state of a running installation", inventory)
}

// askInventory is one GET.
func askInventory(ctx context.Context, base, sku, site string) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/inventory/"+url.PathEscape(sku)+"/"+url.PathEscape(site), http.NoBody)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	resp, err := client.Do(req)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, &notReadyError{fmt.Errorf("no instance answers at %s: %w; start one (crossdock run inventory), or name another with --url", base, err)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, queryAnswerLimit))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, &notReadyError{fmt.Errorf("the answer of %s ended early: %w; ask again", base, err)}
	}
	if resp.StatusCode == http.StatusOK {
		return body, nil
	}
	var refused struct {
		Error struct{ Code, Message, Remedy string }
	}
	if err := json.Unmarshal(body, &refused); err != nil || refused.Error.Code == "" {
		return nil, fmt.Errorf("%s answers with %s and %.200q; is it an instance's query.listen?", base, resp.Status, body)
	}
	err = fmt.Errorf("%s; %s", refused.Error.Message, refused.Error.Remedy)
	if resp.StatusCode == http.StatusServiceUnavailable {
		return nil, &notReadyError{fmt.Errorf("%s; ask again in a moment", refused.Error.Message)}
	}
	return nil, err
}

// printBalance shows the buckets that hold something, and what may be sold.
func printBalance(w io.Writer, b *api.Balance) error {
	since := "no posting yet"
	if b.AsOf != nil && b.PostedAt != nil {
		since = fmt.Sprintf("as of %s, posted %s", event.Micros(*b.AsOf), event.Micros(*b.PostedAt))
	}
	fmt.Fprintf(w, "%s at %s, version %d, %s\n", b.SKU, b.Site, b.Version, since)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, q api.Decimal, always bool) {
		if q != 0 || always {
			fmt.Fprintf(t, "  %s\t%s\t\n", name, event.Quantity(q))
		}
	}
	row("available", b.Available, true)
	row("allocated", b.Allocated, false)
	row("picked", b.Picked, false)
	row("staged", b.Staged, false)
	row("qc", b.QC, false)
	row("damaged", b.Damaged, false)
	row("hold", b.Hold, false)
	row("returned", b.Returned, false)
	row("on hand", b.OnHand, true)
	row("in transit in", b.InTransitIn, false)
	row("in transit out", b.InTransitOut, false)
	row("clearing", b.Clearing, false)
	row("safety stock", b.SafetyStock, false)
	row("available to sell", b.ATS, true)
	if err := t.Flush(); err != nil {
		return err
	}
	if b.Negative {
		_, err := fmt.Fprintln(w, "  a bucket is below zero: look for what was not received or counted")
		return err
	}
	return nil
}
