package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	metaRollup      = "rollup/"
	rollupSaveEvery = 5 * time.Minute // a crash loses at most as much of the charts, and nothing else
	rollupSaveTime  = 10 * time.Second
)

// savedSeries is one hour of a series as the store keeps it.
type savedSeries struct {
	Kind    string                 `json:"kind"`
	Name    string                 `json:"name"`
	Counts  [][1 + counters]uint32 `json:"counts,omitempty"`  // minute of the hour, and its counts
	Latency [][3]uint32            `json:"latency,omitempty"` // quarter of the hour, bucket, count
	Changes []breakerChange        `json:"changes,omitempty"`
}

func (s *savedSeries) empty() bool {
	return len(s.Counts) == 0 && len(s.Latency) == 0 && len(s.Changes) == 0
}

// rollupKeeper owns a rollup: it reads what an earlier process saved, and saves from time to time.
type rollupKeeper struct {
	*rollup
	meta   queue.Metadata
	logger *zap.Logger
	saved  int64  // first hour that may have changed since it was saved
	logged uint64 // number of the newest request of the log that was saved
	used   []savedUse
	stop   chan struct{}
	done   chan struct{}
}

// keepRollup begins to keep a rollup in a store. What cannot be read is left out: charts are a convenience.
func keepRollup(meta queue.Metadata, logger *zap.Logger) *rollupKeeper {
	k := &rollupKeeper{rollup: newRollup(), meta: meta, logger: logger, saved: now().Unix() / 3600, stop: make(chan struct{}), done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), rollupSaveTime)
	defer cancel()
	if err := errors.Join(k.load(ctx), k.loadLog(ctx), k.loadUses(ctx)); err != nil {
		logger.Warn("charts of the time before the start cannot be read", zap.Error(err))
	}
	go k.run()
	return k
}

// close saves what there is and ends the keeper.
func (k *rollupKeeper) close() {
	close(k.stop)
	<-k.done
}

func (k *rollupKeeper) run() {
	defer close(k.done)
	tick := time.NewTicker(rollupSaveEvery)
	defer tick.Stop()
	for last := false; !last; {
		select {
		case <-tick.C:
		case <-k.stop:
			last = true
		}
		if err := k.saveAll(); err != nil {
			k.logger.Warn("charts were not saved", zap.Error(err))
		}
	}
}

func (k *rollupKeeper) saveAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), rollupSaveTime)
	defer cancel()
	return errors.Join(k.save(ctx), k.saveLog(ctx), k.saveUses(ctx))
}

// save writes the hours that changed and removes those that are too old to be shown.
func (k *rollupKeeper) save(ctx context.Context) error {
	current := now().Unix() / 3600
	k.forget((current - 24) * 60)
	for hour := max(k.saved, current-24); hour <= current; hour++ {
		if err := k.saveHour(ctx, hour); err != nil {
			return err
		}
		k.saved = hour
	}
	return k.prune(ctx, current-25)
}

func (k *rollupKeeper) saveHour(ctx context.Context, hour int64) error {
	p := &pageWriter{ctx: ctx, meta: k.meta, prefix: fmt.Sprintf("%s%010d/", metaRollup, hour)}
	for _, key := range k.keys() {
		s := k.of(key.kind, key.name)
		if s == nil { // forgotten in the meantime, and too many others came
			continue
		}
		saved := s.hour(hour)
		if saved.empty() {
			continue
		}
		saved.Kind, saved.Name = key.kind, key.name
		if err := p.add(saved); err != nil {
			return err
		}
	}
	return p.flush()
}

// keys are the names of all series, in order.
func (r *rollup) keys() []seriesKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	keys := make([]seriesKey, 0, len(r.series))
	for key := range r.series {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b seriesKey) int { return strings.Compare(a.kind+"/"+a.name, b.kind+"/"+b.name) })
	return keys
}

// hour returns what happened in an hour since 1970.
func (s *series) hour(hour int64) (saved savedSeries) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range int64(60) {
		c := &s.minutes[(hour*60+m)%rollupMinutes]
		if c.minute == hour*60+m {
			saved.Counts = append(saved.Counts, [1 + counters]uint32{uint32(m), c.n[0], c.n[1], c.n[2], c.n[3]})
		}
	}
	for q := range int64(4) {
		l := &s.quarters[(hour*4+q)%rollupQuarters]
		if l.quarter != hour*4+q {
			continue
		}
		for bucket, n := range l.n {
			if n > 0 {
				saved.Latency = append(saved.Latency, [3]uint32{uint32(q), uint32(bucket), n})
			}
		}
	}
	for _, c := range s.changes {
		if c.At.Unix()/3600 == hour {
			saved.Changes = append(saved.Changes, c)
		}
	}
	return saved
}

// load reads the hours that are still of interest.
func (k *rollupKeeper) load(ctx context.Context) error {
	oldest := now().Unix()/3600 - 24
	var failed error
	err := k.meta.ListMeta(ctx, metaRollup, "", func(key string, value []byte) bool {
		hour, ok := rollupHour(key)
		if !ok || hour < oldest {
			return true
		}
		var page []savedSeries
		if err := json.Unmarshal(value, &page); err != nil {
			failed = fmt.Errorf("entry %s: %w", key, err)
			return true
		}
		for i := range page {
			k.restore(hour, &page[i])
		}
		return true
	})
	if err != nil {
		return err
	}
	return failed
}

func (k *rollupKeeper) restore(hour int64, saved *savedSeries) {
	s := k.of(saved.Kind, saved.Name)
	if s == nil {
		return
	}
	for _, c := range saved.Counts {
		at := time.Unix((hour*60+int64(c[0]%60))*60, 0)
		for counter, n := range c[1:] {
			s.add(at, counter, n)
		}
	}
	for _, l := range saved.Latency {
		if l[1] < latencyBuckets {
			s.addLatency(hour*4+int64(l[0]%4), int(l[1]), l[2])
		}
	}
	for _, c := range saved.Changes { // hours are read in their order
		k.breaker(saved.Name, c)
	}
}

// prune removes hours before one.
func (k *rollupKeeper) prune(ctx context.Context, before int64) error {
	var old []string
	err := k.meta.ListMeta(ctx, metaRollup, "", func(key string, _ []byte) bool {
		hour, ok := rollupHour(key)
		if ok && hour >= before {
			return false // the rest is newer
		}
		old = append(old, key)
		return true
	})
	if err != nil {
		return err
	}
	for _, key := range old {
		if err := k.meta.PutMeta(ctx, key, nil); err != nil {
			return err
		}
	}
	return nil
}

// rollupHour reads the hour of an entry's key.
func rollupHour(key string) (int64, bool) {
	text, _, _ := strings.Cut(strings.TrimPrefix(key, metaRollup), "/")
	hour, err := strconv.ParseInt(text, 10, 64)
	return hour, err == nil
}
