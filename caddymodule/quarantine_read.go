package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
)

// claim keeps a request to one caller until unclaim; false if another has it.
func (q *quarantine) claim(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.claimed[id] {
		return false
	}
	q.claimed[id] = true
	return true
}

func (q *quarantine) unclaim(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.claimed, id)
}

// drop removes one request.
func (q *quarantine) drop(ctx context.Context, id string) error {
	if _, err := q.head(ctx, id); err != nil {
		return err
	}
	if err := q.load(ctx); err != nil {
		return err
	}
	return q.remove(ctx, id)
}

// list returns requests, newest first, from the one before the cursor on.
func (q *quarantine) list(ctx context.Context, source, reason, cursor string, limit int) (page []*refusedRequest, next string, err error) {
	if err := q.prune(ctx); err != nil {
		return nil, "", err
	}
	q.mu.Lock()
	ids := make([]string, 0, len(q.index))
	for i := len(q.index) - 1; i >= 0; i-- {
		if cursor == "" || q.index[i].id < cursor {
			ids = append(ids, q.index[i].id)
		}
	}
	q.mu.Unlock()
	for _, id := range ids {
		r, err := q.head(ctx, id)
		if errors.Is(err, queue.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if source != "" && r.Source != source || reason != "" && r.Reason != reason {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].ID, nil
		}
		page = append(page, r)
	}
	return page, "", nil
}

func (q *quarantine) head(ctx context.Context, id string) (*refusedRequest, error) {
	if !strings.HasPrefix(id, "rq_") || strings.Contains(id, "/") {
		return nil, errNotInQuarantine
	}
	value, err := q.meta.Meta(ctx, metaQuarantine+id)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, errNotInQuarantine
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s from the quarantine: %w", id, err)
	}
	r := new(refusedRequest)
	if err := json.Unmarshal(value, r); err != nil {
		return nil, fmt.Errorf("reading %s from the quarantine: %w", id, err)
	}
	return r, nil
}

// get returns a request with its body.
func (q *quarantine) get(ctx context.Context, id string) (*refusedRequest, error) {
	r, err := q.head(ctx, id)
	if err != nil {
		return nil, err
	}
	err = q.meta.ListMeta(ctx, metaQuarantineBody+id+"/", "", func(_ string, chunk []byte) bool {
		r.body = append(r.body, chunk...)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s from the quarantine: %w", id, err)
	}
	if !r.NoBody && len(r.body) != r.Size {
		r.NoBody = true // pruned while it was read
	}
	return r, nil
}
