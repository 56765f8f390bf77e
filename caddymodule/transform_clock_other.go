//go:build !linux

package caddymodule

import "time"

func threadClock() func() time.Duration { return wallClock() }
