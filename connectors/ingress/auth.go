package ingress

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
)

// Credentials are what a source must show. Empty ones are not asked for; all that are set are.
type Credentials struct {
	APIKey     string // in X-API-Key
	Bearer     string // in Authorization: Bearer
	HMACSecret string // of HMAC-SHA256 over the raw body
	HMACHeader string // header with the signature: hex or base64, with or without a prefix that ends in "="
}

// verify says whether a request shows what it must, and what the raw record says of it.
func (c Credentials) verify(h http.Header, body []byte) (result string, ok bool) {
	result = "none-required"
	if c.APIKey != "" {
		if !equal(h.Get("X-API-Key"), c.APIKey) {
			return "", false
		}
		result = "verified"
	}
	if c.Bearer != "" {
		token, found := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
		if !found || !equal(token, c.Bearer) {
			return "", false
		}
		result = "verified"
	}
	if c.HMACSecret != "" {
		if !signed(h.Get(c.HMACHeader), c.HMACSecret, body) {
			return "", false
		}
		result = "verified"
	}
	return result, true
}

func equal(given, want string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}

// signed compares a signature in any of the encodings that senders use: hex, base64, and either behind a prefix such as
// "hmac-sha256-hex=" or "sha256=".
func signed(given, secret string, body []byte) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	want := mac.Sum(nil)
	forms := []string{given}
	if prefix, rest, found := strings.Cut(given, "="); found && rest != "" && strings.Contains(prefix, "sha256") {
		forms = append(forms, rest)
	}
	for _, form := range forms {
		for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
			if got, err := decode(form); err == nil && len(got) == len(want) && hmac.Equal(bytes.Clone(got), want) {
				return true
			}
		}
	}
	return false
}
