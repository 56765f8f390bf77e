package queuetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/sluice-webhooks/sluice/queue"
)

var concurrencyTests = []test{
	{"EveryEventOnceWithoutFailures", func(e *env) { newTraffic(e).run(nil) }},
	{"WithRetriesReplaysAndCancels", func(e *env) { newTraffic(e).run(rand.New(rand.NewPCG(3, 4))) }},
	{"BatchesAreNotInterleaved", batchesInOneCommit},
}

// traffic is many writers and many workers on one destination. It checks that no delivery is leased twice at a time, that keys
// go one at a time and in order, and that in the end each delivery is settled.
type traffic struct {
	*env
	writers, each, workers int

	mu      sync.Mutex
	held    map[queue.ID]bool // leased by a worker that has not begun to settle
	keys    map[string]queue.ID
	last    map[string]queue.ID // last one delivered, by key
	settled map[queue.ID]queue.State
	ids     []queue.ID
	replays map[queue.ID]bool
}

func newTraffic(e *env) *traffic {
	return &traffic{
		env: e, writers: 4, each: 150, workers: 4,
		held: map[queue.ID]bool{}, keys: map[string]queue.ID{}, last: map[string]queue.ID{},
		settled: map[queue.ID]queue.State{}, replays: map[queue.ID]bool{},
	}
}

// run runs the traffic; with a source of chance, deliveries fail and operators interfere.
func (t *traffic) run(chance *rand.Rand) {
	var writing, working sync.WaitGroup
	var written atomic.Bool
	for w := range t.writers {
		writing.Go(func() { t.write(w) })
	}
	for w := range t.workers {
		var r *rand.Rand
		if chance != nil {
			r = rand.New(rand.NewPCG(chance.Uint64(), uint64(w)))
		}
		working.Go(func() { t.work(r, &written) })
	}
	if chance != nil {
		r := rand.New(rand.NewPCG(chance.Uint64(), 99))
		writing.Go(func() { t.interfere(r) })
	}
	writing.Wait()
	written.Store(true)
	working.Wait()
	for _, id := range t.drain(dest, 10) {
		t.settled[id] = queue.StateDelivered
	}
	t.idle()
	for _, id := range t.ids {
		if t.settled[id] == 0 {
			t.Errorf("%s was never settled", id)
		}
	}
	if len(t.ids) != t.writers*t.each {
		t.Errorf("%d events were stored, want %d", len(t.ids), t.writers*t.each)
	}
}

func (t *traffic) write(w int) {
	for i := range t.each {
		n := t.ordered(fmt.Sprint("w", w, "-", i), []string{"", "x", "y", "z"}[i%4])
		receipts, err := t.store.Enqueue(t.Context(), []queue.NewEvent{n})
		if err != nil {
			t.Errorf("enqueue: %v", err)
			return
		}
		t.mu.Lock()
		t.ids = append(t.ids, receipts[0].ID)
		t.mu.Unlock()
	}
}

func (t *traffic) work(r *rand.Rand, written *atomic.Bool) {
	for range manyCalls {
		last := written.Load()
		claimed, _, err := t.store.Claim(t.Context(), t.request(dest, 5))
		if err != nil {
			t.Errorf("claim: %v", err)
			return
		}
		for _, c := range claimed {
			t.take(c, r == nil)
		}
		for _, c := range claimed {
			if err := t.finish(c, r); err != nil {
				t.Errorf("settle: %v", err)
				return
			}
		}
		if last && len(claimed) == 0 {
			return
		}
	}
}

// take notes a lease. Only without interference can a second lease be told from a replay of the first.
func (t *traffic) take(c queue.Claimed, strict bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, key := c.Event.ID, c.Delivery.OrderKey
	if strict {
		if t.held[id] || t.settled[id] != 0 {
			t.Errorf("%s was leased while it was leased or after it was settled", id)
		}
		if other := t.keys[key]; key != "" && other != 0 {
			t.Errorf("%s was leased while %s of the same key was", id, other)
		}
		if key != "" && id < t.last[key] {
			t.Errorf("%s was leased after %s of the same key", id, t.last[key])
		}
	}
	t.held[id], t.keys[key] = true, id
}

func (t *traffic) finish(c queue.Claimed, r *rand.Rand) error {
	id := c.Event.ID
	s := t.outcome(c, queue.StateDelivered, 200, "")
	if r != nil {
		s.State = []queue.State{queue.StateDelivered, queue.StateDelivered, queue.StatePending, queue.StateDead}[r.IntN(4)]
		s.StepAside = s.State == queue.StatePending && r.IntN(2) == 0
	}
	t.mu.Lock()
	delete(t.held, id)
	delete(t.keys, c.Delivery.OrderKey)
	t.last[c.Delivery.OrderKey] = id
	t.mu.Unlock()
	lost, err := t.store.Settle(t.Context(), []queue.Settlement{s})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case lost[0] == nil && s.State.Settled():
		if t.settled[id] == queue.StateDelivered && !t.replays[id] {
			t.Errorf("%s was settled twice", id)
		}
		t.settled[id] = s.State
	case lost[0] != nil && (r == nil || !errors.Is(lost[0], queue.ErrLeaseLost)):
		return lost[0]
	}
	return nil
}

// interfere replays and cancels, and looks at everything meanwhile.
func (t *traffic) interfere(r *rand.Rand) {
	inspector, inspects := t.store.(queue.Inspector)
	for range 200 {
		t.mu.Lock()
		if len(t.ids) == 0 {
			t.mu.Unlock()
			continue
		}
		id := t.ids[r.IntN(len(t.ids))]
		replay := r.IntN(2) == 0
		if replay {
			t.replays[id] = true
		}
		t.mu.Unlock()
		if replay {
			if err := t.store.Replay(t.Context(), id, dest, ""); err != nil {
				t.Errorf("replay: %v", err)
			}
		} else if err := t.store.Cancel(t.Context(), id, dest); err == nil {
			t.mu.Lock()
			t.settled[id] = queue.StateCancelled
			t.mu.Unlock()
		} else if !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("cancel: %v", err)
		}
		if inspects {
			_, errPage := inspector.Events(t.Context(), queue.Filter{Limit: 10, States: []queue.State{queue.StatePending}})
			_, errStats := inspector.Stats(t.Context())
			_, errRows := inspector.Deliveries(t.Context(), id)
			if err := errors.Join(errPage, errStats, errRows); err != nil {
				t.Errorf("inspect: %v", err)
			}
		}
	}
}

// batchesInOneCommit checks that each writer's batch gets its receipts in order when many come at once.
func batchesInOneCommit(e *env) {
	const writers, batches, size = 6, 20, 10
	var wg sync.WaitGroup
	var mu sync.Mutex
	want := map[queue.ID]string{}
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				events := make([]queue.NewEvent, size)
				for i := range events {
					events[i] = e.event(fmt.Sprint(w, ".", b, ".", i), dest)
				}
				receipts, err := e.store.Enqueue(e.Context(), events)
				if err != nil || len(receipts) != size {
					e.Errorf("enqueue: %d receipts, %v", len(receipts), err)
					return
				}
				mu.Lock()
				for i, r := range receipts {
					if r.Duplicate || i > 0 && r.ID <= receipts[i-1].ID || want[r.ID] != "" {
						e.Errorf("receipt %d of a batch: %+v after %+v", i, r, receipts[max(i-1, 0)])
					}
					want[r.ID] = fmt.Sprint(w, ".", b, ".", i)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	claimed := e.claim(writers * batches * size * 2)
	for _, c := range claimed {
		if want[c.Event.ID] != c.Event.EventID {
			e.Errorf("the receipt of %q names %s, which is %q", want[c.Event.ID], c.Event.ID, c.Event.EventID)
		}
		delete(want, c.Event.ID)
	}
	if len(want) > 0 {
		e.Errorf("%d of %d events were not claimed", len(want), writers*batches*size)
	}
}
