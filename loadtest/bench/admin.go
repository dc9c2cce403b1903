package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// askTimeout bounds one question to a stage's admin port.
const askTimeout = 5 * time.Second

// askAllocated asks a process what it has allocated since its start.
func askAllocated(ctx context.Context, admin string) (spending, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := get(ctx, "http://"+admin+"/metrics")
	if err != nil {
		return spending{}, fmt.Errorf("what the stage has allocated: %w", err)
	}
	var s spending
	wanted := map[string]*float64{"go_memstats_alloc_bytes_total": &s.bytes, "go_memstats_mallocs_total": &s.objects}
	for lines := bufio.NewScanner(strings.NewReader(string(body))); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if to := wanted[name]; to != nil {
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return s, fmt.Errorf("what the stage has allocated: %s: %w", name, err)
			}
			delete(wanted, name)
		}
	}
	for name := range wanted {
		return s, fmt.Errorf("what the stage has allocated: http://%s/metrics does not tell %s", admin, name)
	}
	return s, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	// A connection of its own: none is left behind.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return body, nil
}

// A profile is being taken of a stage. The zero value is none.
type profile struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

// startProfile has the last run's CPU profile written, where one is asked for: from the process's start, for as long as
// the limit took, since no stage is done sooner.
func (d *drain) startProfile(ctx context.Context) *profile {
	if d.options.Profile == "" || d.env.Run < d.options.Runs {
		return &profile{}
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &profile{cancel: cancel, done: make(chan struct{})}
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", d.env.Admin, max(1, int(d.result.Limit.WallSeconds)))
	go func() {
		defer close(p.done)
		var body []byte
		if body, p.err = getOnceUp(ctx, url); p.err == nil {
			p.err = writeWhole(d.options.Profile, body)
		}
	}()
	return p
}

// getOnceUp asks again until somebody answers.
func getOnceUp(ctx context.Context, url string) ([]byte, error) {
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		body, err := get(ctx, url)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return body, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the stage's profile: %w", err)
		case <-again.C:
		}
	}
}

func (p *profile) taken() bool { return p.done != nil }

// wait returns once the profile is written.
func (p *profile) wait() error {
	if !p.taken() {
		return nil
	}
	<-p.done
	return p.err
}

// stop ends a profile that nobody waits for any more.
func (p *profile) stop() error {
	if p.taken() {
		p.cancel()
		<-p.done
	}
	return nil
}
