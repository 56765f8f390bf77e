package caddymodule

import (
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestFollowingLogger has one logger log to two configurations, one after the other: each gets what its level lets through, with all fields.
func TestFollowingLogger(t *testing.T) {
	core, before := observer.New(zapcore.WarnLevel)
	var active atomic.Pointer[App]
	active.Store(&App{logger: zap.New(core)})
	logger := followingLogger(&active).Named("delivery").With(zap.String("destination", "d"))
	logger.Info("one")
	logger.Warn("two", zap.Int("n", 2))

	core, after := observer.New(zapcore.DebugLevel)
	active.Store(&App{logger: zap.New(core)})
	logger.Debug("three")
	logger.With(zap.Int("n", 4)).Error("four")

	for _, c := range []struct {
		name string
		got  []observer.LoggedEntry
		want []string
	}{{"before", before.All(), []string{"two"}}, {"after", after.All(), []string{"three", "four"}}} {
		if len(c.got) != len(c.want) {
			t.Fatalf("%s: %d entries, want %v", c.name, len(c.got), c.want)
		}
		for i, e := range c.got {
			if e.Message != c.want[i] || e.LoggerName != "webhooks.delivery" || e.ContextMap()["destination"] != "d" {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
	}
	if n := after.All()[1].ContextMap()["n"]; n != int64(4) {
		t.Errorf("field n is %v", n)
	}
	if !logger.Core().Enabled(zapcore.DebugLevel) {
		t.Error("the level did not follow")
	}
}
