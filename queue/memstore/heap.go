package memstore

import "container/heap"

// A delivery can be in two heaps at a time: the one that says what it waits for, and its lane's list of all unsettled ones.
const (
	slotPlace = iota
	slotOpen
	slots
)

// pq is a priority queue of deliveries from which any of them can be removed.
type pq struct {
	items []*delivery
	less  func(a, b *delivery) bool
	slot  int
}

// Len, Less, Swap, Push and Pop implement [heap.Interface].
func (q *pq) Len() int           { return len(q.items) }
func (q *pq) Less(i, j int) bool { return q.less(q.items[i], q.items[j]) }

func (q *pq) Swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	q.items[i].pos[q.slot], q.items[j].pos[q.slot] = i, j
}

func (q *pq) Push(x any) {
	d := x.(*delivery)
	d.in[q.slot], d.pos[q.slot] = q, len(q.items)
	q.items = append(q.items, d)
}

func (q *pq) Pop() any {
	last := len(q.items) - 1
	d := q.items[last]
	q.items[last] = nil
	q.items = q.items[:last]
	d.in[q.slot] = nil
	return d
}

func (q *pq) add(d *delivery) { heap.Push(q, d) }

// top returns the first delivery, nil if there is none.
func (q *pq) top() *delivery {
	if len(q.items) == 0 {
		return nil
	}
	return q.items[0]
}

// take removes and returns the first delivery, nil if there is none.
func (q *pq) take() *delivery {
	if len(q.items) == 0 {
		return nil
	}
	return heap.Pop(q).(*delivery)
}

// leave removes d from the heap it is in, if it is in one.
func (d *delivery) leave(slot int) {
	if q := d.in[slot]; q != nil {
		heap.Remove(q, d.pos[slot])
	}
}

func byID(a, b *delivery) bool { return a.Event < b.Event }

// byPlace is the order within a key.
func byPlace(a, b *delivery) bool {
	if !a.OrderAt.Equal(b.OrderAt) {
		return a.OrderAt.Before(b.OrderAt)
	}
	return byID(a, b)
}

// byTurn orders what is due at once: by the moment since which it is due, then by arrival.
func byTurn(a, b *delivery) bool {
	if !a.since.Equal(b.since) {
		return a.since.Before(b.since)
	}
	return byID(a, b)
}

func byDue(a, b *delivery) bool {
	if !a.Due.Equal(b.Due) {
		return a.Due.Before(b.Due)
	}
	return byID(a, b)
}

func byUntil(a, b *delivery) bool { return a.until.Before(b.until) }
