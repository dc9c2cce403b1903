package daemon

import (
	"context"

	"crossdock/internal/embedded/clickhouse"
	"crossdock/internal/testservices/apicurio"
	"crossdock/internal/testservices/kafka"
)

// starterFunc starts a service whose files lie in dir.
type starterFunc func(ctx context.Context, dir string, progress func(string)) (runningService, Service, error)

// starters are how each service is started; host is the command that hosts the ClickHouse engine.
func starters(host []string) map[string]starterFunc {
	return map[string]starterFunc{
		Kafka: startKafka,
		ClickHouse: func(ctx context.Context, dir string, progress func(string)) (runningService, Service, error) {
			return startClickHouse(ctx, host, dir, progress)
		},
		Registry: startRegistry,
	}
}

func startKafka(ctx context.Context, dir string, progress func(string)) (runningService, Service, error) {
	b, err := kafka.Start(ctx, kafka.Options{Dir: dir, Progress: progress})
	if err != nil {
		return nil, Service{}, err
	}
	return b, Service{Addresses: map[string]string{"kafka": b.Addr()}, Pid: b.Pid(), Log: b.Log()}, nil
}

func startClickHouse(ctx context.Context, host []string, dir string, progress func(string)) (runningService, Service, error) {
	s, err := clickhouse.Start(ctx, clickhouse.StartOptions{Command: host, Dir: dir, Progress: progress})
	if err != nil {
		return nil, Service{}, err
	}
	return s, Service{Addresses: map[string]string{"http": s.HTTP(), "tcp": s.TCP()}, Pid: s.Pid(), Log: s.Log()}, nil
}

func startRegistry(ctx context.Context, dir string, progress func(string)) (runningService, Service, error) {
	r, err := apicurio.Start(ctx, apicurio.Options{Dir: dir, Progress: progress})
	if err != nil {
		return nil, Service{}, err
	}
	return r, Service{Addresses: map[string]string{"url": r.URL()}, Pid: r.Pid(), Log: r.Log()}, nil
}
