package delivery

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Defaults of a [Policy].
const (
	DefaultTimeout         = 30 * time.Second
	DefaultConcurrency     = 16
	DefaultAutoConcurrency = 256 // the most that automatic concurrency goes up to
	DefaultBreakerFailures = 5
	DefaultBreakerOpen     = 30 * time.Second
	DefaultBreakerMinimum  = 20

	// MaxSpan is the longest time of any option: a moment further away than time.Duration reaches would lie in the past.
	MaxSpan = 100 * 365 * 24 * time.Hour

	maxConcurrency = 10000
	maxRate        = 1e6
	minRate        = 1. / (24 * 60 * 60)  // one a day
	maxBurstTime   = 365 * 24 * time.Hour // in which a burst comes back
)

// Policy says when deliveries of one destination are attempted, and when one is given up. The zero value is the default policy.
type Policy struct {
	Timeout time.Duration // of one attempt, everything included; 0: 30 s
	Retry   RetryPolicy

	// Concurrency is how many attempts may be under way at once; 0: 16, or 256 if Auto. With Auto it is the upper end: the engine goes up while the
	// application keeps its pace, and down when it slows down or fails.
	Concurrency int
	Auto        bool

	Rate    Rate
	Breaker BreakerPolicy

	// What follows from a status. By default 2xx is delivered, 410 is dead, and all others are tried again. If several rules match a status, the one
	// with the fewest statuses counts; among equals DeadOn goes before DeliverOn, and that before RetryOn. A nil DeadOn stands for 410, unless another rule says what follows from
	// that; an empty one for none.
	DeadOn    []StatusRule
	DeliverOn []StatusRule
	RetryOn   []StatusRule

	Order OrderPolicy
}

// Rate limits how many attempts start. The zero value does not limit.
type Rate struct {
	PerSecond float64 // 0: no limit
	Burst     int     // attempts that may start at once after a quiet time; 0: one second's worth, at least 1
}

// BreakerPolicy says when a destination is left alone because it fails. While the breaker is open, deliveries wait and no attempt is spent; after
// Open one of them is tried, and its success closes the breaker. Every failed attempt counts, except those that are dead on their
// own account (a status in DeadOn, a permanent failure).
type BreakerPolicy struct {
	Off      bool
	Failures int           // in a row; 0: 5
	Open     time.Duration // how long it stays open before a probe; 0: 30 s

	// Ratio (0 < Ratio <= 1) also opens it when that part of the attempts of the last Window failed, if there were at least Minimum; 0: not used.
	Ratio   float64
	Window  time.Duration // 0: 1 minute
	Minimum int           // 0: 20
}

// StatusRule matches the statuses From to To, both included.
type StatusRule struct{ From, To int }

// Status matches one status.
func Status(code int) StatusRule { return StatusRule{code, code} }

// StatusClass matches a class of statuses; 4 is 400 to 499.
func StatusClass(class int) StatusRule { return StatusRule{class * 100, class*100 + 99} }

// OrderPolicy applies to deliveries that have an order key.
type OrderPolicy struct {
	// Park is after how many failed attempts of a series a delivery steps aside, so that later ones of its key overtake it while it is tried on; 0: never, its key waits
	// until it is delivered or dead.
	Park int
}

// withDefaults fills in the defaults.
func (p Policy) withDefaults() Policy {
	setDefault(&p.Timeout, DefaultTimeout)
	if p.Auto {
		setDefault(&p.Concurrency, DefaultAutoConcurrency)
	}
	setDefault(&p.Concurrency, DefaultConcurrency)
	setDefault(&p.Breaker.Failures, DefaultBreakerFailures)
	setDefault(&p.Breaker.Open, DefaultBreakerOpen)
	setDefault(&p.Breaker.Window, time.Minute)
	setDefault(&p.Breaker.Minimum, DefaultBreakerMinimum)
	if p.Retry.Backoff == nil {
		p.Retry.Backoff = DefaultBackoff
	}
	gone := func(r StatusRule) bool { return r.From <= 410 && 410 <= r.To }
	if p.DeadOn == nil && !slices.ContainsFunc(slices.Concat(p.DeliverOn, p.RetryOn), gone) {
		p.DeadOn = []StatusRule{Status(410)}
	}
	return p
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports the first thing that makes no sense, in words for the one who configured it.
func (p Policy) Validate() error {
	switch {
	case notSpan(p.Timeout):
		return fmt.Errorf("timeout %s: want up to 100 years, and not less than 0", p.Timeout)
	case p.Concurrency < 0 || p.Concurrency > maxConcurrency:
		return fmt.Errorf("concurrency %d: want 1 to %d", p.Concurrency, maxConcurrency)
	case p.Order.Park < 0:
		return fmt.Errorf("park %d: want at least 1 attempt", p.Order.Park)
	}
	if err := p.Rate.validate(); err != nil {
		return fmt.Errorf("rate: %w", err)
	}
	for _, r := range slices.Concat(p.DeadOn, p.DeliverOn, p.RetryOn) {
		if r.From < 100 || r.To > 599 || r.From > r.To {
			return fmt.Errorf("status %d-%d: want statuses from 100 to 599", r.From, r.To)
		}
	}
	if err := p.Breaker.validate(); err != nil {
		return fmt.Errorf("breaker: %w", err)
	}
	if err := p.Retry.Validate(); err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	return nil
}

// notSpan reports whether a time is negative or longer than any may be.
func notSpan(d time.Duration) bool { return d < 0 || d > MaxSpan }

func (r Rate) validate() error {
	switch {
	case r.Burst < 0:
		return fmt.Errorf("burst of %d: want at least 1", r.Burst)
	case r.PerSecond == 0 && r.Burst > 0:
		return errors.New("a burst without a rate")
	case r.PerSecond == 0:
		return nil
	case math.IsNaN(r.PerSecond) || r.PerSecond < minRate || r.PerSecond > maxRate:
		return fmt.Errorf("%g per second: want 1000000 per second at most, and one a day at least", r.PerSecond)
	case float64(r.Burst)/r.PerSecond > maxBurstTime.Seconds():
		return fmt.Errorf("burst of %d: it would take longer than a year to come back at this rate", r.Burst)
	}
	return nil
}

func (b BreakerPolicy) validate() error {
	switch {
	case b.Failures < 0:
		return fmt.Errorf("%d failures: want at least 1", b.Failures)
	case notSpan(b.Open), notSpan(b.Window), b.Minimum < 0:
		return errors.New("a negative value, or a time of more than 100 years")
	case math.IsNaN(b.Ratio) || b.Ratio < 0 || b.Ratio > 1:
		return fmt.Errorf("ratio %g: want 0 to 1", b.Ratio)
	}
	return nil
}
