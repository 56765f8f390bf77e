package badgerstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

func randomHash(r *rand.Rand) (h [16]byte) {
	binary.LittleEndian.PutUint64(h[:8], r.Uint64())
	binary.LittleEndian.PutUint64(h[8:], r.Uint64())
	return h
}

// TestClaimFilter fills a filter over several parts from two goroutines while a third one reads: what is in it is always found, and little else is.
func TestClaimFilter(t *testing.T) {
	const each = 100_000
	var used atomic.Int64
	f := newClaimFilter(0)
	var wg sync.WaitGroup
	for w := range uint64(2) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, w))
			for range each {
				h := randomHash(r)
				if f.add(&h, &used); !f.mayHold(&h) {
					t.Errorf("claim %x is not there right after it was added", h)
					return
				}
			}
		})
	}
	wg.Wait()
	for w := range uint64(2) {
		r := rand.New(rand.NewPCG(1, w))
		for range each {
			if h := randomHash(r); !f.mayHold(&h) {
				t.Fatalf("claim %x was forgotten", h)
			}
		}
	}
	vain, r := 0, rand.New(rand.NewPCG(2, 0))
	for range each {
		if h := randomHash(r); f.mayHold(&h) {
			vain++
		}
	}
	if vain > each/50 {
		t.Errorf("%d of %d look-ups of new claims would be made in vain, more than one in 50", vain, each)
	}
	if parts := len(*f.parts.Load()); parts < 3 {
		t.Errorf("%d claims are in %d parts; the test wants several", 2*each, parts)
	}
	if got, most := used.Load(), int64(2*each*filterBits/8*4); got > most {
		t.Errorf("the filter takes %d bytes, more than %d", got, most)
	}
}

// TestClaimFilterWithoutMemory has a filter that gets no more memory: it gives back what it has and says "maybe" to everything.
func TestClaimFilterWithoutMemory(t *testing.T) {
	var used atomic.Int64
	f := newClaimFilter(0)
	r := rand.New(rand.NewPCG(1, 1))
	first := randomHash(r)
	f.add(&first, &used)
	used.Add(filterLimit - firstFilter) // others have the rest
	for range firstFilter*8/filterBits + 1000 {
		h := randomHash(r)
		f.add(&h, &used)
	}
	if h := randomHash(r); !f.mayHold(&first) || !f.mayHold(&h) {
		t.Error("a filter without memory says that there are no claims")
	}
	if got := used.Load(); got != filterLimit-firstFilter {
		t.Errorf("%d bytes are still counted for the filter", got-filterLimit+firstFilter)
	}
}

// TestDuplicatesOverRestarts enqueues the same events again after the store was reopened, before its filters are filled and after, and looks
// that new events are not taken for duplicates either time.
func TestDuplicatesOverRestarts(t *testing.T) {
	const events = 500
	ctx, dir := context.Background(), t.TempDir()
	clock := queuetest.NewClock()
	enqueue := func(s *Store, from, to int, wantDuplicates bool) {
		t.Helper()
		for n := from; n < to; n++ {
			id := fmt.Sprintf("event-%d", n)
			got, err := s.Enqueue(ctx, []queue.NewEvent{{
				Event:    queue.Event{Source: "shop", EventID: id, ReceivedAt: clock.Now(), Body: []byte(id)},
				DedupKey: id, DedupWindow: 72 * time.Hour, Deliveries: []queue.NewDelivery{{Destination: "app"}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			if got[0].Duplicate != wantDuplicates {
				t.Fatalf("event %d is a duplicate: %t, want %t", n, got[0].Duplicate, wantDuplicates)
			}
		}
	}
	s := openSmall(t, dir, clock)
	enqueue(s, 0, events, false)
	clock.Advance(25 * time.Hour) // they are of yesterday
	enqueue(s, events, 2*events, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSmall(t, dir, clock)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	buckets := s.buckets.all()
	if len(buckets) != 2 {
		t.Fatalf("claims of %d buckets, want 2", len(buckets))
	}
	enqueue(s, 0, 2*events, true)
	enqueue(s, 2*events, 3*events, false)
	s.wg.Add(1)
	s.fillFilters(buckets, s.applier.appliedSeq())
	for _, d := range buckets {
		if d.filter != nil && !d.filter.complete.Load() {
			t.Errorf("the filter of bucket %d is not complete", d.number)
		}
	}
	enqueue(s, 0, 3*events, true)
	enqueue(s, 3*events, 4*events, false)
}
