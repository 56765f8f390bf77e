package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// trio is the gateway three times: paused, forwarding to an application that is up, and to one that is down.
type trio struct {
	paused, up, down *server
	app              *backend
}

func (b *bench) startTrio(ctx context.Context) (t trio, end func() error, err error) {
	if t.app, err = startBackend(ctx, nil); err != nil {
		return t, nil, err
	}
	end = func() error { return errors.Join(stopAll(t.paused, t.up, t.down), t.app.close()) }
	nobody, err := freeAddress(ctx)
	if err == nil {
		t.paused, err = b.startPaused(ctx, t.app.url())
	}
	if err == nil {
		t.up, err = b.startGateway(ctx, "gateway-up", t.app.url())
	}
	if err == nil {
		t.down, err = b.startGateway(ctx, "gateway-down", "http://"+nobody)
	}
	if err != nil {
		return t, nil, errors.Join(err, end())
	}
	return t, end, nil
}

// catchUpMost is how long a backlog may take to be delivered before the measurement fails.
const catchUpMost = 5 * time.Minute

func measureForwarding(ctx context.Context, b *bench) (err error) {
	t, end, err := b.startTrio(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	l := load{path: "/", conns: 64, size: 1 << 10, time: max(b.time, 5*time.Second)}
	var paused, up, down series
	var delivered, catchUp []float64
	for range b.runs {
		for _, turn := range []struct {
			to *series
			at *server
		}{{&paused, t.paused}, {&up, t.up}, {&down, t.down}} {
			if err := rest(ctx, t.paused.process, t.up.process, t.down.process); err != nil {
				return err
			}
			before, start := t.app.received.Load(), time.Now()
			if err := turn.to.take(ctx, turn.at, l); err != nil {
				return err
			}
			if turn.at != t.up {
				continue
			}
			delivered = append(delivered, float64(t.app.received.Load()-before)/time.Since(start).Seconds())
			behind, err := t.catchUp(ctx)
			if err != nil {
				return err
			}
			catchUp = append(catchUp, behind.Seconds())
		}
	}
	b.add("accepted/s while forwarding to without", "", atLeast(.6, 0), ratios(up.rates, paused.rates)...)
	b.add("delivered/s to accepted/s meanwhile", "", atLeast(.5, 0), ratios(delivered, up.rates)...)
	b.add("delivered/s while accepting to accepted/s without forwarding", "", nil, ratios(delivered, paused.rates)...)
	b.add("accepted/s, application down to up", "", atLeast(1, 0), ratios(down.rates, up.rates)...)
	b.add("accepted/s without forwarding", "/s", nil, paused.rates...)
	b.add("accepted/s while forwarding", "/s", nil, up.rates...)
	b.add("delivered/s while accepting", "/s", nil, delivered...)
	b.add("accepted/s while the application is down", "/s", nil, down.rates...)
	b.add("caught up after", "s", nil, catchUp...)
	b.add("p99 while forwarding", "µs", nil, up.p99...)
	return nil
}

// catchUp waits until nothing arrives any more and returns how long that took.
func (t *trio) catchUp(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, catchUpMost)
	defer cancel()
	const step, still = 100 * time.Millisecond, 5
	start, last, since := time.Now(), int64(-1), 0
	took := time.Duration(0)
	err := poll(ctx, step, func() bool {
		n := t.app.received.Load()
		if since++; n != last {
			last, since, took = n, 0, time.Since(start)
		}
		return since >= still
	})
	if err != nil {
		return 0, fmt.Errorf("deliveries did not catch up: %w", err)
	}
	return took, nil
}

// arrivals are the moments at which events were acknowledged and arrived at the application.
type arrivals struct {
	mu      sync.Mutex
	arrived map[string]time.Time
	news    chan struct{}
}

func newArrivals() *arrivals {
	return &arrivals{arrived: map[string]time.Time{}, news: make(chan struct{}, 1)}
}

func (a *arrivals) note(id string, at time.Time) {
	a.mu.Lock()
	if _, ok := a.arrived[id]; !ok {
		a.arrived[id] = at
	}
	a.mu.Unlock()
	select {
	case a.news <- struct{}{}:
	default:
	}
}

func (a *arrivals) at(id string) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.arrived[id]
	return at, ok
}

const (
	slowRate   = 50 // per second
	slowEvents = 500
)

// measureDeliveryLatency sends few events and looks when each arrives.
func measureDeliveryLatency(ctx context.Context, b *bench) error {
	var p50, p99, sent50 []float64
	for range b.runs {
		accepted, sent, err := b.trickle(ctx)
		if err != nil {
			return err
		}
		p50 = append(p50, millis(accepted.quantile(.5)))
		p99 = append(p99, millis(accepted.quantile(.99)))
		sent50 = append(sent50, millis(sent.quantile(.5)))
	}
	b.add("2xx to delivered at 50/s, p50", "ms", atMost(1), p50...)
	b.add("2xx to delivered at 50/s, p99", "ms", atMost(5), p99...)
	b.add("sent to delivered at 50/s, p50", "ms", nil, sent50...)
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// trickle sends events at the slow rate and returns how long each took from its 2xx, and from when it was sent, to the application. An
// event that arrives before its 2xx is read counts as zero.
func (b *bench) trickle(ctx context.Context) (accepted, sent histogram, err error) {
	seen := newArrivals()
	app, err := startBackend(ctx, seen.note)
	if err != nil {
		return accepted, sent, err
	}
	defer func() { err = errors.Join(err, app.close()) }()
	s, err := b.startGateway(ctx, "gateway-slow", app.url())
	if err != nil {
		return accepted, sent, err
	}
	defer func() { err = errors.Join(err, stopAll(s)) }()
	return s.trickle(ctx, seen)
}

func (s *server) trickle(ctx context.Context, seen *arrivals) (accepted, sent histogram, err error) {
	c, err := dial(ctx, s.addr)
	if err != nil {
		return accepted, sent, err
	}
	defer c.conn.Close()
	q := newRequest(s.addr, "/", 1<<10)
	tick := time.NewTicker(time.Second / slowRate)
	defer tick.Stop()
	for range slowEvents {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return accepted, sent, ctx.Err()
		}
		raw := q.make()
		begun := time.Now()
		status, err := c.do(raw)
		acked := time.Now()
		if err != nil || status != 200 {
			return accepted, sent, errors.Join(err, fmt.Errorf("the gateway answered %d", status))
		}
		at, err := seen.await(ctx, string(q.id))
		if err != nil {
			return accepted, sent, err
		}
		accepted.add(at.Sub(acked))
		sent.add(at.Sub(begun))
	}
	return accepted, sent, nil
}

// await returns when an event arrived.
func (a *arrivals) await(ctx context.Context, id string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for {
		if at, ok := a.at(id); ok {
			return at, nil
		}
		select {
		case <-a.news:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("an event did not arrive: %w", ctx.Err())
		}
	}
}
