package delivery

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// RetryPolicy says when a failed attempt is followed by another one. The zero value is [DefaultBackoff] without further limits.
//
// At least one attempt is always made, however old the event is; a delivery is dead when the next attempt would come after one of the limits.
type RetryPolicy struct {
	Backoff     Backoff
	MaxAttempts int           // attempts of a series, the first one included; 0: no limit
	MaxAge      time.Duration // since the event was received or, for a replayed delivery, since its replay's first attempt; 0: no limit
}

// Backoff is the time between attempts: [Exponential], [Schedule] or [None].
type Backoff interface {
	// Delay is the time from a failed attempt to the next one; failed is how many attempts of the series have failed (from 1). It is false if none follows.
	// random is a number from [0, 1).
	Delay(failed int, random float64) (time.Duration, bool)
	// Bounds are the longest delay, which also bounds Retry-After, and the time after the first attempt in which retries start; 0: no bound.
	Bounds() (longest, total time.Duration)
	Validate() error
}

// DefaultBackoff is exponential from 5 s to 1 h for 72 h.
var DefaultBackoff Backoff = Exponential{First: 5 * time.Second, Cap: time.Hour, Total: 72 * time.Hour}

// Exponential backs off with full jitter: the n-th delay is random between 0 and the smaller of First * Multiplier^(n-1) and Cap, so that
// deliveries that failed together do not come back together.
type Exponential struct {
	First      time.Duration
	Cap        time.Duration
	Total      time.Duration // after the first attempt of a series, no attempt starts later than this; 0: no bound
	Multiplier float64       // at least 1; 0: 2
}

// Delay implements [Backoff].
func (e Exponential) Delay(failed int, random float64) (time.Duration, bool) {
	multiplier := e.Multiplier
	setDefault(&multiplier, 2)
	ceiling := float64(e.First) * math.Pow(multiplier, float64(failed-1))
	ceiling = min(ceiling, float64(e.Cap)) // also tames an infinite power
	return time.Duration((1 - random) * ceiling), true
}

// Bounds implements [Backoff].
func (e Exponential) Bounds() (longest, total time.Duration) { return e.Cap, e.Total }

// Validate implements [Backoff].
func (e Exponential) Validate() error {
	switch {
	case e.First <= 0:
		return fmt.Errorf("first delay %s: want more than 0", e.First)
	case e.Cap < e.First:
		return fmt.Errorf("cap %s is less than the first delay %s", e.Cap, e.First)
	case e.Cap > MaxSpan || e.Total > MaxSpan:
		return errors.New("a time of more than 100 years")
	case e.Total < 0 || e.Total > 0 && e.Total < e.First:
		return fmt.Errorf("total %s is less than the first delay %s", e.Total, e.First)
	case e.Multiplier != 0 && (e.Multiplier < 1 || e.Multiplier > 1000 || math.IsNaN(e.Multiplier)):
		return fmt.Errorf("multiplier %g: want 1 to 1000", e.Multiplier)
	}
	return nil
}

// Schedule waits for each delay in turn, each counted from the end of the attempt before it; after the last one the delivery is dead.
type Schedule struct {
	Delays []time.Duration
	Jitter float64 // 0 to 1: each delay is random between delay*(1-Jitter) and delay*(1+Jitter)
}

// Delay implements [Backoff].
func (s Schedule) Delay(failed int, random float64) (time.Duration, bool) {
	if failed > len(s.Delays) {
		return 0, false
	}
	d := s.Delays[failed-1]
	return d + time.Duration(float64(d)*s.Jitter*(2*random-1)), true
}

// Bounds implements [Backoff]. A schedule ends with its delays, so it has no total.
func (s Schedule) Bounds() (longest, total time.Duration) { return slices.Max(s.Delays), 0 }

// Validate implements [Backoff].
func (s Schedule) Validate() error {
	if len(s.Delays) == 0 {
		return errors.New("a schedule without delays")
	}
	if i := slices.IndexFunc(s.Delays, notSpan); i >= 0 {
		return fmt.Errorf("delay %s: want up to 100 years, and not less than 0", s.Delays[i])
	}
	if s.Jitter < 0 || s.Jitter > 1 || math.IsNaN(s.Jitter) {
		return fmt.Errorf("jitter %g: want 0 to 1", s.Jitter)
	}
	return nil
}

// None makes one attempt only.
type None struct{}

// Delay implements [Backoff].
func (None) Delay(int, float64) (time.Duration, bool) { return 0, false }

// Bounds implements [Backoff].
func (None) Bounds() (longest, total time.Duration) { return 0, 0 }

// Validate implements [Backoff].
func (None) Validate() error { return nil }

// presets are well-known schedules by name.
var presets = map[string]Schedule{
	// What HeyVisa itself does as a sender.
	"heyvisa": {Delays: []time.Duration{
		30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 12 * time.Hour,
	}},
	// What the Standard Webhooks specification recommends: the last attempt is made 75 h 35 min after the first.
	"standard": {Delays: []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour,
		14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}},
}

// Preset returns a well-known schedule by its name: "heyvisa" or "standard".
func Preset(name string) (Backoff, error) {
	s, ok := presets[name]
	if !ok {
		return nil, fmt.Errorf("unknown retry schedule %q (want %s)", name, strings.Join(slices.Sorted(maps.Keys(presets)), " or "))
	}
	return Schedule{Delays: slices.Clone(s.Delays), Jitter: s.Jitter}, nil
}

// Failure is a failed attempt, as a retry policy sees it.
type Failure struct {
	Failed     int           // attempts of the series that failed, this one included
	Started    time.Time     // start of the series' first attempt
	Since      time.Time     // MaxAge counts from here
	Now        time.Time     // end of this attempt
	RetryAfter time.Duration // what the application asked for; 0: nothing
	Random     float64       // from [0, 1)
}

// Next says when the next attempt is due; false if there is none. An application's Retry-After can only lengthen the policy's own delay, up to its longest, and not
// beyond the time in which attempts are made.
func (p RetryPolicy) Next(f Failure) (due time.Time, again bool) {
	if p.MaxAttempts > 0 && f.Failed >= p.MaxAttempts {
		return time.Time{}, false
	}
	delay, again := p.Backoff.Delay(f.Failed, f.Random)
	if !again {
		return time.Time{}, false
	}
	longest, total := p.Backoff.Bounds()
	due = f.Now.Add(delay)
	asked := f.Now.Add(min(f.RetryAfter, longest))
	if last := p.last(f, total); !last.IsZero() {
		if due.After(last) {
			return time.Time{}, false
		}
		if asked.After(last) {
			asked = last
		}
	}
	if asked.After(due) {
		due = asked
	}
	return due, true
}

// last is when the last attempt may be due; zero if nothing bounds it.
func (p RetryPolicy) last(f Failure, total time.Duration) (last time.Time) {
	if total > 0 {
		last = f.Started.Add(total)
	}
	if end := f.Since.Add(p.MaxAge); p.MaxAge > 0 && (last.IsZero() || end.Before(last)) {
		last = end
	}
	return last
}

// Validate reports the first thing that makes no sense.
func (p RetryPolicy) Validate() error {
	if p.MaxAttempts < 0 {
		return fmt.Errorf("maximum of %d attempts: want at least 1", p.MaxAttempts)
	}
	if notSpan(p.MaxAge) {
		return fmt.Errorf("maximum age %s: want up to 100 years, and not less than 0", p.MaxAge)
	}
	if p.Backoff == nil {
		return nil
	}
	return p.Backoff.Validate()
}
