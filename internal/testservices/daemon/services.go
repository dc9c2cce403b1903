package daemon

import (
	"context"

	"crossdock/internal/embedded/clickhouse"
	"crossdock/internal/testservices/apicurio"
	"crossdock/internal/testservices/kafka"
)

// starterFunc starts a service whose files lie in dir.
type starterFunc func(ctx context.Context, dir string, progress func(string)) (runningService, Service, error)

// starter is nil for a service that is unknown.
func (d *daemon) starter(name string) starterFunc {
	switch name {
	case Kafka:
		return startKafka
	case ClickHouse:
		return d.startClickHouse
	case Registry:
		return startRegistry
	}
	return nil
}

func startKafka(ctx context.Context, dir string, progress func(string)) (runningService, Service, error) {
	b, err := kafka.Start(ctx, kafka.Options{Dir: dir, Progress: progress})
	if err != nil {
		return nil, Service{}, err
	}
	return b, Service{Addresses: map[string]string{"kafka": b.Addr()}, Pid: b.Pid(), Log: b.Log()}, nil
}

func (d *daemon) startClickHouse(ctx context.Context, dir string, progress func(string)) (runningService, Service, error) {
	s, err := clickhouse.Start(ctx, clickhouse.StartOptions{Command: d.o.Host, Dir: dir, Progress: progress})
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
