package testservices

import (
	"os"
	"testing"

	"crossdock/internal/testservices/daemon"
)

// Registry is the URL of a real schema registry (Apicurio, Confluent's API) that all tests of the machine share:
// $CROSSDOCK_TEST_REGISTRY, else one that is started when first needed. Subjects begin with Prefix(t).
func Registry(t testing.TB) string {
	t.Helper()
	skipShort(t, "a real schema registry")
	if url := os.Getenv(daemon.RegistryEnv); url != "" {
		return url
	}
	return use(t, daemon.Registry).Addresses["url"]
}
