package caddymodule

import (
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// followingLog is where a runtime, which outlives configurations, logs to: always the logs of the configuration that is active, with their levels, files and
// filters of now.
type followingLog struct {
	active atomic.Pointer[zap.Logger]
}

func followLog(first *zap.Logger) *followingLog {
	l := new(followingLog)
	l.follow(first)
	return l
}

// follow makes everything go to another logger from now on.
func (l *followingLog) follow(logger *zap.Logger) { l.active.Store(logger) }

// logger returns a logger that follows.
func (l *followingLog) logger() *zap.Logger { return zap.New(followingCore{log: l}).Named(appName) }

// followingCore hands entries to the core of the moment.
type followingCore struct {
	log    *followingLog
	fields []zapcore.Field
}

func (c followingCore) core() zapcore.Core {
	core := c.log.active.Load().Core()
	if len(c.fields) > 0 {
		return core.With(c.fields)
	}
	return core
}

// Enabled implements zapcore.LevelEnabler.
func (c followingCore) Enabled(level zapcore.Level) bool {
	return c.log.active.Load().Core().Enabled(level)
}

// With implements zapcore.Core.
func (c followingCore) With(fields []zapcore.Field) zapcore.Core {
	return followingCore{log: c.log, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Check implements zapcore.Core.
func (c followingCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(entry.Level) {
		return checked
	}
	return c.core().Check(entry, checked)
}

// Write implements zapcore.Core.
func (c followingCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	return c.core().Write(entry, fields)
}

// Sync implements zapcore.Core.
func (c followingCore) Sync() error { return c.log.active.Load().Core().Sync() }
