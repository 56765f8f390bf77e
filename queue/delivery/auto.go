package delivery

import "time"

const (
	autoStart    = 2   // attempts at once to begin with
	autoOverload = 0.5 // factor after a failure that tells of overload, and the least one after an answer that took too long
	autoSlow     = 0.9 // factor when answers take a little too long
	autoTolerate = 2.0 // too long: so many times what the application takes when it has little to do
	autoEnough   = 8   // answers that are enough to judge by

	probePart    = 4                // the part of the limit during a look at the application with little to do
	probeAnswers = 24               // answers that a look takes; the first one takes only autoEnough ...
	probeAfter   = 16               // ... and is repeated after so many answers' times
	probeEvery   = 10 * time.Second // least time between two looks
	probeShare   = 80               // and so many answers' times, so that they cost little
)

// autoFloor keeps the noise of very fast answers from counting as slowness.
const autoFloor = 20 * time.Millisecond

// autoPace finds the number of attempts at once that keeps an application busy without drowning it, by additive increase and multiplicative decrease.
//
// An application that can take more answers as fast as before; one that is full lets requests wait, and its answers take longer in proportion. So from time to time the limit
// is lowered for a moment to see what an answer takes when nothing waits, and otherwise it goes up until answers take twice that. Lowering it to a quarter (and
// not to half) makes this stable: from whatever limit, waiting is seen as waiting and not taken for the application's nature.
type autoPace struct {
	limit    float64 // 0: not begun
	known    bool    // it went down once; until then it goes up fast
	reached  time.Time
	lessened time.Time
	mean     mean // of answers since it last went down

	base      float64 // what an answer takes when the application has little to do, in nanoseconds; 0: not known
	looks     int
	probing   bool
	probeFrom time.Time // attempts that started earlier do not count for the look
	probe     mean
	nextProbe time.Time
}

// now is the limit at present.
func (a *autoPace) now(most int) int {
	if a.limit == 0 {
		a.limit, a.probing = autoStart, true
	}
	limit := a.limit
	if a.probing && a.base > 0 {
		limit /= probePart
	}
	return max(1, min(most, int(limit)))
}

// finished takes in an answer. Attempts that started before the limit last went down tell of the old one, and so do not count.
func (a *autoPace) finished(most int, s sample, now time.Time) {
	switch {
	case s.throttled:
		if !s.started.Before(a.lessened) {
			a.lessen(autoOverload, now)
		}
	case s.health != healthGood:
	case a.probing:
		a.look(s, now)
	case !s.started.Before(a.lessened):
		a.adapt(most, s, now)
	}
}

// look takes in an answer while the limit is lowered.
func (a *autoPace) look(s sample, now time.Time) {
	if s.started.Before(a.probeFrom) {
		return
	}
	a.probe.add(s.latency, 0)
	first := a.looks == 0
	if a.probe.count < autoEnough || !first && a.probe.count < probeAnswers {
		return
	}
	seen := max(a.probe.value, float64(autoFloor))
	pause := max(probeEvery, time.Duration(probeShare*seen))
	if first {
		pause = time.Duration(probeAfter * seen)
	} else if a.looks > 1 {
		seen = (a.base + seen) / 2
	}
	a.base, a.probing, a.nextProbe = seen, false, now.Add(pause)
	a.looks++
	a.lessened, a.mean = now, mean{} // answers from before and during the look say nothing about the full limit
}

// adapt moves the limit: up by one for each limit's worth of answers (by one for each, until it went down for the first time) if it was what held us back
// meanwhile, and down when answers take too long.
func (a *autoPace) adapt(most int, s sample, now time.Time) {
	a.mean.add(s.latency, 1/max(autoEnough, a.limit))
	excess := a.mean.value / (autoTolerate * a.base)
	switch {
	case a.mean.count >= max(autoEnough, int(a.limit/2)) && excess > 1:
		a.lessen(min(autoSlow, max(autoOverload, 1/excess)), now)
	case a.reached.Before(s.started):
	case a.known:
		a.limit = min(a.limit+1/a.limit, float64(most))
	default:
		a.limit = min(a.limit+1, float64(most))
	}
	if now.After(a.nextProbe) {
		a.probing, a.probe, a.probeFrom = true, mean{}, now.Add(time.Duration(a.mean.value)) // until then what waits is worked off
	}
}

func (a *autoPace) lessen(factor float64, now time.Time) {
	a.limit = max(1, a.limit*factor)
	a.known, a.lessened, a.mean = true, now, mean{}
}

// mean is a moving average of latencies, in nanoseconds.
type mean struct {
	value float64
	count int
}

// add takes in a latency with at least a weight; the first ones weigh the same.
func (m *mean) add(latency time.Duration, weight float64) {
	m.count++
	m.value += max(weight, 1/float64(m.count)) * (float64(latency) - m.value)
}
