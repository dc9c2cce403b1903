package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"crossdock/connectors/ingress"
)

// post hands a document to the ingress, as a partner's system would.
func (s *services) post(ctx context.Context, source, name string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.process.Addr()+"/v1/in/"+source, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("post %s: %w", name, err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if closed := resp.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("post %s: %w", name, err)
	}
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("post %s: %s: %s", name, resp.Status, bytes.TrimSpace(answer))
	}
	var receipt ingress.Receipt
	if err := json.Unmarshal(answer, &receipt); err != nil || receipt.RawRef == "" {
		return fmt.Errorf("post %s: the answer is no receipt: %s", name, answer)
	}
	return nil
}

// feed posts a document of the story.
func (s *services) feed(ctx context.Context, t *teller, source, name string) error {
	body, err := documents.ReadFile("documents/" + name)
	if err != nil {
		return err
	}
	t.step("  %-18s from %s", name, source)
	return s.post(ctx, source, name, body)
}
