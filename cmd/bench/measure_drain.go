package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// measureDrain lets a paused gateway collect events and resumes it, in turns with plain reverse_proxy to the same application.
func measureDrain(ctx context.Context, b *bench) error {
	var drained, proxied series
	for range b.runs {
		if err := b.drainOnce(ctx, &drained, &proxied); err != nil {
			return err
		}
	}
	b.add(fmt.Sprintf("draining %d to a bare reverse_proxy's rate", b.drain), "", atLeast(.6, 0), ratios(drained.rates, proxied.rates)...)
	b.add("drained", "/s", nil, drained.rates...)
	b.add("bare reverse_proxy, 64 connections", "/s", nil, proxied.rates...)
	b.add("gateway's CPU per delivery", "µs", nil, drained.cpu...)
	b.add("bare reverse_proxy's CPU per request", "µs", nil, proxied.cpu...)
	return nil
}

func (b *bench) drainOnce(ctx context.Context, drained, proxied *series) (err error) {
	app, err := startBackend(ctx, nil)
	if err != nil {
		return err
	}
	var proxy, gateway *server
	defer func() { err = errors.Join(err, stopAll(proxy, gateway), app.close()) }()
	if proxy, err = b.startServer(ctx, "proxy", "", fmt.Sprintf(siteProxy, app.url())); err != nil {
		return err
	}
	if gateway, err = b.startPaused(ctx, app.url()); err != nil {
		return err
	}
	fill := load{addr: gateway.addr, path: "/", conns: 64, size: 1 << 10, count: int64(b.drain)}
	out, err := fill.run(ctx)
	if err != nil {
		return err
	}
	if out.refused > 0 {
		return fmt.Errorf("the gateway refused %d events", out.refused)
	}
	if err := rest(ctx, proxy.process, gateway.process); err != nil {
		return err
	}
	if err := proxied.take(ctx, proxy, load{path: "/", conns: 64, size: 1 << 10, time: b.time}); err != nil {
		return err
	}
	if err := rest(ctx, proxy.process, gateway.process); err != nil {
		return err
	}
	return drained.takeDrain(ctx, gateway, app, out.accepted)
}

// takeDrain resumes a paused gateway and waits until n events have arrived.
func (r *series) takeDrain(ctx context.Context, gateway *server, app *backend, n int64) error {
	before, start := app.received.Load(), time.Now()
	cpuBefore, _ := gateway.cpu()
	if err := gateway.operate(ctx, "resume"); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, catchUpMost)
	defer cancel()
	if err := poll(limited, 5*time.Millisecond, func() bool { return app.received.Load()-before >= n }); err != nil {
		return fmt.Errorf("%d of %d events arrived: %w", app.received.Load()-before, n, err)
	}
	r.rates = append(r.rates, float64(n)/time.Since(start).Seconds())
	if cpu, ok := gateway.cpu(); ok {
		r.cpu = append(r.cpu, micros(cpu-cpuBefore)/float64(n))
	}
	return nil
}
