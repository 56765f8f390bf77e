package caddymodule

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	metaRequests = "requests/"

	// requestsKept is how many requests of each kind are remembered: accepted ones, and all others. Accepted ones are events as well, and those are kept.
	requestsKept = 2000
)

// loggedRequest is a request that arrived, and what became of it: names and numbers, neither a payload nor a header.
type loggedRequest struct {
	Seq        uint64    `json:"-"` // numbers the requests of this process
	At         time.Time `json:"at"`
	Source     string    `json:"source"`
	Provider   string    `json:"provider"`
	Result     string    `json:"result"`
	Reason     string    `json:"reason,omitempty"`
	Status     int       `json:"status"`
	ClientIP   string    `json:"client_ip,omitempty"`
	Event      queue.ID  `json:"event,omitempty"`
	EventID    string    `json:"event_id,omitempty"`
	Type       string    `json:"type,omitempty"`
	Size       int       `json:"size,omitempty"`
	DurationMS float64   `json:"duration_ms,omitempty"`
}

// requestLog remembers the newest requests. A flood of accepted ones does not push out the others, which are the ones somebody looks for.
type requestLog struct {
	mu       sync.Mutex
	seq      uint64
	accepted ring
	others   ring
}

// ring keeps the newest requests.
type ring struct {
	kept []loggedRequest
	next int // where the next one goes, once it is full
}

func (r *ring) add(e loggedRequest) {
	if len(r.kept) < requestsKept {
		r.kept = append(r.kept, e)
		return
	}
	r.kept[r.next] = e
	r.next = (r.next + 1) % requestsKept
}

// add remembers a request.
func (l *requestLog) add(e loggedRequest) {
	e.Source, e.EventID, e.Type = truncate(e.Source, 200), truncate(e.EventID, 200), truncate(e.Type, 200)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq = l.seq
	if e.Result == resultAccepted {
		l.accepted.add(e)
	} else {
		l.others.add(e)
	}
}

// newest returns the requests that match, newest first: those before a number, unless it is 0, and at most limit of them.
func (l *requestLog) newest(before uint64, limit int, match func(*loggedRequest) bool) (page []loggedRequest, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range []*ring{&l.accepted, &l.others} {
		for i := range r.kept {
			if e := &r.kept[i]; (before == 0 || e.Seq < before) && match(e) {
				page = append(page, *e)
			}
		}
	}
	slices.SortFunc(page, func(a, b loggedRequest) int { return cmp.Compare(b.Seq, a.Seq) })
	if len(page) > limit {
		return page[:limit], true
	}
	return page, false
}

// saveLog writes the log, if anything was added to it.
func (k *rollupKeeper) saveLog(ctx context.Context) error {
	all, _ := k.log.newest(0, 2*requestsKept, func(*loggedRequest) bool { return true })
	if len(all) == 0 || all[0].Seq == k.logged {
		return nil
	}
	newest := all[0].Seq
	slices.Reverse(all)
	if err := savePages(ctx, k.meta, metaRequests, all); err != nil {
		return err
	}
	k.logged = newest
	return nil
}

// loadLog reads the log of an earlier process.
func (k *rollupKeeper) loadLog(ctx context.Context) error {
	requests, err := loadPages[loggedRequest](ctx, k.meta, metaRequests)
	for i := range requests {
		k.log.add(requests[i])
	}
	k.logged = k.log.seq
	return err
}
