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
	binary := buildBinary(t)
	t.Run("kinds", func(t *testing.T) {
		for _, k := range bench.Kinds() {
			t.Run(string(k), func(t *testing.T) {
				t.Parallel() // most of the time a stage starts, or leaves
				out := t.TempDir()
				c := exec.CommandContext(t.Context(), binary, "bench", string(k), "--runs", "1", "--records", "4000", "--skus", "2000", "--out", out,
					"--set", "kafka.brokers="+kafka, "--set", "clickhouse.addresses="+clickhouse.TCP)
				c.Dir = t.TempDir() // away from a crossdock.yaml
				output, err := c.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, output)
				}
				t.Logf("%s", output)
				checkResult(t, out, k)
			})
		}
	})
	// The engine is as it was.
	if left := clickhouse.Query(t, "SELECT count() FROM system.databases WHERE name LIKE 'bench_sink_%'"); left != "0" {
		t.Errorf("%s databases are left", left)
	}
}

func checkResult(t *testing.T, folder string, k bench.Kind) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, string(k)+"-*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
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
		t.Errorf("%+v", r)
	}
	for _, figure := range []string{
		"stage.records_per_second", "stage.allocated_bytes_per_record", "stage.allocations_per_record", "limit.records_per_second",
		"stage_to_limit.records_per_second",
	} {
		if r.Figures[figure].Median <= 0 {
			t.Errorf("no %s in %v", figure, r.Figures)
		}
	}
}
