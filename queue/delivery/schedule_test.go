package delivery

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestSchedules runs every kind of schedule through the whole engine in simulated time, and compares when the attempts were made to the nanosecond.
func TestSchedules(t *testing.T) {
	const h, m, s = time.Hour, time.Minute, time.Second
	heyvisa, _ := Preset("heyvisa")
	standard, _ := Preset("standard")
	tests := map[string]struct {
		retry  RetryPolicy
		random float64
		want   []time.Duration // of the attempts, since the first
	}{
		"heyvisa": {
			retry: RetryPolicy{Backoff: heyvisa},
			want:  []time.Duration{0, 30 * s, 2*m + 30*s, 12*m + 30*s, h + 12*m + 30*s, 7*h + 12*m + 30*s, 19*h + 12*m + 30*s},
		},
		"standard webhooks": { // the table of the specification
			retry: RetryPolicy{Backoff: standard},
			want: []time.Duration{
				0, 5 * s, 5*m + 5*s, 35*m + 5*s, 2*h + 35*m + 5*s, 7*h + 35*m + 5*s, 17*h + 35*m + 5*s,
				31*h + 35*m + 5*s, 51*h + 35*m + 5*s, 75*h + 35*m + 5*s,
			},
		},
		"none": {retry: RetryPolicy{Backoff: None{}}, want: []time.Duration{0}},
		"exponential to its cap and total": {
			retry: RetryPolicy{Backoff: Exponential{First: s, Cap: 10 * s, Total: 46 * s}},
			want:  []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s, 25 * s, 35 * s, 45 * s},
		},
		"exponential with a multiplier": {
			retry: RetryPolicy{Backoff: Exponential{First: s, Cap: m, Total: 20 * s, Multiplier: 3}},
			want:  []time.Duration{0, 1 * s, 4 * s, 13 * s},
		},
		"exponential, lower half of the jitter": {
			retry:  RetryPolicy{Backoff: Exponential{First: 2 * s, Cap: 8 * s, Total: 12 * s}},
			random: 0.5,
			want:   []time.Duration{0, 1 * s, 3 * s, 7 * s, 11 * s},
		},
		"exponential by maximum attempts": {
			retry: RetryPolicy{Backoff: Exponential{First: s, Cap: h}, MaxAttempts: 4},
			want:  []time.Duration{0, 1 * s, 3 * s, 7 * s},
		},
		"one attempt at most": {retry: RetryPolicy{MaxAttempts: 1}, want: []time.Duration{0}},
		"by maximum age": {
			retry: RetryPolicy{Backoff: Exponential{First: s, Cap: h}, MaxAge: 7 * s},
			want:  []time.Duration{0, 1 * s, 3 * s, 7 * s},
		},
		"schedule with jitter, earliest": {
			retry: RetryPolicy{Backoff: Schedule{Delays: []time.Duration{10 * s, m}, Jitter: 0.1}},
			want:  []time.Duration{0, 9 * s, 63 * s},
		},
		"schedule with jitter, middle": {
			retry:  RetryPolicy{Backoff: Schedule{Delays: []time.Duration{10 * s, m}, Jitter: 0.1}},
			random: 0.5,
			want:   []time.Duration{0, 10 * s, 70 * s},
		},
		"the default": {retry: RetryPolicy{}, want: defaultSchedule()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := always(500)
				r := newRig(t, func(o *Options) { o.Random = func() float64 { return test.random } })
				r.start(a.destination("app", Policy{Retry: test.retry, Breaker: BreakerPolicy{Off: true}}))
				defer r.close()
				id := r.enqueue("app")
				sleep(200 * time.Hour)
				r.wantState(id, "app", queue.StateDead)
				if got := a.since(r.began); !slices.Equal(got, test.want) {
					t.Errorf("attempts at\n%v, want\n%v", got, test.want)
				}
				for i, attempt := range r.attempts(id, "app") {
					if attempt.At.Sub(r.began) != test.want[i] || attempt.Number != i+1 || attempt.Class != ClassStatus {
						t.Errorf("record of attempt %d: %+v", i+1, attempt)
					}
				}
			})
		})
	}
}

// defaultSchedule is 5 s, 10 s, 20 s ... 1 h, 1 h ... for 72 h, written independently of the engine.
func defaultSchedule() (at []time.Duration) {
	delay := 5 * time.Second
	for t := time.Duration(0); t <= 72*time.Hour; t += delay {
		at = append(at, t)
		if len(at) > 1 {
			delay = min(2*delay, time.Hour)
		}
	}
	return at
}

func TestRetryAfter(t *testing.T) {
	tests := map[string]struct {
		status int
		after  time.Duration
		want   time.Duration
	}{
		"longer than the delay":        {503, 7 * time.Second, 7 * time.Second},
		"too many requests":            {429, 7 * time.Second, 7 * time.Second},
		"shorter than the delay":       {503, 1 * time.Second, 2 * time.Second},
		"beyond the cap":               {503, time.Hour, 20 * time.Second},
		"negative":                     {503, -time.Second, 2 * time.Second},
		"another status does not have": {500, 7 * time.Second, 2 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := answering(func(context.Context, *Try) Result { return Result{Status: test.status, RetryAfter: test.after} })
				r := newRig(t)
				r.start(a.destination("app", Policy{Retry: RetryPolicy{Backoff: Exponential{First: 2 * time.Second, Cap: 20 * time.Second}, MaxAttempts: 2}}))
				defer r.close()
				r.enqueue("app")
				sleep(time.Minute)
				if got := a.since(r.began); !slices.Equal(got, []time.Duration{0, test.want}) {
					t.Errorf("attempts at %v, want the second after %s", got, test.want)
				}
			})
		})
	}
}

// TestRetryAfterEndsNothing asks for more time than there is: the last attempt is made at the end of it.
func TestRetryAfterEndsNothing(t *testing.T) {
	began := time.Unix(1000, 0)
	for name, test := range map[string]struct {
		policy  RetryPolicy
		elapsed time.Duration
		want    time.Duration // after began; 0: dead
	}{
		"within":                {RetryPolicy{Backoff: Exponential{First: time.Second, Cap: time.Hour, Total: 3 * time.Hour}}, 0, time.Hour},
		"beyond the total":      {RetryPolicy{Backoff: Exponential{First: time.Second, Cap: time.Hour, Total: 30 * time.Minute}}, 0, 30 * time.Minute},
		"beyond the age":        {RetryPolicy{Backoff: Exponential{First: time.Second, Cap: time.Hour}, MaxAge: 20 * time.Minute}, 0, 20 * time.Minute},
		"beyond both":           {RetryPolicy{Backoff: Exponential{First: time.Second, Cap: time.Hour, Total: 10 * time.Minute}, MaxAge: 20 * time.Minute}, 0, 10 * time.Minute},
		"when there is no more": {RetryPolicy{Backoff: Exponential{First: time.Second, Cap: time.Hour, Total: 30 * time.Minute}}, 30 * time.Minute, 0},
	} {
		due, again := test.policy.Next(Failure{Failed: 1, Started: began, Since: began, Now: began.Add(test.elapsed), RetryAfter: 2 * time.Hour})
		if again != (test.want > 0) || again && due.Sub(began) != test.want {
			t.Errorf("%s: %s after, %v; want %s", name, due.Sub(began), again, test.want)
		}
	}
}

func TestFullJitterStaysWithinTheCeiling(t *testing.T) {
	e := Exponential{First: 5 * time.Second, Cap: time.Hour}
	for failed := 1; failed < 3000; failed++ {
		ceiling, _ := e.Delay(failed, 0)
		if least, ok := e.Delay(failed, 0.999999999); !ok || least < 0 || least > time.Second {
			t.Fatalf("delay %d goes down to %s", failed, least)
		}
		if want := time.Duration(min(float64(time.Hour), 5e9*float64(uint64(1)<<min(failed-1, 40)))); ceiling != want {
			t.Fatalf("delay %d goes up to %s, want %s", failed, ceiling, want)
		}
	}
}

func TestRetryPolicyRefusesNonsense(t *testing.T) {
	bad := map[string]RetryPolicy{
		"no first delay":    {Backoff: Exponential{Cap: time.Hour}},
		"cap below first":   {Backoff: Exponential{First: time.Minute, Cap: time.Second}},
		"total below first": {Backoff: Exponential{First: time.Minute, Cap: time.Hour, Total: time.Second}},
		"shrinking":         {Backoff: Exponential{First: time.Second, Cap: time.Hour, Multiplier: 0.5}},
		"empty schedule":    {Backoff: Schedule{}},
		"negative delay":    {Backoff: Schedule{Delays: []time.Duration{-1}}},
		"jitter over 1":     {Backoff: Schedule{Delays: []time.Duration{1}, Jitter: 1.5}},
		"negative attempts": {MaxAttempts: -1},
		"negative age":      {MaxAge: -1},
		"age for ever":      {MaxAge: math.MaxInt64},
		"endless delay":     {Backoff: Schedule{Delays: []time.Duration{math.MaxInt64}}},
		"endless cap":       {Backoff: Exponential{First: time.Second, Cap: math.MaxInt64}},
		"endless total":     {Backoff: Exponential{First: time.Second, Cap: time.Second, Total: math.MaxInt64}},
		"no multiplier":     {Backoff: Exponential{First: time.Second, Cap: time.Hour, Multiplier: math.NaN()}},
		"no jitter":         {Backoff: Schedule{Delays: []time.Duration{1}, Jitter: math.NaN()}},
	}
	for name, policy := range bad {
		if policy.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, name := range []string{"heyvisa", "standard"} {
		preset, err := Preset(name)
		if err != nil || preset.Validate() != nil {
			t.Errorf("preset %s: %v", name, err)
		}
	}
	if _, err := Preset("nobody"); err == nil {
		t.Error("an unknown preset was accepted")
	}
	if err := (RetryPolicy{}).Validate(); err != nil {
		t.Error("the default policy:", err)
	}
}
