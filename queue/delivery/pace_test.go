package delivery

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// pool is an application with a number of workers, each busy with a request for a time; more requests than workers have to wait.
type pool struct {
	mu      sync.Mutex
	free    instants // when each worker is free again
	service time.Duration
	random  *rand.Rand // if set, service times are exponentially distributed
	served  int
}

func newPool(workers int, service time.Duration, random *rand.Rand) *pool {
	p := &pool{service: service, random: random}
	p.resize(workers)
	return p
}

func (p *pool) resize(workers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = make(instants, workers)
}

func (p *pool) Forward(ctx context.Context, _ *Try) Result {
	p.mu.Lock()
	now := time.Now()
	done := now
	if p.free[0].After(now) {
		done = p.free[0]
	}
	service := p.service
	if p.random != nil {
		service = time.Duration(p.random.ExpFloat64() * float64(service))
	}
	done = done.Add(service)
	p.free[0] = done
	heap.Fix(&p.free, 0)
	p.served++
	p.mu.Unlock()
	select {
	case <-time.After(done.Sub(now)):
		return Result{Status: 200}
	case <-ctx.Done():
		return Result{}
	}
}

type instants []time.Time

func (h instants) Len() int           { return len(h) }
func (h instants) Less(i, j int) bool { return h[i].Before(h[j]) }
func (h instants) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *instants) Push(x any)        { *h = append(*h, x.(time.Time)) }
func (h *instants) Pop() any          { panic("never shrinks") }

// TestAutomaticConcurrencyFitsTheApplication lets the engine find out, in simulated time, how much an application bears: it has to be kept busy and not to be drowned.
func TestAutomaticConcurrencyFitsTheApplication(t *testing.T) {
	for _, workers := range []int{1, 8, 40} {
		for _, service := range []time.Duration{100 * time.Millisecond, time.Second} {
			for _, noisy := range []bool{false, true} {
				t.Run(fmt.Sprintf("%dx%s,noisy=%t", workers, service, noisy), func(t *testing.T) {
					bubble(t, func(t *testing.T) { fitApplication(t, workers, service, noisy) })
				})
			}
		}
	}
}

func fitApplication(t *testing.T, workers int, service time.Duration, noisy bool) {
	var random *rand.Rand
	if noisy {
		random = rand.New(rand.NewPCG(1, 2))
	}
	p := newPool(workers, service, random)
	r := newRig(t)
	r.start(&Destination{Name: "app", Policy: Policy{Auto: true, Timeout: time.Hour}, Forwarder: p})
	defer r.close()
	backlog := func(d time.Duration) { // lets time pass in steps, with always enough to do
		for r.status("app").Pending < 2*DefaultAutoConcurrency {
			r.enqueue("app")
		}
		sleep(d)
	}
	for range max(200, int(45*time.Second/service)) {
		backlog(service)
	}
	const period = 400
	early, sum, high := p.served, 0, 0
	for range period {
		backlog(service)
		limit := r.status("app").Limit
		sum, high = sum+limit, max(high, limit)
	}
	busy := float64(p.served-early) / float64(period*workers)
	// Latency up to twice what it is without waiting, or up to twice the floor below which slow and fast are not told apart, is not drowning.
	most := 2 * max(1, int(autoFloor/service)) * workers
	average := sum / period
	if busy < 0.9 || average > most*5/4+1 || high > 2*most+4 {
		t.Error("want about", most, "and 90 % busy")
	}
	t.Logf("limit %d on average, %d at most, application %.0f %% busy", average, high, 100*busy)
}

func TestAutomaticConcurrencyGivesWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPool(32, 100*time.Millisecond, nil)
		r := newRig(t)
		r.start(&Destination{Name: "app", Policy: Policy{Auto: true}, Forwarder: p})
		for range 20000 {
			r.enqueue("app")
		}
		sleep(20 * time.Second)
		before := r.status("app").Limit
		p.resize(4)
		sleep(10 * time.Second)
		after := r.status("app").Limit
		if before < 30 || after > 16 {
			t.Errorf("limit %d with 32 workers and %d once 28 of them are gone; want about that many", before, after)
		}
		r.close()
	})
}

func TestAutomaticConcurrencyHalvesOnOverload(t *testing.T) {
	now := time.Unix(1000, 0)
	policy := Policy{Auto: true, Concurrency: 100}.withDefaults()
	c := pace{auto: autoPace{limit: 64, base: float64(time.Second), lessened: now, nextProbe: now.Add(time.Hour)}}
	for range 64 { // what was under way when it became too much
		c.finished(&policy, sample{health: healthBad, throttled: true, started: now}, now.Add(time.Second))
	}
	if got := c.limit(&policy); got != 32 {
		t.Errorf("limit %d after one burst of failures, want one halving: 32", got)
	}
	for range 100 {
		now = now.Add(2 * time.Second)
		c.finished(&policy, sample{health: healthBad, throttled: true, started: now}, now)
	}
	if got := c.limit(&policy); got != 1 {
		t.Errorf("limit %d, want at least and at most 1", got)
	}
}
