package trial

import (
	"io"
	"time"

	"crossdock/loadtest/documents"
	"crossdock/loadtest/report"
	"crossdock/loadtest/send"
	"crossdock/loadtest/sent"
	"crossdock/loadtest/verify"
)

// A sentLog is what is known of a load that was sent, by whatever entry.
type sentLog interface {
	Sent() report.Sent
	Outages() []sent.Outage
	Bottleneck() string
	Save(w io.Writer) error
	totals() totals
	evidence() verify.Load
	partitions() []int64 // what is in by partition of the topic that most of it went to; nil: the sender does not know
}

// totals are what a report and a person are told of a log.
type totals struct {
	began, ended time.Time
	made         int64         // events
	late         int64         // events that the load test itself sent late
	lateMost     time.Duration // of those
}

// movementsLog is that of a load that went onto the topics.
type movementsLog struct{ *send.Log }

func (l movementsLog) totals() totals {
	return totals{l.Began, l.Ended, l.Made, l.LateByTool, l.LateMostByTool}
}
func (l movementsLog) evidence() verify.Load { return verify.Load{Log: l.Log} }
func (l movementsLog) partitions() []int64   { return l.Partitions() }

// documentsLog is that of a load that went through the ingress.
type documentsLog struct{ *documents.Log }

func (l documentsLog) totals() totals {
	return totals{l.Began, l.Ended, l.Made, l.LateByTool, l.LateMostByTool}
}
func (l documentsLog) evidence() verify.Load { return verify.Load{Documents: l.Log} }
func (l documentsLog) partitions() []int64   { return nil }
