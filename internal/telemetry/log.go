package telemetry

import (
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/lmittmann/tint"
)

// LogConfig says how to log.
type LogConfig struct {
	Out    io.Writer
	Level  string // debug, info, warn or error; anything else is info
	JSON   bool   // else text for people
	Colour bool   // ANSI colours in text
}

// NewLogger returns the logger of a process.
func NewLogger(c LogConfig) *slog.Logger {
	level := slog.LevelInfo
	if err := level.UnmarshalText([]byte(strings.ToUpper(c.Level))); err != nil {
		level = slog.LevelInfo
	}
	if c.JSON {
		return slog.New(slog.NewJSONHandler(c.Out, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewHandler(c.Out, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !c.Colour}))
}
