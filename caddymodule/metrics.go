package caddymodule

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-webhooks/sluice/queue"
)

// Results of a request, as the label of caddy_webhooks_requests_total.
const (
	resultAccepted  = "accepted"
	resultDuplicate = "duplicate"
	resultRefused   = "refused"
	resultHandshake = "handshake"
	resultError     = "error"
)

// metrics are the collectors of the process. Caddy makes a new registry for each configuration and the collectors are registered with each of
// them, so that counters go on over a reload.
type metrics struct {
	requests   *prometheus.CounterVec
	refused    *prometheus.CounterVec
	ack        *prometheus.HistogramVec
	verify     *prometheus.HistogramVec
	commit     *prometheus.HistogramVec
	secretUsed *prometheus.GaugeVec
	secretHits *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	attemptSec *prometheus.HistogramVec
	age        *prometheus.HistogramVec
	deliveries *prometheus.CounterVec
	breaker    *prometheus.GaugeVec
}

var processMetrics = newMetrics()

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "caddy", Subsystem: "webhooks", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "caddy", Subsystem: "webhooks", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "caddy", Subsystem: "webhooks", Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{label})
	}
	fast := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	slow := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	ages := []float64{.01, .1, 1, 10, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 72 * 3600}
	return &metrics{
		requests:   counter("requests_total", "Requests from providers by what became of them.", "source", "provider", "result"),
		refused:    counter("refused_total", "Refused requests by reason.", "source", "reason"),
		ack:        histogram("ack_seconds", "Time from the first byte of a request to its 2xx.", fast, "source"),
		verify:     histogram("verify_seconds", "Time to verify a request.", []float64{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1}, "source"),
		commit:     histogram("commit_seconds", "Time until the events of a request are durable.", fast, "source"),
		secretUsed: gauge("secret_last_used_timestamp_seconds", "When a live secret last verified a request, by its place in the configuration.", "source", "index"),
		secretHits: counter("secret_matches_total", "Requests that a live secret verified, by its place in the configuration.", "source", "index"),
		attempts:   counter("attempts_total", "Attempts by outcome: delivered, or the class of the failure.", "destination", "outcome"),
		attemptSec: histogram("attempt_seconds", "Time an attempt took.", slow, "destination"),
		age:        histogram("delivery_age_seconds", "Age of an event when it was delivered.", ages, "destination"),
		deliveries: counter("deliveries_total", "Deliveries that came to an end, by state.", "destination", "state"),
		breaker:    gauge("breaker_open", "1 while the destination's breaker is open or half open.", "destination"),
	}
}

// sourceMeters are the metrics that each accepted request of a source writes, looked up once.
type sourceMeters struct {
	ack, verify, commit prometheus.Observer
	results             map[string]prometheus.Counter // of accepted requests and duplicates

	all     *metrics
	name    string
	secrets sync.Map // by index, *secretMeters, from when each is used: before, it has no series
}

// secretMeters are the metrics of one secret of a source.
type secretMeters struct {
	hits prometheus.Counter
	used prometheus.Gauge
}

// secret returns the metrics of the secret with an index.
func (m *sourceMeters) secret(index int) *secretMeters {
	if known, ok := m.secrets.Load(index); ok {
		return known.(*secretMeters)
	}
	label := strconv.Itoa(index)
	found := &secretMeters{hits: m.all.secretHits.WithLabelValues(m.name, label), used: m.all.secretUsed.WithLabelValues(m.name, label)}
	m.secrets.Store(index, found)
	return found
}

func (m *metrics) source(name, provider string) *sourceMeters {
	meters := &sourceMeters{
		ack: m.ack.WithLabelValues(name), verify: m.verify.WithLabelValues(name), commit: m.commit.WithLabelValues(name),
		results: map[string]prometheus.Counter{}, all: m, name: name,
	}
	for _, result := range []string{resultAccepted, resultDuplicate} {
		meters.results[result] = m.requests.WithLabelValues(name, provider, result)
	}
	return meters
}

// collectors are those of the process.
func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.requests, m.refused, m.ack, m.verify, m.commit, m.secretUsed, m.secretHits, m.attempts, m.attemptSec, m.age, m.deliveries, m.breaker,
	}
}

// registerMetrics registers the process's collectors, and one that reads the store and engine of this configuration.
func registerMetrics(registry *prometheus.Registry, app *App) *metrics {
	m := processMetrics
	for _, c := range append(m.collectors(), &storeCollector{app: app}) {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			panic(err) // two collectors of this package contradict each other
		}
	}
	return m
}

// storeCollector reads gauges when they are asked for, in place of a loop that sets them.
type storeCollector struct{ app *App }

var (
	descPending = prometheus.NewDesc("caddy_webhooks_pending", "Deliveries that are pending, leased or held.", []string{"destination"}, nil)
	descOldest  = prometheus.NewDesc("caddy_webhooks_oldest_pending_seconds", "Age of the oldest pending delivery's event; 0 if none is pending.",
		[]string{"destination"}, nil)
	descDead   = prometheus.NewDesc("caddy_webhooks_dead", "Dead deliveries that are kept.", []string{"destination"}, nil)
	descBytes  = prometheus.NewDesc("caddy_webhooks_store_bytes", "Bytes that the store uses on disk.", nil, nil)
	descFree   = prometheus.NewDesc("caddy_webhooks_store_free_bytes", "Bytes free on the store's disk.", nil, nil)
	descEvents = prometheus.NewDesc("caddy_webhooks_store_events", "Events that the store keeps.", nil, nil)

	descCommits   = prometheus.NewDesc("caddy_webhooks_store_commits_total", "Synced groups of events: requests that arrive together share one.", nil, nil)
	descCommitted = prometheus.NewDesc("caddy_webhooks_store_committed_events_total", "Events in the synced groups: divided by their number, the size of a group.", nil, nil)
	descPruned    = prometheus.NewDesc("caddy_webhooks_store_pruned_events_total", "Events that retention removed.", nil, nil)
	descCollected = prometheus.NewDesc("caddy_webhooks_store_gc_total", "Times that space of removed events was given back to the disk.", nil, nil)
)

// storeDescs are the metrics that storeCollector makes.
var storeDescs = []*prometheus.Desc{
	descPending, descOldest, descDead, descBytes, descFree, descEvents, descCommits, descCommitted, descPruned, descCollected,
}

// Describe implements prometheus.Collector.
func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range storeDescs {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A gateway that is not running yet, or a store that fails, has no gauges.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	rt := c.app.ready.Load()
	if rt == nil {
		return
	}
	stats, err := rt.stats(context.Background())
	if err != nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c.collectWork(ch, rt.store.Work())
	names := make(map[string]bool)
	for name := range stats.Destinations {
		names[name] = true
	}
	for _, name := range c.app.destinationNames() { // one that has seen no event yet shows a zero, so that alerts can rely on it
		names[name] = true
	}
	for name := range names {
		s := stats.Destinations[name]
		gauge(descPending, float64(s.Pending), name)
		gauge(descDead, float64(s.Dead), name)
		age := 0.0
		if !s.OldestPending.IsZero() {
			age = now().Sub(s.OldestPending).Seconds()
		}
		gauge(descOldest, age, name)
	}
	gauge(descBytes, float64(stats.Bytes))
	gauge(descEvents, float64(stats.Events))
	if stats.FreeBytes >= 0 {
		gauge(descFree, float64(stats.FreeBytes))
	}
}

// collectWork makes the counters of the store's own work.
func (c *storeCollector) collectWork(ch chan<- prometheus.Metric, w queue.Work) {
	for _, counter := range []struct {
		desc *prometheus.Desc
		n    uint64
	}{{descCommits, w.Commits}, {descCommitted, w.Committed}, {descPruned, w.Pruned}, {descCollected, w.Collected}} {
		ch <- prometheus.MustNewConstMetric(counter.desc, prometheus.CounterValue, float64(counter.n))
	}
}
