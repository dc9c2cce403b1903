package main

import (
	"errors"
	"strings"
	"testing"

	"crossdock/internal/config"
)

// Two load tests that start stages of one application would fence each other's for as long as both last.
func TestASecondLoadTestThatStartsTheSameStagesIsRefused(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	shop, other := config.Default(), config.Default()
	shop.App, other.App = "shop", "other"
	var first, second, third loadServices
	if err := first.alone(&shop); err != nil {
		t.Fatal(err)
	}
	var notReady *notReadyError
	if err := second.alone(&shop); !errors.As(err, &notReady) || !strings.Contains(err.Error(), "application shop") {
		t.Errorf("a second one: %v", err)
	}
	if err := third.alone(&other); err != nil {
		t.Errorf("of another application: %v", err)
	}
	if err := first.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.alone(&shop); err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
	for _, s := range []*loadServices{&second, &third} {
		if err := s.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
