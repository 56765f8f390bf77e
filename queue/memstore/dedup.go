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

// claims are the dedup claims whose window is not over.
type claims struct {
	byKey map[claimKey]claim
	ends  claimHeap
}

// find returns the event that holds the claim at the time now.
func (c *claims) find(k claimKey, now time.Time) (queue.ID, bool) {
	found, ok := c.byKey[k]
	if !ok || !now.Before(found.until) {
		return 0, false
	}
	return found.event, true
}

func (c *claims) add(n claim) {
	c.byKey[n.claimKey] = n
	heap.Push(&c.ends, n)
}

// expire forgets the claims whose window is over.
func (c *claims) expire(now time.Time) {
	for len(c.ends) > 0 && !now.Before(c.ends[0].until) {
		ended := heap.Pop(&c.ends).(claim)
		// The key may have been claimed anew since.
		if c.byKey[ended.claimKey] == ended {
			delete(c.byKey, ended.claimKey)
		}
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
