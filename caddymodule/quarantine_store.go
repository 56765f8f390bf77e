package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (q *quarantine) store(ctx context.Context, r *refusedRequest) error {
	if err := q.load(ctx); err != nil {
		return err
	}
	r.Findings = r.diagnose(ctx)
	q.mu.Lock()
	q.last = max(q.last+1, r.At.UnixMicro())
	r.ID = fmt.Sprintf("rq_%013x", q.last)
	q.mu.Unlock()
	head, err := r.encode()
	if err != nil {
		return err
	}
	if err := q.put(ctx, r, head); err != nil {
		return err
	}
	return q.prune(ctx)
}

// encode is the head of the request, as the store keeps it. If the address and the headers are too large for that, they are cut, and as nothing can come of the
// request then, its body is left out too.
func (r *refusedRequest) encode() ([]byte, error) {
	head, err := json.Marshal(r)
	if err == nil && len(head) > quarantineChunk {
		address, _, _ := strings.Cut(r.URL, "?")
		if len(address) > quarantineAddress {
			address = ""
		}
		r.URL, r.Header, r.Token, r.NoHeader = address, nil, nil, true
		r.body, r.NoBody = nil, true
		head, err = json.Marshal(r)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	if len(head) > quarantineChunk {
		return nil, errors.New("what is known of it is too large")
	}
	return head, nil
}

// put writes a request. Its body goes first, so that a head always has it. What was put of one that cannot be written as a whole is removed again: it is in no
// index, so that nothing else would.
func (q *quarantine) put(ctx context.Context, r *refusedRequest, head []byte) (err error) {
	q.storing.Lock()
	defer q.storing.Unlock()
	for i, chunk := 0, r.body; len(chunk) > 0 && err == nil; i++ {
		n := min(len(chunk), quarantineChunk)
		err = q.meta.PutMeta(ctx, fmt.Sprintf("%s%s/%04d", metaQuarantineBody, r.ID, i), chunk[:n])
		chunk = chunk[n:]
	}
	if err == nil {
		err = q.meta.PutMeta(ctx, metaQuarantine+r.ID, head)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("keeping it: %w", err), q.erase(ctx, r.ID))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.searched = false // a store that does not take it whole may not give it back either
		return err
	}
	q.index = append(q.index, quarantineEntry{id: r.ID, source: r.Source, at: r.At, size: len(head) + len(r.body)})
	q.bytes += len(head) + len(r.body)
	return nil
}

// load reads the index of what a process before this one kept.
func (q *quarantine) load(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.loaded {
		return nil
	}
	q.index, q.bytes = nil, 0
	err := q.meta.ListMeta(ctx, metaQuarantine, "", func(_ string, value []byte) bool {
		var r refusedRequest
		if json.Unmarshal(value, &r) == nil {
			size := len(value)
			if !r.NoBody {
				size += r.Size
			}
			q.index = append(q.index, quarantineEntry{id: r.ID, source: r.Source, at: r.At, size: size})
			q.bytes += size
			if number, err := strconv.ParseInt(strings.TrimPrefix(r.ID, "rq_"), 16, 64); err == nil { // the clock may have been set back since
				q.last = max(q.last, number)
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("reading the quarantine: %w", err)
	}
	q.loaded = true
	return nil
}

// prune drops the oldest requests until all bounds hold.
func (q *quarantine) prune(ctx context.Context) error {
	if err := q.load(ctx); err != nil {
		return err
	}
	var oldest time.Time
	if keep := q.rejected(); keep > 0 {
		oldest = now().Add(-keep)
	}
	for {
		id := q.surplus(oldest)
		if id == "" {
			return nil
		}
		if err := q.remove(ctx, id); err != nil {
			return err
		}
	}
}

// surplus is the oldest request if it is from before a moment, and if a bound is exceeded the oldest one of the source that takes the most.
func (q *quarantine) surplus(oldest time.Time) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	many := len(q.index) > quarantineCount
	switch {
	case len(q.index) > 0 && q.index[0].at.Before(oldest):
		return q.index[0].id
	case !many && q.bytes <= quarantineBytes:
		return ""
	}
	takes := make(map[string]int)
	for _, e := range q.index {
		if many {
			takes[e.source]++
		} else {
			takes[e.source] += e.size
		}
	}
	var first quarantineEntry
	for _, e := range q.index {
		if takes[e.source] > takes[first.source] {
			first = e
		}
	}
	return first.id
}

// remove deletes a request. It leaves the index last: one that the store does not give up now is tried again.
func (q *quarantine) remove(ctx context.Context, id string) error {
	if err := q.erase(ctx, id); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.IndexFunc(q.index, func(e quarantineEntry) bool { return e.id == id }); i >= 0 {
		q.bytes -= q.index[i].size
		q.index = slices.Delete(q.index, i, i+1)
	}
	return nil
}

// erase deletes a request's entries of the store. Its head goes first: without it the request does not exist.
func (q *quarantine) erase(ctx context.Context, id string) error {
	keys := []string{metaQuarantine + id}
	err := q.meta.ListMeta(ctx, metaQuarantineBody+id+"/", "", func(key string, _ []byte) bool {
		keys = append(keys, key)
		return true
	})
	for _, key := range keys {
		err = errors.Join(err, q.meta.PutMeta(ctx, key, nil))
	}
	if err != nil {
		return fmt.Errorf("removing %s from the quarantine: %w", id, err)
	}
	return nil
}

// removeOrphans deletes bodies that are in no index, because a crash or a failing store came between them and their head: some of them, until a search has found
// no more.
func (q *quarantine) removeOrphans(ctx context.Context) error {
	q.storing.Lock()
	defer q.storing.Unlock()
	if err := q.load(ctx); err != nil {
		return err
	}
	q.mu.Lock()
	searched, known := q.searched, make(map[string]bool, len(q.index))
	for _, e := range q.index {
		known[e.id] = true
	}
	q.mu.Unlock()
	if searched {
		return nil
	}
	id := ""
	for removed := 0; removed < quarantineOrphans; {
		var err error
		if id, err = q.bodyAfter(ctx, id); err != nil {
			return err
		}
		if id == "" {
			q.mu.Lock()
			q.searched = true
			q.mu.Unlock()
			return nil
		}
		if known[id] {
			continue
		}
		if err := q.erase(ctx, id); err != nil {
			return err
		}
		removed++
	}
	return nil
}

// bodyAfter is the id of the first body in the store behind that of another one; empty if there is none.
func (q *quarantine) bodyAfter(ctx context.Context, id string) (next string, err error) {
	behind := ""
	if id != "" {
		behind = metaQuarantineBody + id + "/~" // its parts have numbers
	}
	err = q.meta.ListMeta(ctx, metaQuarantineBody, behind, func(key string, _ []byte) bool {
		next, _, _ = strings.Cut(key[len(metaQuarantineBody):], "/")
		return false
	})
	if err != nil {
		return "", fmt.Errorf("looking for what is left over in the quarantine: %w", err)
	}
	return next, nil
}
