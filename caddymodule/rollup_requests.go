package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	p := &pageWriter{ctx: ctx, meta: k.meta, prefix: metaRequests}
	for i := len(all) - 1; i >= 0; i-- {
		if err := p.add(all[i]); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	k.logged = all[0].Seq
	return k.prunePages(ctx, metaRequests, p.pages)
}

// prunePages removes the entries that an earlier and longer list had.
func (k *rollupKeeper) prunePages(ctx context.Context, prefix string, pages int) error {
	var old []string
	first := fmt.Sprintf("%s%03d", prefix, pages)
	err := k.meta.ListMeta(ctx, prefix, "", func(key string, _ []byte) bool {
		if strings.Compare(key, first) >= 0 {
			old = append(old, key)
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, key := range old {
		if err := k.meta.PutMeta(ctx, key, nil); err != nil {
			return err
		}
	}
	return nil
}

// loadLog reads the log of an earlier process.
func (k *rollupKeeper) loadLog(ctx context.Context) error {
	var failed error
	err := k.meta.ListMeta(ctx, metaRequests, "", func(key string, value []byte) bool {
		var page []loggedRequest
		if err := json.Unmarshal(value, &page); err != nil {
			failed = fmt.Errorf("entry %s: %w", key, err)
			return true
		}
		for i := range page {
			k.log.add(page[i])
		}
		return true
	})
	if err != nil {
		return err
	}
	k.logged = k.log.seq
	return failed
}
