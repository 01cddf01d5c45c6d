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
	Level  slog.Leveler // least level; nil is info
	JSON   bool         // else text for people
	Colour bool         // ANSI colours in text
}

// Level reads debug, info, warn or error; anything else is info.
func Level(text string) slog.Level {
	level := slog.LevelInfo
	if err := level.UnmarshalText([]byte(strings.ToUpper(text))); err != nil {
		return slog.LevelInfo
	}
	return level
}

// NewLogger returns the logger of a process.
func NewLogger(c LogConfig) *slog.Logger {
	level := c.Level
	if level == nil {
		level = slog.LevelInfo
	}
	if c.JSON {
		return slog.New(slog.NewJSONHandler(c.Out, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(c.Out, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !c.Colour}))
}
