package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"crossdock/topology/runtime"
)

// A refusal is what one is told who gets no answer: what is wrong and what to do.
type refusal struct {
	status     int
	retryAfter int // seconds; 0: asking again does not help
	Code       string
	Message    string
	Remedy     string
}

// refusalBody is a refusal on the wire.
type refusalBody struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Remedy  string `json:"remedy"`
	} `json:"error"`
}

func refuse(status int, code, message, remedy string) *refusal {
	return &refusal{status: status, Code: code, Message: message, Remedy: remedy}
}

// passing is a refusal that time cures.
func passing(code, message string, retryAfter int) *refusal {
	return &refusal{http.StatusServiceUnavailable, retryAfter, code, message, "ask again after the time in Retry-After"}
}

// broken is an answer that cannot be made, whoever asks again.
func broken(err error) *refusal {
	return refuse(http.StatusInternalServerError, "failed", err.Error(), "report it to the stage's owner; the state is restored from its changelog when the instance restarts")
}

// errTooLong is why a request's context ended.
var errTooLong = errors.New("the request took longer than query.timeout")

// refusalOf is what an error of the state means for who asked.
func refusalOf(err error) *refusal {
	var restoring *runtime.RestoringError
	switch {
	case errors.As(err, &restoring):
		return passing("restoring", fmt.Sprintf("the state of partition %d is being restored, %.0f %% of it is read", restoring.Partition, restoring.Progress*100), 1)
	case errors.Is(err, runtime.ErrNotRunning):
		return passing("not_running", "the stage is starting or stopping", 1)
	case errors.Is(err, runtime.ErrQueriesWait):
		return passing("busy", "too many queries wait for the worker that has the partition", 1)
	case errors.Is(err, runtime.ErrCutOff):
		return passing("cut_off", "the instance that has the partition does not reach the brokers, so that its state may be old", 5)
	case errors.Is(err, runtime.ErrNoOwner):
		return passing("no_owner", "no instance has the partition just now: the group is sharing partitions out", 1)
	case errors.Is(err, errTooLong):
		return passing("timeout", errTooLong.Error()+": the worker that has the partition is busy, or waits for the brokers", 1)
	case errors.Is(err, context.Canceled):
		return passing("cancelled", "the request was given up, or the instance stops", 1)
	}
	return broken(err)
}

// refuse answers with a refusal.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, bad *refusal) {
	s.requests.WithLabelValues(bad.Code, from(r)).Inc()
	if bad.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(bad.retryAfter))
	}
	if bad.status >= http.StatusInternalServerError && bad.status != http.StatusServiceUnavailable {
		s.log.Error("a query failed", "path", r.URL.Path, "code", bad.Code, "error", bad.Message)
	}
	var body refusalBody
	body.Error.Code, body.Error.Message, body.Error.Remedy = bad.Code, bad.Message, bad.Remedy
	s.write(w, bad.status, body)
}
