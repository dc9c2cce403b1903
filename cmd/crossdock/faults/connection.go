package faults

import (
	"context"
	"fmt"
	"time"
)

func connectionsCut() Fault {
	return Fault{
		Name: "cut",
		Does: "all connections of an instance to one broker, or to every one, are cut three to eight times, 200 ms apart",
		Must: "what was under way on them is done again, or found out",
		inject: func(ctx context.Context, f *Field, d Draw) (detail string, err error) {
			i := f.victim(d)
			times := 3 + int(d.Share*6)
			for range times {
				detail = i.onPaths(d, (*path).cut)
				if err := pass(ctx, 200*time.Millisecond); err != nil {
					return "", err
				}
			}
			return fmt.Sprintf("%s, %d times", detail, times), nil
		},
	}
}

func unreachable() Fault {
	return Fault{
		Name: "unreachable",
		Does: "an instance's connections to one broker, or to every one, are cut and refused for 1 to 10 s",
		Must: "the others take over after the session timeout, and it joins anew",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			return f.during(ctx, d, d.between(time.Second, 10*time.Second), func(p *path, on bool) { p.block(on) })
		},
	}
}

func stalled() Fault {
	return Fault{
		Name: "stall",
		Does: "every byte between an instance and one broker, or every one, is held back for 1 to 10 s, and then carried: requests arrive late",
		Must: "a request that comes late is refused, or was right",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			return f.during(ctx, d, d.between(time.Second, 10*time.Second), func(p *path, on bool) { p.stall(on) })
		},
	}
}

func slow() Fault {
	return Fault{
		Name: "slow",
		Does: "every request and every answer of an instance takes 20 to 250 ms longer, for 4 s",
		Must: "it goes on, slower",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			by := d.between(20*time.Millisecond, 250*time.Millisecond)
			detail, err := f.during(ctx, d, 4*time.Second, func(p *path, on bool) {
				if on {
					p.slow(by)
				} else {
					p.slow(0)
				}
			})
			return fmt.Sprintf("%s, by %v each way", detail, by.Round(time.Millisecond)), err
		},
	}
}

// during does something to an instance's paths for a while.
func (f *Field) during(ctx context.Context, d Draw, long time.Duration, do func(p *path, on bool)) (string, error) {
	i := f.victim(d)
	detail := i.onPaths(d, func(p *path) { do(p, true) })
	err := pass(ctx, long)
	i.onPaths(d, func(p *path) { do(p, false) })
	return fmt.Sprintf("%s for %v", detail, round(long)), err
}
