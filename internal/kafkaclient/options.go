// Package kafkaclient turns the configuration of the brokers into options of a franz-go client: one place for addresses,
// TLS and SASL, so that every client of the process is reached and authenticated alike.
package kafkaclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"crossdock/internal/config"
)

// MetadataMinAge is how often a client may ask again where partitions are led: franz-go's default of 5 s is most of a
// failover's time (metadata.max.age.ms is the other end of the same knob).
const MetadataMinAge = 250 * time.Millisecond

// Options are what every client of the process has in common.
func Options(c config.Kafka) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.MetadataMinAge(MetadataMinAge)}
	if c.TLS.Enabled {
		t, err := TLS(c.TLS)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls: %w", err)
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	if c.SASL.Mechanism == "" {
		return opts, nil
	}
	password := c.SASL.Password
	if _, err := password.Resolve(); err != nil {
		return nil, fmt.Errorf("kafka.sasl.password: %w", err)
	}
	mechanism, err := mechanism(c.SASL.Mechanism, c.SASL.Username, password)
	if err != nil {
		return nil, err
	}
	return append(opts, kgo.SASL(mechanism)), nil
}

// mechanism reads the secret at each authentication, so that a rotated one is taken up without a restart.
func mechanism(name, user string, password config.Secret) (sasl.Mechanism, error) {
	switch name {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			p, err := password.Resolve()
			return plain.Auth{User: user, Pass: p}, err
		}), nil
	case "SCRAM-SHA-256":
		return scram.Sha256(func(context.Context) (scram.Auth, error) {
			p, err := password.Resolve()
			return scram.Auth{User: user, Pass: p}, err
		}), nil
	case "SCRAM-SHA-512":
		return scram.Sha512(func(context.Context) (scram.Auth, error) {
			p, err := password.Resolve()
			return scram.Auth{User: user, Pass: p}, err
		}), nil
	case "OAUTHBEARER":
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			p, err := password.Resolve()
			return oauth.Auth{Token: p}, err
		}), nil
	}
	return nil, fmt.Errorf("kafka.sasl.mechanism: %q is unknown", name)
}

// TLS loads the files of a TLS section.
func TLS(c config.TLS) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no PEM certificate", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("cert: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
