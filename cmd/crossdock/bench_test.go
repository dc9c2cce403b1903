package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"crossdock/internal/testservices"
	"crossdock/loadtest/bench"
)

// Each benchmark runs the real stage on real services, with few records: what comes out is recounted, and the files say
// what was asked for.
func TestBenchmarksDrainRealStagesAndWriteTheirResults(t *testing.T) {
	kafka, clickhouse := testservices.Kafka(t), testservices.ClickHouse(t)
	out := t.TempDir()
	c := exec.CommandContext(t.Context(), buildBinary(t), "bench", "all", "--runs", "1", "--records", "4000", "--skus", "2000", "--out", out,
		"--set", "kafka.brokers="+kafka, "--set", "clickhouse.addresses="+clickhouse.TCP)
	c.Dir = t.TempDir() // away from a crossdock.yaml
	output, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Logf("%s", output)
	for _, k := range bench.Kinds() {
		files, err := filepath.Glob(filepath.Join(out, string(k)+"-*.json"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", k, files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		var r bench.Result
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if r.Benchmark != k || !r.OK() || r.Workload.Records != 4000 || r.Workload.SKUs != 2000 {
			t.Errorf("%s: %+v", k, r)
		}
		for _, figure := range []string{
			"stage.records_per_second", "stage.allocated_bytes_per_record", "stage.allocations_per_record", "limit.records_per_second",
			"stage_to_limit.records_per_second",
		} {
			if r.Figures[figure].Median <= 0 {
				t.Errorf("%s: no %s in %v", k, figure, r.Figures)
			}
		}
	}
	// The engine is as it was.
	if left := clickhouse.Query(t, "SELECT count() FROM system.databases WHERE name LIKE 'bench_%'"); left != "0" {
		t.Errorf("%s databases are left", left)
	}
}
