package caddymodule

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// alertSamples remembers counters, so that rates can be told from them.
type alertSamples struct {
	refused   map[string][]countAt // by source, oldest first
	dead      map[string]uint64    // by destination
	died      map[string]time.Time // when a delivery last died
	delivered map[string]uint64    // by destination: before the first look
	since     time.Time
	last      time.Time // when the counters were read before
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
	uses    bool // the use of secrets is known from before the watch on
}

// begin reads what was counted before the watch, which is no news.
func (s *alertSamples) begin(at time.Time, past *rollup) error {
	if s.refused != nil {
		return nil
	}
	refused, err := refusedBySource()
	if err != nil {
		return err
	}
	s.refused, s.died, s.since, s.last = map[string][]countAt{}, past.lastDeaths(), at, at
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
	if err := s.begin(at, rt.rollup.rollup); err != nil {
		return nil, err
	}
	o := &observation{samples: s, sources: app.allSources(), uses: rt.rollup.uses.isWhole()}
	var err error
	if o.stats, err = rt.stats(ctx); err != nil {
		return nil, fmt.Errorf("reading counters: %w", err)
	}
	if o.status, err = rt.engine.Status(ctx); err != nil {
		return nil, fmt.Errorf("reading the state of destinations: %w", err)
	}
	for name, died := range rt.hub.deaths() {
		if died.After(s.died[name]) {
			s.died[name] = died
		}
	}
	s.count(o.stats.Destinations, at)
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
	return o, nil
}

// count notes deaths of which nobody else tells: those of damaged events, which die in the store. What is dead at the first look is no news.
func (s *alertSamples) count(destinations map[string]queue.DestinationStats, at time.Time) {
	first := s.dead == nil
	if first {
		s.dead, s.delivered = map[string]uint64{}, map[string]uint64{}
	}
	for name, d := range destinations {
		if first {
			s.delivered[name] = d.Delivered
		} else if d.Dead > s.dead[name] {
			s.died[name] = at
		}
		s.dead[name] = d.Dead
	}
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

// lastDeaths is when a delivery to each destination was last given up: the beginning of that minute.
func (r *rollup) lastDeaths() map[string]time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	died := make(map[string]time.Time)
	for key, s := range r.series {
		if key.kind != rollupDestination {
			continue
		}
		s.mu.Lock()
		for i := range s.minutes {
			c := &s.minutes[i]
			if at := time.Unix(c.minute*60, 0); c.n[countDead] > 0 && at.After(died[key.name]) {
				died[key.name] = at
			}
		}
		s.mu.Unlock()
	}
	return died
}
