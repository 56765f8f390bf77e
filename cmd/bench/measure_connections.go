package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// connectionGoals are the ratios to reach at 1 KiB, by connections.
var connectionGoals = map[int]*goal{1: atLeast(.25, .30), 16: atLeast(.45, .55), 64: atLeast(.55, .70), 256: atLeast(.50, .70)}

// series is what the runs of one load at one server have measured.
type series struct {
	rates, p50, p99, cpu []float64 // per second, µs, µs, µs of the server per request
}

// take runs a load once.
func (r *series) take(ctx context.Context, s *server, l load) error {
	l.addr = s.addr
	before, _ := s.cpu()
	out, err := l.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	after, measurable := s.cpu()
	if out.accepted == 0 || out.refused > 0 {
		return fmt.Errorf("%s accepted %d requests and refused %d", s.name, out.accepted, out.refused)
	}
	r.rates = append(r.rates, out.rate())
	r.p50 = append(r.p50, micros(out.latency.quantile(.5)))
	r.p99 = append(r.p99, micros(out.latency.quantile(.99)))
	if measurable {
		requests := float64(out.accepted) * (1 + warmUp)
		r.cpu = append(r.cpu, micros(after-before)/requests)
	}
	return nil
}

// takeWAL runs a load once on an ideal log. It tells what the disk does at the moment: on rented machines that changes by the minute.
func (r *series) takeWAL(dir string, l load) error {
	out, err := walLoad(dir, l.conns, l.size, min(l.time, 2*time.Second))
	if err != nil {
		return err
	}
	r.rates = append(r.rates, out.rate())
	r.p50 = append(r.p50, micros(out.latency.quantile(.5)))
	r.p99 = append(r.p99, micros(out.latency.quantile(.99)))
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// pair is the gateway beside plain Caddy.
type pair struct{ plain, gateway *server }

func (b *bench) startPair(ctx context.Context) (p pair, end func() error, err error) {
	app, err := startBackend(ctx, nil)
	if err != nil {
		return p, nil, err
	}
	end = func() error { return errors.Join(stopAll(p.plain, p.gateway), app.close()) }
	if p.plain, err = b.startServer(ctx, "plain", "", sitePlain); err == nil {
		p.gateway, err = b.startPaused(ctx, app.url())
	}
	if err != nil {
		return p, nil, errors.Join(err, end())
	}
	return p, end, nil
}

// compare runs a load at both and the same number of writers on an ideal log, in turns.
func (b *bench) compare(ctx context.Context, p pair, l load, runs int) (plain, gateway, log series, err error) {
	for run := range runs {
		turns := []func() error{
			func() error { return plain.take(ctx, p.plain, l) },
			func() error { return gateway.take(ctx, p.gateway, l) },
			func() error { return log.takeWAL(b.dir, l) },
		}
		for i := range turns {
			if err := rest(ctx, p.plain.process, p.gateway.process); err != nil {
				return plain, gateway, log, err
			}
			if err := turns[(i+run)%len(turns)](); err != nil {
				return plain, gateway, log, err
			}
		}
	}
	return plain, gateway, log, nil
}

func measureConnections(ctx context.Context, b *bench) (err error) {
	p, end, err := b.startPair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	for _, size := range b.sizes {
		for _, conns := range b.conns {
			l := load{path: "/", conns: conns, size: size, time: b.time}
			plain, gateway, log, err := b.compare(ctx, p, l, b.runs)
			if err != nil {
				return err
			}
			b.addComparison(fmt.Sprintf("%d KiB, %d connections", size>>10, conns), size, conns, &plain, &gateway, &log)
		}
	}
	return b.profileGateway(ctx, p)
}

func (b *bench) addComparison(name string, size, conns int, plain, gateway, log *series) {
	var rate, tail *goal
	if size == 1<<10 {
		rate = connectionGoals[conns]
		if conns == 64 {
			tail = atMost(1.5)
		}
	}
	b.add(name+": 2xx/s to plain", "", rate, ratios(gateway.rates, plain.rates)...)
	b.add(name+": p99 to plain", "", tail, ratios(gateway.p99, plain.p99)...)
	b.add(name+": 2xx/s to ideal log", "", nil, ratios(gateway.rates, log.rates)...)
	if conns == 1 {
		// One connection waits for both, one after the other: this is what the gateway itself adds, on a disk of any speed.
		b.add(name+": 2xx/s to plain and ideal log in sequence", "", nil, ratios(gateway.rates, inSequence(plain.rates, log.rates))...)
	}
	b.add(name+": gateway", "/s", nil, gateway.rates...)
	b.add(name+": ideal log", "/s", nil, log.rates...)
	b.add(name+": ideal log p50", "µs", nil, log.p50...)
	b.add(name+": ideal log p99", "µs", nil, log.p99...)
	b.add(name+": plain", "/s", nil, plain.rates...)
	b.add(name+": gateway p50", "µs", nil, gateway.p50...)
	b.add(name+": gateway p99", "µs", nil, gateway.p99...)
	b.add(name+": plain p50", "µs", nil, plain.p50...)
	b.add(name+": plain p99", "µs", nil, plain.p99...)
	b.add(name+": gateway's CPU per request", "µs", nil, gateway.cpu...)
	b.add(name+": plain's CPU per request", "µs", nil, plain.cpu...)
}

// inSequence returns the rates at which somebody does one thing and then the other.
func inSequence(a, b []float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = 1 / (1/a[i] + 1/b[i])
	}
	return out
}

// profileGateway writes the profile that was asked for.
func (b *bench) profileGateway(ctx context.Context, p pair) error {
	if b.cpuProfile == "" {
		return nil
	}
	path, err := filepath.Abs(b.cpuProfile)
	if err != nil {
		return err
	}
	d := max(b.time, 5*time.Second)
	done := make(chan error, 1)
	go func() { done <- p.gateway.profile(ctx, path, d) }()
	var under series
	err = under.take(ctx, p.gateway, load{path: "/", conns: 64, size: 1 << 10, time: d})
	b.add("while profiled: gateway", "/s", nil, under.rates...)
	return errors.Join(err, <-done)
}

func measureSustained(ctx context.Context, b *bench) (err error) {
	p, end, err := b.startPair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	plain, gateway, _, err := b.compare(ctx, p, load{path: "/", conns: 64, size: 1 << 10, time: b.sustained}, 1)
	if err != nil {
		return err
	}
	name := "64 connections over " + b.sustained.String()
	b.add(name+": 2xx/s to plain", "", atLeast(.5, 0), ratios(gateway.rates, plain.rates)...)
	b.add(name+": p99 to plain", "", atMost(1.5), ratios(gateway.p99, plain.p99)...)
	b.add(name+": gateway", "/s", nil, gateway.rates...)
	b.add(name+": gateway p99", "µs", nil, gateway.p99...)
	b.add(name+": gateway's CPU per request", "µs", nil, gateway.cpu...)
	if mib, ok := anonymous(p.gateway.cmd.Process.Pid); ok {
		b.add(name+": gateway's anonymous memory", "MiB", nil, mib)
	}
	return nil
}

// measureAfterBurst compares the latency of one connection on a fresh store with the latency after a burst of load, each time with a store of its own.
func measureAfterBurst(ctx context.Context, b *bench) error {
	var fresh, after []float64
	for range b.runs {
		before, behind, err := b.burst(ctx)
		if err != nil {
			return err
		}
		fresh, after = append(fresh, before), append(after, behind)
	}
	b.add("p50 at 1 connection after a burst to p50 on a fresh store", "", atMost(1.2), ratios(after, fresh)...)
	b.add("p50 on a fresh store", "µs", nil, fresh...)
	return nil
}

func (b *bench) burst(ctx context.Context) (fresh, after float64, err error) {
	p, end, err := b.startPair(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	var single, burst series
	for _, step := range []struct {
		to    *series
		conns int
		time  time.Duration
	}{{&single, 1, b.time}, {&burst, 64, max(b.time, 10*time.Second)}, {&single, 1, b.time}} {
		if err := rest(ctx, p.gateway.process); err != nil {
			return 0, 0, err
		}
		if err := step.to.take(ctx, p.gateway, load{path: "/", conns: step.conns, size: 1 << 10, time: step.time}); err != nil {
			return 0, 0, err
		}
	}
	return single.p50[0], single.p50[1], nil
}
