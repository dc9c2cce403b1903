package pipeline

import (
	"crypto/tls"
	"net"

	"crossdock/internal/config"
	"crossdock/internal/kafkaclient"
)

// secured puts TLS before a listener; the sources' certificates are asked for where an authority is named.
func secured(l net.Listener, c config.TLS) (net.Listener, error) {
	t, err := kafkaclient.TLS(c)
	if err != nil {
		return nil, err
	}
	if c.CA != "" {
		t.ClientCAs, t.RootCAs, t.ClientAuth = t.RootCAs, nil, tls.RequireAndVerifyClientCert
	}
	return tls.NewListener(l, t), nil
}
