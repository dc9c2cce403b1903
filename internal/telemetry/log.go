// Package telemetry is how a process tells how it is: logs, metrics, probes and profiles. It knows no other part of
// Crossdock.
package telemetry

import (
	"io"
	"log/slog"
	"os"
)

// NewLogger makes the process's logger. format is json, text, or empty: text where w is a terminal, json elsewhere.
// level is debug, info, warn or error.
func NewLogger(w *os.File, level, format string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	if format == "" && IsTerminal(w) {
		format = "text"
	}
	return slog.New(handler(w, l, format))
}

func handler(w io.Writer, l slog.Level, format string) slog.Handler {
	opts := &slog.HandlerOptions{Level: l}
	if format == "text" {
		return slog.NewTextHandler(w, opts)
	}
	return slog.NewJSONHandler(w, opts)
}
