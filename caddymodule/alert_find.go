package caddymodule

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// alertSamples remembers counters, so that rates can be told from them.
type alertSamples struct {
	refused map[string][]countAt // by source, oldest first
	dead    map[string]uint64    // by destination
	died    map[string]time.Time // when a delivery last died
	used    map[string]time.Time // by source and secret: last use; the start of the watch if unknown
	since   time.Time
	last    time.Time // when the counters were read before
}

type countAt struct {
	at time.Time
	n  float64
}

// maxRefusedSamples bounds the samples of one source: a day at the watcher's interval. The oldest are thinned out before.
const maxRefusedSamples = 17280

// observation is the gateway at one moment, with what is needed of the past.
type observation struct {
	samples *alertSamples
	stats   queue.Stats
	status  []delivery.DestinationStatus
	sources map[string]*Handler
}

// begin reads what was counted before the watch, which is no news.
func (s *alertSamples) begin(at time.Time) error {
	if s.refused != nil {
		return nil
	}
	refused, err := refusedBySource()
	if err != nil {
		return err
	}
	s.refused, s.dead, s.died, s.used = map[string][]countAt{}, map[string]uint64{}, map[string]time.Time{}, map[string]time.Time{}
	s.since, s.last = at, at
	for source, n := range refused {
		s.refused[source] = []countAt{{at, n}}
	}
	return nil
}

// refusedBySource counts the requests that sources have refused since the process started.
func refusedBySource() (map[string]float64, error) {
	refused := make(map[string]float64)
	return refused, readMetric(processMetrics.refused, func(labels map[string]string, n float64) { refused[labels["source"]] += n })
}

// take reads the counters.
func (s *alertSamples) take(ctx context.Context, rt *runtime, app *App, at time.Time) (*observation, error) {
	if err := s.begin(at); err != nil {
		return nil, err
	}
	o := &observation{samples: s}
	var err error
	if o.stats, err = rt.stats(ctx); err != nil {
		return nil, fmt.Errorf("reading counters: %w", err)
	}
	if o.status, err = rt.engine.Status(ctx); err != nil {
		return nil, fmt.Errorf("reading the state of destinations: %w", err)
	}
	app.mu.Lock()
	o.sources = maps.Clone(app.sources)
	app.mu.Unlock()
	for name, died := range rt.hub.deaths() {
		if died.After(s.died[name]) {
			s.died[name] = died
		}
	}
	for name, d := range o.stats.Destinations { // a damaged event dies in the store; its deaths before the watch are no news
		if d.Dead > s.dead[name] && at.After(s.since) {
			s.died[name] = at
		}
		s.dead[name] = d.Dead
	}
	refused, err := refusedBySource()
	if err != nil {
		return nil, err
	}
	for source, n := range refused {
		history := s.refused[source]
		if history == nil { // it has refused nothing before
			history = []countAt{{s.last, 0}}
		}
		history = append(history, countAt{at, n})
		s.refused[source] = history[max(0, len(history)-maxRefusedSamples):]
	}
	s.last = at
	return o, readMetric(processMetrics.secretUsed, func(labels map[string]string, unix float64) {
		s.used[labels["source"]+"/"+labels["index"]] = time.Unix(int64(unix), 0)
	})
}

// find returns what of a rule holds.
func (o *observation) find(r AlertRule, at time.Time) (found []finding) {
	limit := time.Duration(r.For)
	add := func(subject, format string, args ...any) {
		found = append(found, finding{Kind: r.Kind, Subject: subject, Summary: fmt.Sprintf(format, args...)})
	}
	switch r.Kind {
	case "dead":
		for _, name := range slices.Sorted(maps.Keys(o.samples.died)) {
			if at.Sub(o.samples.died[name]) < limit {
				add(name, "deliveries to %s die: %d are dead", name, o.stats.Destinations[name].Dead)
			}
		}
	case "breaker_open":
		for _, d := range o.status {
			if d.Breaker != delivery.BreakerClosed {
				add(d.Name, "breaker of %s is open: %d deliveries are held", d.Name, d.Pending)
			}
		}
	case "oldest_pending":
		for _, d := range o.status {
			if age := at.Sub(d.OldestPending); !d.OldestPending.IsZero() && age > limit {
				add(d.Name, "oldest of %d pending deliveries to %s is more than %s old", d.Pending, d.Name, limit)
			}
		}
	case "refused":
		for _, source := range slices.Sorted(maps.Keys(o.samples.refused)) {
			if n := o.samples.refusedSince(source, at.Add(-limit)); n > float64(r.Count) {
				add(source, "source %s refused more than %d requests in %s", source, r.Count, limit)
			}
		}
	case "silent":
		if last := o.lastEvent(r.Source); at.Sub(last) > limit {
			add(r.Source, "source %s has brought no event for more than %s", r.Source, limit)
		}
	case "disk_low":
		if o.stats.FreeBytes >= 0 && o.stats.FreeBytes < r.Count {
			add("", "less than %s are free on the store's disk", humanize.IBytes(uint64(r.Count)))
		}
	case "secret_old":
		for _, name := range sortedKeys(o.sources) {
			if r.Source == "" || r.Source == name {
				o.oldSecrets(o.sources[name], at, limit, add)
			}
		}
	case "secret_unused":
		for _, name := range sortedKeys(o.sources) {
			if r.Source == "" || r.Source == name {
				o.unusedSecrets(o.sources[name], at, limit, add)
			}
		}
	}
	return found
}

// refusedSince is how many requests of a source were refused since a moment.
func (s *alertSamples) refusedSince(source string, since time.Time) float64 {
	history := s.refused[source]
	i, _ := slices.BinarySearchFunc(history, since, func(c countAt, t time.Time) int { return c.at.Compare(t) })
	if i == len(history) {
		return 0
	}
	return history[len(history)-1].n - history[i].n
}

// lastEvent is when a source last brought an event; the beginning of the watch if it never did.
func (o *observation) lastEvent(source string) time.Time {
	if last := o.stats.Sources[source].LastEvent; last.After(o.samples.since) || !last.IsZero() {
		return last
	}
	return o.samples.since
}

func (o *observation) unusedSecrets(h *Handler, at time.Time, limit time.Duration, add func(subject, format string, args ...any)) {
	for i := range h.secrets.get(at) {
		last, ok := o.samples.used[h.Name+"/"+strconv.Itoa(i)]
		if !ok {
			last = o.samples.since
		}
		if at.Sub(last) > limit {
			add(h.Name+"/"+strconv.Itoa(i+1), "secret %d of source %s has verified nothing for more than %s: it can probably be removed", i+1, h.Name, limit)
		}
	}
}

// oldSecrets tells secrets whose file was not changed for long. Nothing else is known of a secret's age: none for those from elsewhere, nor when a provider lets one expire.
func (o *observation) oldSecrets(h *Handler, at time.Time, limit time.Duration, add func(subject, format string, args ...any)) {
	for i, changed := range h.secrets.changed() {
		if !changed.IsZero() && at.Sub(changed) > limit {
			add(h.Name+"/"+strconv.Itoa(i+1), "the file of secret %d of source %s was not changed for more than %s: the secret may be due for rotation", i+1, h.Name, limit)
		}
	}
}

// changed is when each secret was changed last; zero if that is not known: then it is no file.
func (set *secretSet) changed() []time.Time {
	set.mu.Lock()
	defer set.mu.Unlock()
	times := make([]time.Time, len(set.sources))
	for i, s := range set.sources {
		times[i] = s.mtime
	}
	return times
}
