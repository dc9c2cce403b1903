package canonical

import (
	"encoding/json"
	"fmt"
	"io"

	"crossdock/avro/event"
	"crossdock/connectors"
)

// A Printer is a sink that writes events as JSON lines, and problems as text or as JSON lines. It is what crossdock
// translate shows.
type Printer struct {
	Codec    *Codec
	Events   io.Writer
	Problems io.Writer
	JSON     bool // problems as JSON lines

	// Counts of what was written.
	EventCount, RefusedCount, NoticeCount int

	line []byte
}

// Event writes one line.
func (p *Printer) Event(e event.Record) error {
	line, err := p.Codec.Append(p.line[:0], e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	p.line = line
	p.EventCount++
	_, err = p.Events.Write(p.line)
	return err
}

// problemLine is the JSON form of a problem.
type problemLine struct {
	Problem  connectors.Cause `json:"problem"`
	Level    string           `json:"level"`
	DocType  string           `json:"doc_type,omitempty"`
	DocID    string           `json:"doc_id,omitempty"`
	Part     int              `json:"part"`
	Position string           `json:"position,omitempty"`
	Detail   string           `json:"detail"`
	Remedy   string           `json:"remedy"`
	Bytes    int              `json:"bytes"`
}

// Problem writes one line.
func (p *Printer) Problem(problem *connectors.Problem) error {
	if problem.Level == connectors.Notice {
		p.NoticeCount++
	} else {
		p.RefusedCount++
	}
	if !p.JSON {
		_, err := fmt.Fprintf(p.Problems, "%s: %v\n", problem.Level, problem)
		return err
	}
	e := json.NewEncoder(p.Problems)
	e.SetEscapeHTML(false)
	return e.Encode(problemLine{problem.Cause, problem.Level.String(), problem.DocType, problem.DocID, problem.Part, problem.Position.String(), problem.Detail, problem.Remedy, len(problem.Bytes)})
}
