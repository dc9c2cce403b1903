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

// startProfile has the last run's CPU profile written, where one is asked for: from when the stage is ready, so that master
// data is read, and for as long as the limit took, since no stage is done sooner.
func (d *drain) startProfile(ctx context.Context) *profile {
	if d.options.Profile == "" || d.env.Run < d.options.Runs {
		return &profile{}
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &profile{cancel: cancel, done: make(chan struct{})}
	seconds := max(1, int(d.result.Limit.WallSeconds))
	go func() {
		defer close(p.done)
		if p.err = ready(ctx, d.env.Admin); p.err != nil {
			return
		}
		var body []byte
		if body, p.err = get(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", d.env.Admin, seconds)); p.err == nil {
			p.err = writeWhole(d.options.Profile, body)
		}
	}()
	return p
}

// ready returns once the stage says that it is.
func ready(ctx context.Context, admin string) error {
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		_, err := get(ctx, "http://"+admin+"/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the stage is not ready: %w", err)
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
func (p *profile) stop() {
	if p.taken() {
		p.cancel()
		<-p.done
	}
}
