package delivery

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBreakerByRatio(t *testing.T) {
	p := BreakerPolicy{Failures: 1000, Open: time.Second, Ratio: 0.5, Window: 10 * time.Second, Minimum: 10}
	now := time.Unix(1000, 0)
	b := breaker{}
	for i := range 9 {
		b.finished(p, false, i%3 != 0, now)
	}
	if b.state != BreakerClosed {
		t.Fatal("it opened before there were enough attempts")
	}
	b.finished(p, false, false, now)
	if b.state != BreakerOpen {
		t.Fatalf("it did not open at 6 failures of 10: %+v", b.window)
	}

	b = breaker{}
	for range 9 {
		b.finished(p, false, true, now)
	}
	now = now.Add(11 * time.Second) // the failures leave the window
	for range 9 {
		b.finished(p, false, false, now)
	}
	b.finished(p, false, true, now)
	if b.state != BreakerClosed {
		t.Error("it opened for failures that are long past")
	}
}

func TestBreakerIgnoresWhatStartedBeforeItOpened(t *testing.T) {
	p := BreakerPolicy{Failures: 2, Open: time.Second}
	now := time.Unix(1000, 0)
	b := breaker{}
	b.finished(p, false, true, now)
	b.finished(p, false, true, now)
	b.finished(p, false, false, now) // an attempt from before: the application recovered, or it was half done already
	if n, at := b.admits(p, 8, now); b.state != BreakerOpen || n != 0 || !at.Equal(now.Add(time.Second)) {
		t.Fatalf("state %s, %d admitted, look again at %s", b.state, n, at)
	}
	now = now.Add(time.Second)
	if n, _ := b.admits(p, 8, now); n != 1 {
		t.Fatalf("%d admitted as a probe, want 1", n)
	}
	if !b.started(p) {
		t.Fatal("the first attempt after the time is not the probe")
	}
	b.finished(p, false, true, now)
	if n, _ := b.admits(p, 8, now); b.state != BreakerHalfOpen || n != 0 {
		t.Fatalf("state %s, %d admitted while the probe is out", b.state, n)
	}
	b.abandoned(true, now)
	if n, _ := b.admits(p, 8, now); n != 1 {
		t.Error("no new probe after one that told nothing")
	}
}

func TestBreakerSwitchedOffLetsGo(t *testing.T) {
	on, off := BreakerPolicy{Failures: 1, Open: time.Hour}, BreakerPolicy{Off: true}
	now := time.Unix(1000, 0)
	b := breaker{}
	b.finished(on, false, true, now)
	if n, _ := b.admits(off, 8, now); n != 8 {
		t.Errorf("%d admitted, want all", n)
	}
	if b.started(off) || b.state != BreakerClosed {
		t.Error("still open")
	}
}

// TestLimiterNeverExceedsItsRate takes whatever is available at random moments: in no span of time may that be more than the burst and the span's share.
func TestLimiterNeverExceedsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate{PerSecond: rapid.Float64Range(0.01, 5000).Draw(t, "rate"), Burst: rapid.IntRange(1, 50).Draw(t, "burst")}
		l, now := limiter{}, time.Unix(1000, 0)
		var taken []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n, at := l.available(rate, rapid.IntRange(1, 20).Draw(t, "limit"), now)
			if n == 0 {
				if !at.After(now) {
					t.Fatalf("nothing at %s, and told to look again at %s", now, at)
				}
				if rapid.Bool().Draw(t, "wait") {
					now = at
					if n, _ = l.available(rate, 1, now); n != 1 {
						t.Fatalf("nothing at the moment that was promised")
					}
				}
			}
			l.take(rate, n, now)
			for range n {
				taken = append(taken, now)
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(float64(time.Second)/rate.PerSecond)).Draw(t, "pass")))
		}
		for i := range taken {
			for j := i; j < len(taken); j++ {
				span := taken[j].Sub(taken[i])
				if most := rate.Burst + int(span/rate.interval()) + 1; j-i+1 > most {
					t.Fatalf("%d in %s, want at most %d (%+v)", j-i+1, span, most, rate)
				}
			}
		}
	})
}

func TestLimiterFollowsAChangeOfRate(t *testing.T) {
	slow, fast := Rate{PerSecond: 0.001, Burst: 1}, Rate{PerSecond: 10, Burst: 1}
	l, now := limiter{}, time.Unix(1000, 0)
	l.take(slow, 1, now)
	if _, at := l.available(slow, 1, now); !at.Equal(now.Add(1000 * time.Second)) {
		t.Errorf("next at %s", at.Sub(now))
	}
	if _, at := l.available(fast, 1, now); !at.Equal(now.Add(100 * time.Millisecond)) {
		t.Errorf("after the change the next one has to wait for %s", at.Sub(now))
	}
}
