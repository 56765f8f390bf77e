package delivery

import (
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	// leaseMargin is what a lease is longer than the attempt's timeout: the time to store the outcome, even if the store stutters.
	leaseMargin = 30 * time.Second
	// maxClaim bounds one claim, so that a destination with a high concurrency does not hold up the store for the others.
	maxClaim = 256
	// minUnsettled is how many outcomes of a destination may wait for the store before no more attempts are started, at least.
	minUnsettled = 64
	// minLook is the least time between two looks at a store that gave nothing and told to look again at once.
	minLook = time.Millisecond
)

// dispatcher starts the attempts of one destination and keeps the destination's state. It outlives the tables that name it.
type dispatcher struct {
	engine *Engine
	name   string
	kicks  chan struct{} // capacity 1: the plan may have changed
	turn   chan struct{} // capacity 1: full while somebody plans and claims

	mu      sync.Mutex
	target  *target // nil: not configured at present
	paused  bool
	breaker breaker
	limiter limiter
	pace    pace

	inFlight  int // attempts under way
	unsettled int // outcomes on their way to the store

	// The last claim got less than it asked for (dry), so that nothing is due before next (zero: until woken). news counts what may have changed that
	// while a claim was under way.
	dry  bool
	next time.Time
	news uint64
}

func newDispatcher(e *Engine, name string) *dispatcher {
	return &dispatcher{engine: e, name: name, kicks: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
}

// run is the dispatcher's loop. It ends when the engine stops.
func (d *dispatcher) run() {
	trouble := backoff{}
	for {
		n, at, err := d.step()
		if n > 0 {
			if d.engine.stopping.Err() != nil {
				return
			}
			d.engine.health.report("claim", err)
			if err == nil {
				trouble.reset()
				continue
			}
			if !d.engine.pause(trouble.next()) {
				return
			}
			continue
		}
		if !d.wait(at) {
			return
		}
	}
}

// step claims what may be claimed now. n is how many were asked for; if none, at is when to look again (zero: only when kicked).
func (d *dispatcher) step() (n int, at time.Time, err error) {
	d.turn <- struct{}{}
	return d.useTurn()
}

// stepIn takes a step in place of the loop, unless that is at it: where all processors are busy, the loop waits long for one, and the goroutine of an attempt that
// ended has one. Nothing is won by doing so after each attempt: few at a time cost the store more.
func (d *dispatcher) stepIn() {
	select {
	case d.turn <- struct{}{}:
	default:
		return
	}
	if _, _, err := d.useTurn(); err != nil {
		d.wake() // the loop meets the error, too, and knows what to do
	}
}

// useTurn plans and claims, and gives the turn back.
func (d *dispatcher) useTurn() (n int, at time.Time, err error) {
	defer func() { <-d.turn }()
	n, t, at := d.plan(d.engine.Clock.Now())
	if n > 0 {
		err = d.claim(n, t)
	}
	return n, at, err
}

// wait returns true when there is something to plan: after a kick, or at a moment (zero: only after a kick). It returns false when the engine stops.
func (d *dispatcher) wait(at time.Time) bool {
	var due <-chan time.Time
	if !at.IsZero() {
		timer := d.engine.Clock.NewTimer(at.Sub(d.engine.Clock.Now()))
		defer timer.Stop()
		due = timer.C()
	}
	select {
	case <-d.kicks:
	case <-due:
	case <-d.engine.stopping.Done():
		return false
	}
	return true
}

// plan returns how many deliveries may be claimed now and for which target, or else when to look again (zero: only when kicked).
func (d *dispatcher) plan(now time.Time) (n int, t *target, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.target == nil || d.paused || d.engine.stopping.Err() != nil {
		return 0, nil, time.Time{}
	}
	if d.dry && (d.next.IsZero() || now.Before(d.next)) {
		return 0, nil, d.next
	}
	p := &d.target.policy
	n = min(d.pace.limit(p)-d.inFlight, max(minUnsettled, p.Concurrency)-d.unsettled, maxClaim)
	if n <= 0 {
		return 0, nil, time.Time{}
	}
	if n, at = d.breaker.admits(p.Breaker, n, now); n == 0 {
		return 0, nil, at
	}
	n, at = d.limiter.available(p.Rate, n, now)
	return n, d.target, at
}

// claim leases up to n deliveries and starts them, as far as they may still be started when the store has answered.
func (d *dispatcher) claim(n int, t *target) error {
	d.mu.Lock()
	news := d.news
	d.mu.Unlock()
	now := d.engine.Clock.Now()
	claimed, next, err := d.engine.Store.Claim(d.engine.stopping, queue.ClaimRequest{
		Destination: d.name, Limit: n, Now: now, Lease: t.policy.Timeout + leaseMargin,
	})
	if err != nil {
		return err
	}
	if len(claimed) == 0 && !next.IsZero() && next.Before(now.Add(minLook)) {
		next = now.Add(minLook)
	}
	started := d.start(claimed, t)
	for _, c := range claimed[started:] {
		d.giveBack(c)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dry = len(claimed) < n && d.news == news
	d.next = next
	return nil
}

// start starts attempts for claimed deliveries in order, and returns for how many. It stops when the destination does not take them any more.
func (d *dispatcher) start(claimed []queue.Claimed, t *target) (started int) {
	d.mu.Lock()
	now, from := d.engine.Clock.Now(), d.breaker.state
	for _, c := range claimed {
		if d.target != t || d.paused || d.engine.stopping.Err() != nil {
			break
		}
		if n, _ := d.breaker.admits(t.policy.Breaker, 1, now); n == 0 {
			break
		}
		w := worker{dispatcher: d, target: t, claimed: c, probe: d.breaker.started(t.policy.Breaker)}
		d.inFlight++
		t.generation.enter()
		d.engine.crew.start(w)
		started++
	}
	d.limiter.take(t.policy.Rate, started, now)
	d.pace.started(&t.policy, d.inFlight, now)
	to := d.breaker.state
	d.mu.Unlock()
	d.engine.breakerChanged(d.name, from, to)
	return started
}

// giveBack ends a lease without an attempt.
func (d *dispatcher) giveBack(c queue.Claimed) {
	d.mu.Lock()
	d.unsettled++
	d.mu.Unlock()
	d.engine.settler.add(settling{
		dispatcher: d, event: c.Event,
		settlement: queue.Settlement{Lease: c.Lease, State: queue.StatePending, Due: c.Delivery.Due},
	})
}

// settled notes that the store has taken the outcome of a delivery, or that its lease was lost.
func (d *dispatcher) settled(s *queue.Settlement, lost bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsettled--
	if s.State == queue.StatePending && !lost {
		d.news++
		if d.dry && (d.next.IsZero() || s.Due.Before(d.next)) {
			d.next = s.Due
			d.dry = !s.Due.IsZero() // a zero time is due at once
		}
	}
	d.kick()
}

// wake notes that deliveries may have become due.
func (d *dispatcher) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.news++
	d.dry = false
	d.kick()
}

// retarget puts the destination under another table; nil: it is in none.
func (d *dispatcher) retarget(t *target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.target = t
	d.kick()
}

// disarm closes the breaker where there is none any more: it was switched off, or the destination is in no table. It returns the state before.
func (d *dispatcher) disarm() (before BreakerState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before = d.breaker.state
	if d.target != nil && !d.target.policy.Breaker.Off {
		return BreakerClosed
	}
	d.breaker.reset()
	if before != BreakerClosed {
		d.pace.recover(d.engine.Clock.Now())
	}
	return before
}

// kick makes the loop plan again.
func (d *dispatcher) kick() {
	select {
	case d.kicks <- struct{}{}:
	default:
	}
}

// setPaused stops or resumes the destination and reports whether that changed something.
func (d *dispatcher) setPaused(paused bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused == paused {
		return false
	}
	d.paused = paused
	if !paused {
		d.pace.recover(d.engine.Clock.Now())
	}
	d.kick()
	return true
}
