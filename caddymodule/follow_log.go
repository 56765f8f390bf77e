package caddymodule

import (
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// followingLogger returns a logger for what outlives configurations: it logs where the active one says, with the levels, files and filters of now.
func followingLogger(active *atomic.Pointer[App]) *zap.Logger {
	return zap.New(followingCore{active: active}).Named(appName)
}

// followingCore hands entries to the core of the active configuration.
type followingCore struct {
	active *atomic.Pointer[App]
	fields []zapcore.Field
}

func (c followingCore) core() zapcore.Core {
	core := c.active.Load().logger.Core()
	if len(c.fields) > 0 {
		return core.With(c.fields)
	}
	return core
}

// Enabled implements zapcore.LevelEnabler.
func (c followingCore) Enabled(level zapcore.Level) bool { return c.core().Enabled(level) }

// With implements zapcore.Core.
func (c followingCore) With(fields []zapcore.Field) zapcore.Core {
	return followingCore{active: c.active, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Check implements zapcore.Core.
func (c followingCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.core().Check(entry, checked)
}

// Write implements zapcore.Core.
func (c followingCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	return c.core().Write(entry, fields)
}

// Sync implements zapcore.Core.
func (c followingCore) Sync() error { return c.core().Sync() }
