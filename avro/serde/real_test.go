package serde

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/registry"
	"crossdock/avro/wire"
	"crossdock/internal/testservices"

	"github.com/twmb/franz-go/pkg/sr"
)

// The embedded registry stands in for a real one: what a process asks of either must be answered alike.
func TestTheEmbeddedRegistryAnswersLikeARealOne(t *testing.T) {
	for name, url := range map[string]func(*testing.T) string{
		"embedded": func(t *testing.T) string {
			r, err := registry.Open("")
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(r)
			t.Cleanup(server.Close)
			return server.URL
		},
		"real": func(t *testing.T) string { return testservices.Registry(t) },
	} {
		t.Run(name, func(t *testing.T) {
			transport := new(http.Transport)
			address := url(t)
			t.Cleanup(transport.CloseIdleConnections) // before the server closes
			client, err := sr.NewClient(sr.URLs(address), sr.HTTPClient(&http.Client{Transport: transport}), sr.LogLevel(sr.LogLevelNone))
			if err != nil {
				t.Fatal(err)
			}
			liveWith(t, client, testservices.Prefix(t))
		})
	}
}

// liveWith is a registry's life with us: two processes start, a newer and a foreign writer come, somebody errs.
func liveWith(t *testing.T, client *sr.Client, prefix string) {
	t.Helper()
	ctx := t.Context()
	carried := everything()
	for i := range carried {
		carried[i].Topic = prefix + carried[i].Topic
	}
	first, err := Register(ctx, client, carried)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range first.Registered() {
		level := client.Compatibility(sr.WithParams(ctx, sr.DefaultToGlobal), r.Subject())[0]
		if !r.New || level.Err != nil || level.Level != sr.CompatBackwardTransitive {
			t.Errorf("%s: new %v, level %v, %v", r.Subject(), r.New, level.Level, level.Err)
		}
	}
	second, err := Register(ctx, client, carried)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range second.Registered() {
		if r.New || r.ID != first.Registered()[i].ID {
			t.Errorf("the second process: %s has id %d, new %v; the first has %d", r.Subject(), r.ID, r.New, first.Registered()[i].ID)
		}
	}

	text := strings.Replace(fullText(t, "InventoryPolicy"), `"fields":[`, `"fields":[{"name":"extra","type":"string","default":""},`, 1)
	newer, err := client.CreateSchema(ctx, prefix+"newer", sr.Schema{Schema: text})
	if err != nil {
		t.Fatal(err)
	}
	sent := event.InventoryPolicy{SKU: "A", Version: 3}
	value := sent.AppendAvro(append(wire.Append(nil, newer.ID), "\x02x"...))
	var unknown *UnknownSchemaError
	var got event.InventoryPolicy
	if err := first.Decode(value, &got); !errors.As(err, &unknown) {
		t.Errorf("before it is learned: %v", err)
	}
	if err := first.Learn(ctx, newer.ID); err != nil {
		t.Fatal(err)
	}
	if err := first.Decode(value, &got); err != nil || got.SKU != "A" || got.Version != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	const neverGiven = 1<<31 - 1
	if err := first.Learn(ctx, neverGiven); !errors.As(err, &unknown) {
		t.Errorf("an id that was never given: %v", err)
	}

	bad := strings.Replace(fullText(t, "OrderRelease"), `"name":"ship_from","type":"string"`, `"name":"ship_out_of","type":"string"`, 1)
	var answer *sr.ResponseError
	subject := Carried{prefix + "crossdock.orderrelease", "OrderRelease"}.Subject()
	if _, err := client.CreateSchema(ctx, subject, sr.Schema{Schema: bad}); !errors.As(err, &answer) || answer.StatusCode != http.StatusConflict ||
		answer.ErrorCode != 409 || !strings.Contains(answer.Message, "ship_out_of") {
		t.Errorf("an incompatible schema: %v", err)
	}
	for what, c := range map[string]struct {
		want int
		err  func() error
	}{
		"an unknown subject": {40401, func() error { _, err := client.SubjectVersions(ctx, prefix+"none"); return err }},
		"an unknown version": {40402, func() error { _, err := client.SchemaByVersion(ctx, subject, 99); return err }},
		"an unknown id":      {40403, func() error { _, err := client.SchemaByID(ctx, neverGiven); return err }},
		"what is no schema": {42201, func() error {
			_, err := client.CreateSchema(ctx, prefix+"x", sr.Schema{Schema: `{"type":"x"}`})
			return err
		}},
		"a lookup that is new": {40403, func() error { _, err := client.LookupSchema(ctx, subject, sr.Schema{Schema: `"int"`}); return err }},
		"a lookup without a name": {40401, func() error {
			_, err := client.LookupSchema(ctx, prefix+"none", sr.Schema{Schema: `"int"`})
			return err
		}},
	} {
		if err := c.err(); !errors.As(err, &answer) || answer.ErrorCode != c.want {
			t.Errorf("%s: %v, want code %d", what, err, c.want)
		}
	}
}
