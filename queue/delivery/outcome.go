package delivery

import (
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	maxError    = 200 // bytes of Attempt.Error
	maxResponse = 512 // bytes of Attempt.Response
)

// health is what an attempt tells about the application.
type health uint8

const (
	healthUnknown health = iota // it did not get as far as the application
	healthGood
	healthBad
)

// outcome is what follows from an attempt.
type outcome struct {
	settlement queue.Settlement // without its lease
	health     health
	sample     sample
}

// verdict is what a policy says about an answer.
type verdict uint8

const (
	verdictRetry verdict = iota
	verdictDeliver
	verdictDead
)

// decide applies the policy to the result of an attempt that ended at now.
func decide(p *Policy, try *Try, r Result, now time.Time, random float64) outcome {
	v := p.judge(r)
	class := r.Class
	if class == "" && v != verdictDeliver {
		class = statusClass(r.Status)
	}
	if v == verdictDeliver {
		class, r.Error = "", ""
	}
	attempt := &queue.Attempt{
		Number: try.Attempt, Trigger: try.Trigger, At: try.At, Duration: max(0, now.Sub(try.At)),
		Status: r.Status, Class: class, Error: cutText(r.Error, maxError), Response: r.Response[:min(len(r.Response), maxResponse)],
	}
	o := outcome{settlement: queue.Settlement{Attempt: attempt}, health: healthOf(v, r)}
	o.sample = sample{health: o.health, started: try.At, latency: attempt.Duration, throttled: throttles(r, class)}
	if r.Latency > 0 {
		o.sample.latency = r.Latency
	}
	switch v {
	case verdictDeliver:
		o.settlement.State = queue.StateDelivered
		return o
	case verdictRetry:
		failure := failureOf(try, r, now, random)
		if due, again := p.Retry.Next(failure); again {
			o.settlement.State, o.settlement.Due = queue.StatePending, due
			o.settlement.StepAside = p.Order.Park > 0 && failure.Failed >= p.Order.Park
			return o
		}
	}
	o.settlement.State = queue.StateDead
	return o
}

// judge says what follows from an answer. Only an answer that came through whole is judged by its status.
func (p *Policy) judge(r Result) verdict {
	switch {
	case r.Permanent:
		return verdictDead
	case r.Class != "" && r.Class != ClassStatus && r.Class != ClassRedirect:
		return verdictRetry
	}
	v, width := verdictRetry, 1000
	if r.Status >= 200 && r.Status <= 299 {
		v, width = verdictDeliver, 101 // any rule is more precise than this one
	}
	consider := func(rules []StatusRule, verdict verdict) {
		for _, rule := range rules {
			if w := rule.To - rule.From + 1; r.Status >= rule.From && r.Status <= rule.To && w < width {
				v, width = verdict, w
			}
		}
	}
	consider(p.DeadOn, verdictDead)
	consider(p.DeliverOn, verdictDeliver)
	consider(p.RetryOn, verdictRetry)
	return v
}

// healthOf says what an attempt tells about the application: one that refuses an event for good is well, and one that was not asked may be.
func healthOf(v verdict, r Result) health {
	switch {
	case v == verdictDeliver:
		return healthGood
	case r.Unreached, r.Permanent && r.Status == 0:
		return healthUnknown
	case v == verdictDead:
		return healthGood
	}
	return healthBad
}

// throttles reports whether the application is overwhelmed, as opposed to refusing an event.
func throttles(r Result, class string) bool {
	switch class {
	case "":
		return false
	case ClassStatus:
		return r.Status == 429 || r.Status >= 500
	case ClassRedirect:
		return false
	}
	return !r.Permanent
}

func failureOf(try *Try, r Result, now time.Time, random float64) Failure {
	started := try.Delivery.FirstTry
	if try.Delivery.SeriesTries == 0 || started.IsZero() {
		started = try.At
	}
	f := Failure{Failed: try.Delivery.SeriesTries + 1, Started: started, Since: try.Event.ReceivedAt, Now: now, Random: random}
	if try.Delivery.Replayed {
		f.Since = started
	}
	if r.Status == 429 || r.Status == 503 {
		f.RetryAfter = r.RetryAfter
	}
	return f
}

func statusClass(status int) string {
	if status >= 300 && status <= 399 {
		return ClassRedirect
	}
	return ClassStatus
}

// cutText shortens s to at most n bytes of valid UTF-8.
func cutText(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }
