package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// A gateway with two destinations: what comes to /stuck goes to one that hangs, everything else to the application.
const (
	optionsNeighbours = `webhooks {
		store badger %s
		destination application {
			to %s
			format original
		}
		destination stuck {
			to %s
			format original
		}
	}`
	siteNeighbours = `handle /stuck {
		webhook github {
			name stuck
			secret "` + secret + `"
			forward stuck
		}
	}
	handle {
		` + siteGateway + `
	}`
)

// neighbours is a gateway whose destination stuck hangs; the application is the one that is looked at.
type neighbours struct {
	gateway     *server
	app, hanger *backend
	seen        *arrivals
}

func (b *bench) startNeighbours(ctx context.Context, name string) (n *neighbours, end func() error, err error) {
	n = &neighbours{seen: newArrivals()}
	if n.app, err = startBackend(ctx, n.seen.note); err != nil {
		return nil, nil, err
	}
	if n.hanger, err = (&backend{hangs: true}).start(ctx); err != nil {
		return nil, nil, errors.Join(err, n.app.close())
	}
	end = func() error { return errors.Join(n.hanger.close(), stopAll(n.gateway), n.app.close()) }
	store := filepath.Join(b.dir, fmt.Sprintf("%s-store-%d", name, b.servers))
	n.gateway, err = b.startConfigured(ctx, name, fmt.Sprintf(optionsNeighbours, store, n.app.url(), n.hanger.url()), siteNeighbours)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return n, end, nil
}

// burden gives the destination that hangs a backlog, and lets it hang.
func (n *neighbours) burden(ctx context.Context, events int) error {
	if err := n.gateway.operateOn(ctx, "stuck", "pause"); err != nil {
		return err
	}
	out, err := (&load{addr: n.gateway.addr, path: "/stuck", conns: 64, size: 1 << 10, count: int64(events)}).run(ctx)
	if err != nil {
		return err
	}
	if out.refused > 0 {
		return fmt.Errorf("the gateway refused %d events", out.refused)
	}
	return n.gateway.operateOn(ctx, "stuck", "resume")
}

// neighbourSeries is what the runs have seen of the application.
type neighbourSeries struct {
	series
	delivered, latency50, latency99, memory []float64
}

func (r *neighbourSeries) take(ctx context.Context, n *neighbours, d time.Duration) error {
	before, start := n.app.received.Load(), time.Now()
	if err := r.series.take(ctx, n.gateway, load{path: "/", conns: 16, size: 1 << 10, time: d}); err != nil {
		return err
	}
	r.delivered = append(r.delivered, float64(n.app.received.Load()-before)/time.Since(start).Seconds())
	if err := rest(ctx, n.gateway.process); err != nil {
		return err
	}
	_, sent, err := n.gateway.trickle(ctx, n.seen)
	if err != nil {
		return err
	}
	r.latency50 = append(r.latency50, millis(sent.quantile(.5)))
	r.latency99 = append(r.latency99, millis(sent.quantile(.99)))
	if mib, ok := anonymous(n.gateway.cmd.Process.Pid); ok {
		r.memory = append(r.memory, mib)
	}
	return nil
}

// measureIsolation loads the application of two gateways, in turns: one with nothing else to do, and one that has a backlog for a destination that hangs.
func measureIsolation(ctx context.Context, b *bench) (err error) {
	alone, endAlone, err := b.startNeighbours(ctx, "alone")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endAlone()) }()
	beside, endBeside, err := b.startNeighbours(ctx, "beside")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endBeside()) }()
	if err := beside.burden(ctx, b.stuck); err != nil {
		return err
	}
	var free, burdened neighbourSeries
	for run := range b.runs {
		turns := []func() error{
			func() error { return free.take(ctx, alone, max(b.time, 4*time.Second)) },
			func() error { return burdened.take(ctx, beside, max(b.time, 4*time.Second)) },
		}
		for i := range turns {
			if err := rest(ctx, alone.gateway.process, beside.gateway.process); err != nil {
				return err
			}
			if err := turns[(i+run)%len(turns)](); err != nil {
				return err
			}
		}
	}
	name := fmt.Sprintf("beside a destination that hangs with %d pending, to without: ", b.stuck)
	b.add(name+"accepted/s, 16 connections", "", atLeast(.95, 0), ratios(burdened.rates, free.rates)...)
	b.add(name+"delivered/s", "", atLeast(.95, 0), ratios(burdened.delivered, free.delivered)...)
	b.add(name+"sent to delivered at 50/s, p50", "", atMost(1.05), ratios(burdened.latency50, free.latency50)...)
	b.add(name+"sent to delivered at 50/s, p99", "", atMost(1.05), ratios(burdened.latency99, free.latency99)...)
	b.add(name+"anonymous memory", "", nil, ratios(burdened.memory, free.memory)...)
	b.add("delivered/s, with", "/s", nil, burdened.delivered...)
	b.add("delivered/s, without", "/s", nil, free.delivered...)
	b.add("sent to delivered at 50/s, p99, with", "ms", nil, burdened.latency99...)
	b.add("sent to delivered at 50/s, p99, without", "ms", nil, free.latency99...)
	b.add("anonymous memory, with", "MiB", nil, burdened.memory...)
	b.add("anonymous memory, without", "MiB", nil, free.memory...)
	return nil
}
