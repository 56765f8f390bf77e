package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// Bounds of the quarantine. What goes beyond them is counted in the metrics and logged, but not kept.
const (
	quarantineCount   = 1000
	quarantineBytes   = 32 << 20
	quarantineBody    = 1 << 20 // of one request; a larger body is not kept, so that request cannot be released
	quarantinePerSec  = 5
	quarantineBurst   = 50
	quarantineWaiting = 64
	quarantineChunk   = 60 << 10 // of a body in one entry of the store's metadata

	metaQuarantine     = "quarantine/request/"
	metaQuarantineBody = "quarantine/body/"
)

// errNotInQuarantine means that there is no such refused request, or that it is gone.
var errNotInQuarantine = fmt.Errorf("request in quarantine: %w", queue.ErrNotFound)

// refusedRequest is a request that failed verification, as the quarantine keeps it.
type refusedRequest struct {
	ID       string      `json:"id"`
	Source   string      `json:"source"`
	Provider string      `json:"provider"`
	At       time.Time   `json:"at"`
	Method   string      `json:"method"`
	URL      string      `json:"url"`
	Header   http.Header `json:"header"`
	ClientIP string      `json:"client_ip"`
	Reason   string      `json:"reason"`
	Error    string      `json:"error"`
	Size     int         `json:"size"` // of the body in bytes
	NoBody   bool        `json:"no_body,omitempty"`

	// Findings are what the diagnosis found, what was proved first.
	Findings []verifiers.Finding `json:"findings,omitempty"`

	body []byte
	app  *App
}

// quarantine keeps refused requests beside the queue: bounded in count, bytes and age, limited in rate, and written by a goroutine of its own, so that it
// never holds up an answer.
type quarantine struct {
	meta    queue.Metadata
	logger  *zap.Logger
	limiter *rate.Limiter

	waiting chan *refusedRequest
	wg      sync.WaitGroup

	mu     sync.Mutex
	closed bool
	index  []quarantineEntry // oldest first
	bytes  int
	loaded bool
	last   int64 // of the ids, so that they increase
}

type quarantineEntry struct {
	id   string
	at   time.Time
	size int
}

func newQuarantine(meta queue.Metadata, logger *zap.Logger) *quarantine {
	q := &quarantine{
		meta: meta, logger: logger, limiter: rate.NewLimiter(quarantinePerSec, quarantineBurst), waiting: make(chan *refusedRequest, quarantineWaiting),
	}
	q.wg.Go(q.run)
	return q
}

func (q *quarantine) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	close(q.waiting)
	q.wg.Wait()
}

// add hands a refused request over, or drops it if there are too many of them.
func (q *quarantine) add(r *refusedRequest) {
	if !q.limiter.Allow() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	select {
	case q.waiting <- r:
	default:
	}
}

// quarantineRequest keeps a request whose refusal somebody may want to understand.
func (h *Handler) quarantineRequest(req *verifiers.Request, f *failure) {
	if req == nil || f.status == http.StatusMethodNotAllowed {
		return
	}
	rt := h.app.ready.Load()
	if rt == nil {
		return // a gateway whose store is not open has no quarantine; the log has the refusal
	}
	address := req.URL
	if h.token != nil {
		address = h.token.hide(address)
	}
	rt.quarantine.add(&refusedRequest{
		Source: h.Name, Provider: h.provider.Spec().ID, At: req.At, Method: req.Method, URL: address.String(), Header: withoutHopByHop(req.Header),
		ClientIP: req.ClientIP, Reason: f.reason, Error: f.err.Error(), Size: len(req.Body), NoBody: len(req.Body) > quarantineBody, body: req.Body, app: h.app,
	})
}

func (q *quarantine) run() {
	for r := range q.waiting {
		if err := q.store(context.Background(), r); err != nil {
			q.logger.Warn("refused request was not kept", zap.String("source", r.Source), zap.Error(err))
		}
	}
}

func (q *quarantine) store(ctx context.Context, r *refusedRequest) error {
	if err := q.load(ctx); err != nil {
		return err
	}
	r.Findings = r.diagnose(ctx)
	q.mu.Lock()
	q.last = max(q.last+1, r.At.UnixMicro())
	r.ID = fmt.Sprintf("rq_%013x", q.last)
	q.mu.Unlock()
	if r.NoBody {
		r.body = nil
	}
	for i, chunk := 0, r.body; len(chunk) > 0; i++ {
		n := min(len(chunk), quarantineChunk)
		if err := q.meta.PutMeta(ctx, fmt.Sprintf("%s%s/%04d", metaQuarantineBody, r.ID, i), chunk[:n]); err != nil {
			return fmt.Errorf("keeping its body: %w", err)
		}
		chunk = chunk[n:]
	}
	head, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	if len(head) > quarantineChunk {
		return errors.New("its headers are too large")
	}
	if err := q.meta.PutMeta(ctx, metaQuarantine+r.ID, head); err != nil {
		return fmt.Errorf("keeping its head: %w", err)
	}
	q.mu.Lock()
	q.index = append(q.index, quarantineEntry{id: r.ID, at: r.At, size: len(head) + len(r.body)})
	q.bytes += len(head) + len(r.body)
	q.mu.Unlock()
	return q.prune(ctx, r.At.Add(-time.Duration(r.app.Retain.Rejected)))
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
			q.index = append(q.index, quarantineEntry{id: r.ID, at: r.At, size: size})
			q.bytes += size
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
func (q *quarantine) prune(ctx context.Context, oldest time.Time) error {
	q.mu.Lock()
	var drop []string
	for len(q.index) > 0 && (len(q.index) > quarantineCount || q.bytes > quarantineBytes || q.index[0].at.Before(oldest)) {
		drop = append(drop, q.index[0].id)
		q.bytes -= q.index[0].size
		q.index = q.index[1:]
	}
	q.mu.Unlock()
	for _, id := range drop {
		if err := q.remove(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a request's entries. Its head goes first: without it the request does not exist.
func (q *quarantine) remove(ctx context.Context, id string) error {
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

// drop removes one request.
func (q *quarantine) drop(ctx context.Context, id string) error {
	if _, err := q.get(ctx, id); err != nil {
		return err
	}
	if err := q.load(ctx); err != nil {
		return err
	}
	q.mu.Lock()
	if i := slices.IndexFunc(q.index, func(e quarantineEntry) bool { return e.id == id }); i >= 0 {
		q.bytes -= q.index[i].size
		q.index = slices.Delete(q.index, i, i+1)
	}
	q.mu.Unlock()
	return q.remove(ctx, id)
}

// list returns requests, newest first, from the one before the cursor on.
func (q *quarantine) list(ctx context.Context, source, reason, cursor string, limit int) (page []*refusedRequest, next string, err error) {
	if err := q.load(ctx); err != nil {
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
