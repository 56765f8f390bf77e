package caddymodule

import (
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "soon": 0, "90": 90 * time.Second,
		"4294967296":           maxAsked * time.Second,
		"99999999999999999999": maxAsked * time.Second, "-99999999999999999999": 0,
		"Fri, 01 May 2026 12:01:00 GMT": time.Minute, "Fri, 01 May 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(value, at); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
