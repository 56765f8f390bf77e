package caddymodule

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// buildPolicy turns the configuration into the engine's terms.
func (d *Destination) buildPolicy() (p delivery.Policy, err error) {
	p.Timeout = time.Duration(d.Timeout)
	if err := d.Retry.checkJSON(); err != nil {
		return p, fmt.Errorf("retry: %w", err)
	}
	if p.Retry, err = d.Retry.policy(); err != nil {
		return p, fmt.Errorf("retry: %w", err)
	}
	if err := d.pacing(&p); err != nil {
		return p, err
	}
	if b := d.Breaker; b != nil {
		p.Breaker = delivery.BreakerPolicy{Off: b.Off, Failures: b.Failures, Open: time.Duration(b.Open), Ratio: b.Ratio}
	}
	for _, list := range []struct {
		name  string
		texts []string
		into  *[]delivery.StatusRule
	}{{"dead_on", d.DeadOn, &p.DeadOn}, {"deliver_on", d.DeliverOn, &p.DeliverOn}, {"retry_on", d.RetryOn, &p.RetryOn}} {
		if *list.into, err = statusRules(list.texts); err != nil {
			return p, fmt.Errorf("%s: %w", list.name, err)
		}
	}
	if err := checkStatuses(&p); err != nil {
		return p, err
	}
	return p, p.Validate()
}

func (d *Destination) pacing(p *delivery.Policy) (err error) {
	switch d.Concurrency {
	case "":
	case "auto":
		p.Auto = true
	default:
		if p.Concurrency, err = strconv.Atoi(d.Concurrency); err != nil || p.Concurrency < 1 {
			return fmt.Errorf("concurrency %q: want a number from 1 up, or auto", d.Concurrency)
		}
	}
	if d.Rate != "" {
		if p.Rate.PerSecond, err = parseRate(d.Rate); err != nil {
			return err
		}
	}
	p.Rate.Burst = d.Burst
	return nil
}

// parseRate reads 100/s, 600/m or 5000/h and returns the rate per second.
func parseRate(s string) (float64, error) {
	count, unit, _ := strings.Cut(s, "/")
	n, err := strconv.ParseFloat(count, 64)
	per, ok := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	if err != nil || !ok || outside(n, 0, math.MaxFloat64) || n == 0 {
		return 0, fmt.Errorf("rate %q: want a number per second, minute or hour, such as 100/s", s)
	}
	return n / per, nil
}

// outside reports whether a number is not from low to high; NaN, which strconv reads and all comparisons deny, is outside of anything.
func outside(n, low, high float64) bool { return math.IsNaN(n) || n < low || n > high }

// statusRules reads statuses (404), classes (4xx) and ranges (500-504). "none" is an empty list.
func statusRules(texts []string) ([]delivery.StatusRule, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	rules := []delivery.StatusRule{}
	for _, s := range texts {
		if s == "none" && len(texts) == 1 {
			return rules, nil
		}
		if class, ok := strings.CutSuffix(s, "xx"); ok && len(class) == 1 && class[0] >= '1' && class[0] <= '5' {
			rules = append(rules, delivery.StatusClass(int(class[0]-'0')))
			continue
		}
		from, to, isRange := strings.Cut(s, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil || a < 100 || b > 599 || a > b {
			return nil, fmt.Errorf("%q is not a status: want one such as 404, a class such as 4xx, or a range such as 500-504", s)
		}
		rules = append(rules, delivery.StatusRule{From: a, To: b})
	}
	return rules, nil
}

// policy of a nil Retry is the default one.
func (r *Retry) policy() (p delivery.RetryPolicy, err error) {
	if r == nil {
		return p, nil
	}
	p.MaxAttempts, p.MaxAge = r.MaxAttempts, time.Duration(r.MaxAge)
	chosen := 0
	if e := r.Exponential; e != nil {
		chosen++
		p.Backoff = e.backoff()
	}
	if len(r.Schedule) > 0 {
		chosen++
		s := delivery.Schedule{Jitter: r.Jitter}
		for _, delay := range r.Schedule {
			s.Delays = append(s.Delays, time.Duration(delay))
		}
		p.Backoff = s
	}
	if r.Preset != "" {
		chosen++
		if p.Backoff, err = delivery.Preset(r.Preset); err != nil {
			return p, err
		}
	}
	if r.None {
		chosen++
		p.Backoff = delivery.None{}
	}
	if r.None && r.MaxAttempts > 0 {
		return p, errors.New("none makes one attempt: max_attempts has no place beside it")
	}
	if chosen > 1 {
		return p, errors.New("more than one of exponential, a schedule, a preset and none")
	}
	return p, nil
}

func (e *Exponential) backoff() delivery.Exponential {
	b := delivery.DefaultBackoff.(delivery.Exponential)
	if e.First > 0 {
		b.First = time.Duration(e.First)
	}
	if e.Cap > 0 {
		b.Cap = time.Duration(e.Cap)
	}
	if e.Total > 0 {
		b.Total = time.Duration(e.Total)
	}
	b.Multiplier = e.Multiplier
	// a first delay above the default cap, or a cap above the default total, is plainly meant
	b.Cap = max(b.Cap, b.First)
	if e.Total == 0 {
		b.Total = max(b.Total, b.First)
	}
	return b
}
