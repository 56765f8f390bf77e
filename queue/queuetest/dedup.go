package queuetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var dedupTests = []test{
	{"DuplicateNamesTheOriginal", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.put(e.event("2", dest))
		e.wantDuplicate(id, e.event("1", dest, "other"))
		// Nothing of the copy was stored.
		if got := e.claim(10); len(got) != 2 {
			e.Errorf("claimed %v, want two events", idsOf(got))
		}
		if got := e.claimFrom("other", 10); len(got) != 0 {
			e.Errorf("a duplicate's delivery was stored: %v", idsOf(got))
		}
	}},
	{"DuplicateOfASettledEvent", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.deliver(e.claimOne(id))
		e.wantDuplicate(id, e.event("1", dest))
		e.idle()
	}},
	{"DuplicatesWithinOneCall", func(e *env) {
		before := e.put(e.event("old", dest))[0]
		r := e.enqueue(e.event("a", dest), e.event("b", dest), e.event("a", dest), e.event("old", dest), e.event("b", dest), e.event("c", dest))
		duplicate := []bool{false, false, true, true, true, false}
		original := []queue.ID{r[0].ID, r[1].ID, r[0].ID, before, r[1].ID, r[5].ID}
		for i := range r {
			if r[i].Duplicate != duplicate[i] || r[i].ID != original[i] {
				e.Errorf("receipt %d: %+v, want duplicate %v of %s", i, r[i], duplicate[i], original[i])
			}
		}
		e.wantIDs(e.claim(10), before, r[0].ID, r[1].ID, r[5].ID)
	}},
	{"KeysBelongToTheirSource", func(e *env) {
		e.put(e.event("1", dest))
		for _, source := range []string{"sr", "srcc", "src1", "SRC", ""} {
			n := e.event("1", dest)
			n.Source = source
			e.put(n)
		}
		// The boundary between source and key is not lost either.
		n := e.event("c1", dest)
		n.Source = "sr"
		e.put(n)
	}},
	{"NoKeyOrNoWindowIsNeverADuplicate", func(e *env) {
		for range 2 {
			for range 2 {
				n := e.event("1", dest)
				n.DedupKey = ""
				e.put(n)
				n = e.event("2", dest)
				n.DedupWindow = 0
				e.put(n)
			}
			n, m := e.event("3", dest), e.event("3", dest)
			n.DedupKey, m.DedupKey = "", ""
			e.put(n, m)
			n, m = e.event("4", dest), e.event("4", dest)
			n.DedupWindow, m.DedupWindow = 0, 0
			e.put(n, m)
		}
	}},
	{"WindowEnds", func(e *env) {
		for _, w := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 72 * time.Hour, 30 * 24 * time.Hour} {
			e.windowEnds(w)
		}
	}},
	{"DuplicatesDoNotProlongTheWindow", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		for range 7 {
			e.clock.Advance(10 * time.Hour)
			e.wantDuplicate(id, e.event("1", dest))
		}
		e.clock.Advance(10 * time.Hour)
		e.put(e.event("1", dest))
	}},
	{"LongAndBinaryKeys", func(e *env) {
		long := make([]byte, 5000)
		keys := []string{string(long), string(long) + "x", "a\x00b", "a\x00", "a", "a\xff"}
		for range 2 {
			for i, k := range keys {
				n := e.event(fmt.Sprint(i), dest)
				n.DedupKey = k
				e.enqueue(n)
			}
		}
		if got := e.claim(20); len(got) != len(keys) {
			e.Errorf("%d events of %d distinct keys were stored", len(got), len(keys))
		}
	}},
	{"ConcurrentCopies", concurrentCopies},
}

func (e *env) wantDuplicate(of queue.ID, n queue.NewEvent) {
	e.Helper()
	if r := e.enqueue(n)[0]; !r.Duplicate || r.ID != of {
		e.Fatalf("receipt %+v, want a duplicate of %s", r, of)
	}
}

// windowEnds checks that a claim lasts exactly as long as its window, and that the next one does so again.
func (e *env) windowEnds(w time.Duration) {
	e.Helper()
	n := e.event(fmt.Sprint("window ", w), dest)
	n.DedupWindow = w
	id := e.put(n)[0]
	for range 2 {
		e.clock.Advance(w - time.Second)
		e.wantDuplicate(id, n)
		e.clock.Advance(2 * time.Second)
		r := e.enqueue(n)[0]
		if r.Duplicate {
			e.Fatalf("%v: still a duplicate a second after the window", w)
		}
		if r.ID == id {
			e.Fatalf("%v: the id %s was given twice", w, id)
		}
		id = r.ID
	}
}

// concurrentCopies sends every event several times at once: one copy of each is stored, and all get its id.
func concurrentCopies(e *env) {
	const copies, keys = 8, 60
	type answer struct {
		key     int
		receipt queue.Receipt
	}
	answers := make(chan answer, copies*keys)
	var wg sync.WaitGroup
	for range copies {
		wg.Go(func() {
			for k := range keys {
				receipts, err := e.store.Enqueue(e.Context(), []queue.NewEvent{e.event(fmt.Sprint("k", k), dest)})
				if err != nil {
					e.Errorf("enqueue: %v", err)
					return
				}
				answers <- answer{k, receipts[0]}
			}
		})
	}
	wg.Wait()
	close(answers)
	ids, stored := map[int]queue.ID{}, map[int]int{}
	for a := range answers {
		if id, ok := ids[a.key]; ok && id != a.receipt.ID {
			e.Errorf("key %d: receipts name %s and %s", a.key, id, a.receipt.ID)
		}
		ids[a.key] = a.receipt.ID
		if !a.receipt.Duplicate {
			stored[a.key]++
		}
	}
	for k := range keys {
		if stored[k] != 1 {
			e.Errorf("key %d: stored %d times", k, stored[k])
		}
	}
	want := make([]queue.ID, 0, keys)
	for _, id := range ids {
		want = append(want, id)
	}
	e.wantSet(e.claim(copies*keys), want...)
}
