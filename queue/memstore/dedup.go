package memstore

import (
	"container/heap"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// claimKey identifies a dedup claim: keys are unique within a source.
type claimKey struct{ source, key string }

type claim struct {
	claimKey
	event queue.ID
	until time.Time
}

// claims are the dedup claims whose window was not over when they were last told to expire.
type claims struct {
	byKey map[claimKey]queue.ID
	ends  claimHeap
}

func (c *claims) add(n claim) {
	c.byKey[n.claimKey] = n.event
	heap.Push(&c.ends, n)
}

// expire forgets the claims whose window is over at the time now.
func (c *claims) expire(now time.Time) {
	for len(c.ends) > 0 && !now.Before(c.ends[0].until) {
		delete(c.byKey, heap.Pop(&c.ends).(claim).claimKey)
	}
}

// claimHeap is ordered by the end of the window.
type claimHeap []claim

// Len, Less, Swap, Push and Pop implement [heap.Interface].
func (h claimHeap) Len() int           { return len(h) }
func (h claimHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h claimHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *claimHeap) Push(x any)        { *h = append(*h, x.(claim)) }

func (h *claimHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = claim{}
	*h = (*h)[:last]
	return c
}
