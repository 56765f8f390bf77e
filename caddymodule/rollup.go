package caddymodule

import (
	"math"
	"sync"
	"time"
)

// Kinds of series.
const (
	rollupSource      = "source"
	rollupDestination = "destination"
)

// What a series counts, by kind.
const (
	countAccepted = iota // of a source: requests by their result
	countDuplicate
	countRefused
	countError

	countDelivered = iota - 4 // of a destination: attempts that succeeded, attempts that failed, deliveries that died
	countFailed
	countDead

	counters = 4
)

const (
	rollupMinutes  = 24 * 60
	rollupQuarters = 24 * 4 // of an hour
	latencyBuckets = 42
	maxSeries      = 512 // of which each takes some 50 KiB
	maxChanges     = 50  // of one breaker that are remembered
)

// rollup keeps the last 24 hours of what sources took in and destinations were sent: counts by the minute, and latencies by the quarter of an hour, so that no
// page ever counts by scanning. It is written at the moment something happens and saved now and then by a [rollupKeeper].
type rollup struct {
	mu     sync.RWMutex
	series map[seriesKey]*series
	log    requestLog
	uses   secretUses
}

type seriesKey struct{ kind, name string }

// series is one source or destination. Each place of a ring says which minute, or quarter, it is about.
type series struct {
	mu       sync.Mutex
	minutes  [rollupMinutes]minuteCounts
	quarters [rollupQuarters]latencies
	changes  []breakerChange // of a destination, oldest first
}

// breakerChange is a breaker that opened, closed or began to probe.
type breakerChange struct {
	At    time.Time `json:"at"`
	State string    `json:"state"`
}

type minuteCounts struct {
	minute int64 // since 1970
	n      [counters]uint32
}

type latencies struct {
	quarter int64 // since 1970
	n       [latencyBuckets]uint32
}

func newRollup() *rollup { return &rollup{series: make(map[seriesKey]*series)} }

// of returns a series, and makes it; nil if there are too many. Series of names that are gone leave when nothing has happened to them for a day: see forget.
func (r *rollup) of(kind, name string) *series {
	key := seriesKey{kind, name}
	r.mu.RLock()
	s := r.series[key]
	r.mu.RUnlock()
	if s != nil {
		return s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s = r.series[key]; s == nil && len(r.series) < maxSeries {
		s = new(series)
		r.series[key] = s
	}
	return s
}

// request counts a request of a source. Handshakes are not counted.
func (r *rollup) request(source, result string, at time.Time, took time.Duration) {
	var counter int
	switch result {
	case resultAccepted:
		counter = countAccepted
	case resultDuplicate:
		counter = countDuplicate
	case resultRefused:
		counter = countRefused
	case resultError:
		counter = countError
	default:
		return
	}
	s := r.of(rollupSource, source)
	if s == nil {
		return
	}
	s.add(at, counter, 1)
	if result == resultAccepted {
		s.took(at, took)
	}
}

// attempt counts an attempt at a destination.
func (r *rollup) attempt(destination string, delivered bool, at time.Time, took time.Duration) {
	s := r.of(rollupDestination, destination)
	if s == nil {
		return
	}
	counter := countFailed
	if delivered {
		counter = countDelivered
	}
	s.add(at, counter, 1)
	s.took(at, took)
}

// died counts a delivery that was given up.
func (r *rollup) died(destination string, at time.Time) {
	if s := r.of(rollupDestination, destination); s != nil {
		s.add(at, countDead, 1)
	}
}

// breaker remembers a change of a destination's breaker.
func (r *rollup) breaker(destination string, change breakerChange) {
	s := r.of(rollupDestination, destination)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, change)
	s.changes = s.changes[max(0, len(s.changes)-maxChanges):]
}

// breakerChanges are the changes of a destination's breaker since a moment, newest first.
func (r *rollup) breakerChanges(destination string, since time.Time) []breakerChange {
	r.mu.RLock()
	s := r.series[seriesKey{rollupDestination, destination}]
	r.mu.RUnlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []breakerChange
	for i := len(s.changes) - 1; i >= 0 && !s.changes[i].At.Before(since); i-- {
		out = append(out, s.changes[i])
	}
	return out
}

func (s *series) add(at time.Time, counter int, n uint32) {
	minute := at.Unix() / 60
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.minutes[minute%rollupMinutes]
	if c.minute > minute {
		return // the clock went back by more than a day
	}
	if c.minute != minute {
		*c = minuteCounts{minute: minute}
	}
	c.n[counter] += n
}

func (s *series) took(at time.Time, d time.Duration) {
	s.addLatency(at.Unix()/900, latencyBucket(d), 1)
}

func (s *series) addLatency(quarter int64, bucket int, n uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.quarters[quarter%rollupQuarters]
	if l.quarter > quarter {
		return
	}
	if l.quarter != quarter {
		*l = latencies{quarter: quarter}
	}
	l.n[bucket] += n
}

// latencyBucket puts a latency into one of the buckets, whose bounds grow by the root of two from 0.1 ms up to some 100 s: a quantile is at most a fifth off.
func latencyBucket(d time.Duration) int {
	ms := float64(d) / float64(time.Millisecond)
	if ms <= 0.1 {
		return 0
	}
	return min(latencyBuckets-1, int(math.Ceil(2*math.Log2(ms/0.1))))
}

// bucketMS is the latency in milliseconds that a bucket stands for: the middle of its bounds, as they are spaced.
func bucketMS(bucket int) float64 { return 0.1 * math.Pow(2, (float64(bucket)-0.5)/2) }

// sums returns the counts from a minute on, in steps of some minutes, and the latencies of the same time.
func (s *series) sums(from int64, steps, length int) (counts [counters][]uint32, took [latencyBuckets]uint64) {
	for i := range counts {
		counts[i] = make([]uint32, steps)
	}
	to := from + int64(steps*length)
	s.mu.Lock()
	defer s.mu.Unlock()
	for minute := from; minute < to; minute++ {
		c := &s.minutes[minute%rollupMinutes]
		if c.minute != minute {
			continue
		}
		for counter, n := range c.n {
			counts[counter][int(minute-from)/length] += n
		}
	}
	for i := range s.quarters {
		l := &s.quarters[i]
		if begin := l.quarter * 15; begin+15 <= from || begin >= to {
			continue
		}
		for bucket, n := range l.n {
			took[bucket] += uint64(n)
		}
	}
	return counts, took
}

// quantiles returns the latencies in milliseconds below which the given shares of them are; nil if there are none.
func quantiles(took [latencyBuckets]uint64, shares ...float64) []float64 {
	var total uint64
	for _, n := range took {
		total += n
	}
	if total == 0 {
		return nil
	}
	out := make([]float64, len(shares))
	for i, share := range shares {
		rank, seen := uint64(math.Ceil(share*float64(total))), uint64(0)
		for bucket, n := range took {
			if seen += n; seen >= rank {
				out[i] = bucketMS(bucket)
				break
			}
		}
	}
	return out
}

// forget drops the series to which nothing has happened since a minute.
func (r *rollup) forget(before int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, s := range r.series {
		if s.newest() < before {
			delete(r.series, key)
		}
	}
}

func (s *series) newest() (minute int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.minutes {
		minute = max(minute, s.minutes[i].minute)
	}
	if n := len(s.changes); n > 0 {
		minute = max(minute, s.changes[n-1].At.Unix()/60)
	}
	return minute
}
