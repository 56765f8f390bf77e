package badgerstore

import (
	"container/heap"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// entry is an unsettled delivery that has left the FIFO, or was given back. It is only a hint: whoever takes it out of the
// schedule checks it against the delivery's record.
type entry struct {
	due   int64
	seq   uint64
	hash  uint64
	at    int64  // place within the order key; 0: by seq
	place place  // where its row is: inFIFO or inScheduled
	once  bool   // due whatever the clock says
	op    uint64 // the applier's operation that writes its row
}

func (e entry) less(o entry) bool { return e.due < o.due || e.due == o.due && e.seq < o.seq }

// schedule is a window on a destination's rows in the schedule table: all rows up to a point, earliest first. Beyond that point they
// are only on disk. Deliveries that were given back and have no such row are in it too.
type schedule struct {
	heap     entryHeap
	complete bool    // there are no rows beyond the window
	last     entry   // otherwise: the end of the window (due and seq)
	unseen   []entry // rows beyond the window that the newest snapshot may not show yet
}

const (
	scheduleWindow = 2048
	scheduleRefill = 256
)

// horizon is what a snapshot shows: the operations and the events up to a number.
type horizon struct{ op, seq uint64 }

func (h horizon) shows(e entry) bool { return e.op <= h.op && e.seq <= h.seq }

// put takes in an entry. seen is what the newest snapshot shows, or one before.
func (s *schedule) put(e entry, seen horizon) {
	if !s.complete && e.place == inScheduled && s.last.less(e) {
		if !seen.shows(e) {
			s.unseen = append(s.unseen, e)
		}
		return
	}
	heap.Push(&s.heap, e)
	if len(s.heap) > scheduleWindow {
		s.shrink(seen)
	}
}

// shrink leaves the later half of the window to the disk.
func (s *schedule) shrink(seen horizon) {
	slices.SortFunc(s.heap, func(a, b entry) int {
		switch {
		case a.less(b):
			return -1
		case b.less(a):
			return 1
		}
		return 0
	})
	keep := s.heap[:scheduleWindow/2]
	for _, e := range s.heap[scheduleWindow/2:] {
		switch {
		case e.place == inFIFO:
			keep = append(keep, e) // it has no row; at most as many as there were leases
		case !seen.shows(e):
			s.unseen = append(s.unseen, e)
		}
	}
	s.complete, s.last = false, keep[scheduleWindow/2-1]
	for len(s.heap) > len(keep) {
		s.heap[len(s.heap)-1] = entry{}
		s.heap = s.heap[:len(s.heap)-1]
	}
	heap.Init(&s.heap)
}

// top returns the earliest entry, after refilling the window from the disk if it is empty.
func (s *schedule) top(sn *snapshot, dest uint16) (entry, bool) {
	// What was given back can be later than rows that are only on disk.
	for !s.complete && (len(s.heap) == 0 || s.last.less(s.heap[0])) {
		s.refill(sn, dest)
	}
	if len(s.heap) == 0 {
		return entry{}, false
	}
	return s.heap[0], true
}

func (s *schedule) pop() entry { return heap.Pop(&s.heap).(entry) }

// refill moves the window on over the next rows on disk.
func (s *schedule) refill(sn *snapshot, dest uint16) {
	from := scheduledKey(dest, s.last.due, s.last.seq+1)
	if s.last.seq == math.MaxUint64 {
		from = scheduledKey(dest, s.last.due+1, 0)
	}
	s.unseen = slices.DeleteFunc(s.unseen, horizon{sn.op, sn.seq}.shows)
	n := 0
	end := s.last
	sn.scan(destTable(tabScheduled, dest, 0), from, func(key []byte, item *badger.Item) bool {
		e, ok := decodeScheduled(key, item)
		if !ok {
			return true
		}
		heap.Push(&s.heap, e)
		end = e
		n++
		return n < scheduleRefill
	})
	s.complete, s.last = n < scheduleRefill, end
	s.unseen = slices.DeleteFunc(s.unseen, func(e entry) bool {
		inside := s.complete || !s.last.less(e)
		if inside {
			heap.Push(&s.heap, e)
		}
		return inside
	})
}

// scheduledValue is the value of a row of the schedule.
func scheduledValue(of entry) []byte {
	e := encoder{b: make([]byte, 0, 22)}
	e.fixed(of.hash)
	if of.once {
		e.byte(1)
	} else {
		e.byte(0)
	}
	if of.at != 0 {
		e.int(of.at)
	}
	return e.b
}

// decodeScheduled reads a row. One with a damaged value still has a sound key; without its order key it is handed out as if it had none.
func decodeScheduled(key []byte, item *badger.Item) (e entry, ok bool) {
	if len(key) != 19 {
		return entry{}, false
	}
	e = entry{due: int64(be.Uint64(key[3:])), seq: be.Uint64(key[11:]), place: inScheduled}
	err := item.Value(func(sealed []byte) error {
		if value, sound := unseal(key, sealed); sound {
			d := decoder{b: value}
			e.hash, e.once = d.fixed(), d.byte() == 1
			if len(d.b) > 0 {
				e.at = d.int()
			}
		}
		return nil
	})
	return e, err == nil
}

type entryHeap []entry

// Len, Less, Swap, Push and Pop implement [heap.Interface].
func (h entryHeap) Len() int           { return len(h) }
func (h entryHeap) Less(i, j int) bool { return h[i].less(h[j]) }
func (h entryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *entryHeap) Push(x any)        { *h = append(*h, x.(entry)) }

func (h *entryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	*h = (*h)[:last]
	return e
}

// expiryHeap orders leases by their end. An entry whose lease has another token is of a lease that is over.
type expiryHeap []expiring

type expiring struct {
	until int64
	seq   uint64
	token uint64
}

// Len, Less, Swap, Push and Pop implement [heap.Interface].
func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].until < h[j].until }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiryHeap) Push(x any)        { *h = append(*h, x.(expiring)) }

func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	*h = (*h)[:last]
	return e
}
